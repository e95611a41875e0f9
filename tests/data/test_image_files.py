"""Image files of all formats, as Pillow writes them, and what is wrong with some."""

import io
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from keras_classics.data import image_files
from keras_classics.data.image_files import Fault, decode, fault_of, faults, upright
from tests.helpers.image_files import (
    FATAL,
    JPEG,
    PHOTO,
    PNG,
    READABLE,
    encoded,
    side,
    with_a_hole,
    with_alpha,
    ycck,
)


@pytest.mark.parametrize("name", READABLE)
def test_decodes_as_pillow_does(name):
    content = READABLE[name][0]
    image = decode(tf.constant(content)).numpy()
    assert image.dtype == np.uint8
    assert image.shape == (90, 120, 3)
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    # JPEG's inverse cosine transform and K times C, M, Y may round otherwise.
    assert np.abs(image.astype(int) - expected).max() <= (1 if content[:2] == b"\xff\xd8" else 0)


def test_colours_of_cmyk():
    # From Adobe on, CMYK lies inverted in a JPEG: a negative would differ by more than 100.
    image = decode(tf.constant(READABLE["cmyk.jpg"][0])).numpy()
    assert np.abs(image.astype(int) - np.asarray(PHOTO)).mean() < 4
    image = decode(tf.constant(ycck())).numpy()
    assert np.abs(image - np.asarray(PHOTO) * (180 / 255)).mean() < 2


def test_cmyk_without_adobe_is_not_inverted():
    content = READABLE["cmyk.jpg"][0]
    marker = content.find(b"Adobe") - 4
    plain = decode(tf.constant(content[:marker] + content[marker + 16 :])).numpy().astype(int)
    cmyk = 255 - np.asarray(PHOTO.convert("CMYK")).astype(float)
    expected = (255 - cmyk[..., :3]) * (255 - cmyk[..., 3:]) / 255
    assert np.abs(plain - expected).mean() < 4


def test_the_upper_8_of_16_bits():
    values = np.random.default_rng(0).integers(0, 2**16, (5, 7)).astype("uint16")
    image = decode(tf.constant(encoded(Image.fromarray(values), "PNG"))).numpy()
    np.testing.assert_array_equal(image, np.repeat((values >> 8)[..., np.newaxis], 3, axis=-1))


def test_what_is_transparent():
    # A channel is dropped, and the colours under it come out; GIF has none, and they are black.
    image = decode(tf.constant(encoded(with_alpha(0), "PNG"))).numpy()
    np.testing.assert_array_equal(image, np.asarray(PHOTO))
    indices = np.asarray(PHOTO.quantize(8))
    gif = encoded(PHOTO.quantize(8), "GIF", transparency=int(indices[0, 0]))
    image = decode(tf.constant(gif)).numpy()
    assert image[indices == indices[0, 0]].max() == 0
    assert fault_of(gif, "a.gif").fault == "transparent pixels, which become black"


def test_a_bmp_with_a_palette_comes_wrong():
    content = encoded(PHOTO.quantize(64), "BMP")
    image = decode(tf.constant(content)).numpy()
    np.testing.assert_array_equal(image[..., 0], np.asarray(PHOTO.quantize(64)))
    assert "colours are wrong" in fault_of(content, "a.bmp").fault


def test_decodes_in_a_pipeline():
    files = [content for content, _ in READABLE.values()]
    images = tf.data.Dataset.from_tensor_slices(files).map(decode)
    assert images.element_spec == tf.TensorSpec((None, None, 3), tf.uint8)
    for content, image in zip(files, images.as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(image, decode(tf.constant(content)))


@pytest.mark.parametrize("name", ["rgb.jpg", "progressive.jpg", "cmyk.jpg", "rgb.png", "one.gif"])
def test_no_cut_goes_unseen(name):
    content, _ = READABLE[name]
    # A GIF is whole without its last byte.
    whole = len(content) - name.endswith("gif")
    cuts = np.random.default_rng(0).integers(1, whole, 10)
    for cut in (*cuts, whole - 1, whole - 2):
        fault = fault_of(content[:cut], name)
        assert fault is not None
        assert fault.fatal


@pytest.mark.parametrize("name", ["rgb.jpg", "rgb.bmp"])
def test_a_hole_goes_unseen_where_there_is_no_checksum(name):
    content = with_a_hole(READABLE[name][0])
    whole = decode(tf.constant(READABLE[name][0])).numpy().astype(int)
    assert np.abs(decode(tf.constant(content)) - whole).max() > 50
    assert fault_of(content, name) is None


def test_fault_of():
    assert fault_of(JPEG, "a/b.jpg") is None
    assert fault_of(PNG, "no_ending") is None
    for name, (content, unusual) in READABLE.items():
        fault = fault_of(content, name)
        assert (fault and fault.fault) == unusual
        assert fault is None or not fault.fatal
    for name, (content, why) in FATAL.items():
        fault = fault_of(content, name)
        assert fault.fatal
        assert fault.path.name == name
        assert why in fault.fault
        assert len(fault.fault.splitlines()) == 1


@pytest.mark.parametrize("number", range(1, 9))
def test_upright(number):
    for file_format, options in (("JPEG", {}), ("PNG", {}), ("WEBP", {"lossless": True})):
        content = side(number, file_format, **options)
        turned = decode(tf.constant(upright(content))).numpy()
        whole = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
        assert np.abs(turned.astype(int) - np.asarray(whole.convert("RGB"))).max() <= 1
        assert (upright(content) == content) == (number == 1)


def test_orientations_that_mean_nothing():
    for value in (0, 9, 65535):
        assert upright(side(value)) == side(value)
    content = side(6)
    at = content.find(b"Exif")
    for end in range(at, at + 32):
        # Bytes of the EXIF data, one after the other.
        damaged = content[:end] + b"\xff" + content[end + 1 :]
        image = decode(tf.constant(upright(damaged)))
        assert image.shape in ((90, 120, 3), (120, 90, 3))
    # The decoder refuses it, not what turns it.
    assert upright(content[:-2000]) == content[:-2000]


def test_a_fifo_is_not_waited_on(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    assert list(faults([tmp_path / "a.png"])) == [
        Fault(tmp_path / "a.png", "cannot be read (Not a file)", True)
    ]


@pytest.mark.parametrize("batch", [1, 4, 256])
def test_faults(tmp_path, monkeypatch, batch):
    monkeypatch.setattr(image_files, "BATCH", batch)
    # Good, unusual and fatal ones among each other, the last ones fatal.
    for name, (content, _) in (READABLE | FATAL).items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "link.jpg").symlink_to("nowhere")
    (tmp_path / "unlike.jpg").mkdir()
    (tmp_path / "zero.jpg").touch()
    paths = sorted(tmp_path.iterdir())
    done = []
    found = list(faults(paths, done.append))
    assert sum(done) == len(paths) == len(READABLE) + len(FATAL) + 3
    unusual = {name for name, (_, fault) in READABLE.items() if fault}
    fatal = {*FATAL, "link.jpg", "unlike.jpg", "zero.jpg"}
    assert [fault.path for fault in found] == [p for p in paths if p.name in unusual | fatal]
    assert {fault.path.name for fault in found if fault.fatal} == fatal
    said = {fault.path.name: fault.fault for fault in found}
    assert said["link.jpg"] == "cannot be read (No such file or directory)"
    assert said["unlike.jpg"] == "cannot be read (Is a directory)"
    assert {name: said[name] for name in unusual} == {n: READABLE[n][1] for n in unusual}


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads all files")
def test_a_file_of_somebody_else(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(JPEG)
    path.chmod(0)
    assert list(faults([path])) == [Fault(path, "cannot be read (Permission denied)", True)]


def test_no_faults(tmp_path):
    assert list(faults([])) == []
    path = tmp_path / os.fsdecode(b"caf\xe9.jpg")  # A name that is not UTF-8.
    path.write_bytes(JPEG)
    assert list(faults([path] * 3)) == []
