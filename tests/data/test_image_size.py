"""Sizes of image files, and the limit on them, before anything is decoded."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_classics.data.image_files import decode, fault_of
from keras_classics.data.image_size import first_frame, image_size, limited
from tests.helpers.image_files import ANIMATION, PHOTO, READABLE, encoded
from tests.helpers.large_images import large


@pytest.mark.parametrize("name", READABLE)
def test_sizes(name):
    assert image_size(READABLE[name][0]) == (90, 120)


@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"save_all": True}, {"exif": b"x"}])
def test_sizes_of_webp(options):
    assert image_size(encoded(PHOTO.resize((517, 300)), "WEBP", **options)) == (300, 517)


def test_not_an_image():
    for content in (b"", b"G", b"<html>404</html>", b"BN" + bytes(30)):
        assert image_size(content) == (0, 0)
    for content in (
        b"BM",
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0",
        b"RIFF\0\0\0\0WEBPVP8X",
    ):
        with pytest.raises(tf.errors.InvalidArgumentError):
            image_size(content)


def test_only_the_first_frame_of_an_animation_is_decoded():
    first = first_frame(ANIMATION)
    assert len(first) < len(ANIMATION)
    assert Image.open(io.BytesIO(first)).n_frames == 1
    np.testing.assert_array_equal(decode(tf.constant(ANIMATION)), tf.io.decode_gif(first)[0])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP"])
def test_an_image_above_the_limit_is_not_decoded(kind):
    content = large(kind, 13_000, 14_000)
    assert image_size(content) == (13_000, 14_000)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"at most 50,000,000 pixels"):
        decode(tf.constant(content))
    fault = fault_of(content, f"a.{kind.lower()}")
    assert fault.fatal
    assert fault.fault == "14,000 x 13,000 pixels, more than 50,000,000"


def test_the_limit_is_included():
    content = READABLE["rgb.png"][0]
    assert limited(tf.constant(content), 90 * 120) == content
    with pytest.raises(tf.errors.InvalidArgumentError):
        limited(tf.constant(content), 90 * 120 - 1)
