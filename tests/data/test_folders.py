"""Folders of image files: what is taken, what is left out and said, and what is no class."""

import logging
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from keras_classics.data import load, load_test, pipeline, trees
from keras_classics.data import names as names_of_sets
from keras_classics.data.crops_on_decode import decode_crop
from keras_classics.data.random_crops import RandomResizedCrop
from keras_classics.errors import UserError
from tests.helpers.folders import folder_of_images
from tests.helpers.image_files import FATAL, JPEG, PNG, WEBP, side

SYSTEM = ("@eaDir", ".ipynb_checkpoints", "__MACOSX", ".git", "$RECYCLE.BIN", "lost+found")


def names(split):
    return [os.path.basename(path) for path in split.paths]


@pytest.fixture
def root(tmp_path):
    return folder_of_images(tmp_path / "images")


def test_content_decides_where_the_name_does_not(root, caplog):
    cat = root / "train" / "cat"
    for name, content in {
        "a.jfif": JPEG,
        "b.webp": WEBP,
        "c": PNG,
        "d.dat": JPEG,
        "e.tif": FATAL["tiff.jpg"][0],
        "f.heic": b"\0\0\0\x18ftypheic" + bytes(9),
        "g.txt": b"BMW, Berlin, and other words",
        "h": b"",
    }.items():
        (cat / name).write_bytes(content)
    (cat / "kittens").mkdir()
    with caplog.at_level(logging.WARNING, "keras_classics"):
        data = load(f"folder:{root}", encoded=True)
    taken = ["0.png", "1.png", "2.png", "a.jfif", "b.webp", "c", "d.dat"]
    assert names(data.train) == [*taken, "0.png", "1.png", "2.png"]
    assert data.train.image(3).shape == (90, 120, 3)
    # Once, with all splits.
    (message,) = caplog.messages
    assert message == (
        f"{root}: 5 left out, because TensorFlow does not read them as images (1 .heic, "
        "1 .tif, 1 .txt, 1 folder, 1 without an ending): train/cat/e.tif, train/cat/f.heic, "
        "train/cat/g.txt, train/cat/h, train/cat/kittens"
    )


def test_names_are_enough_for_what_ends_as_an_image(root, monkeypatch):
    monkeypatch.setattr(trees.image_files, "format_of", pytest.fail)
    assert len(load(f"folder:{root}", encoded=True).train) == 6


@pytest.mark.parametrize("name", SYSTEM)
def test_folders_of_the_system_are_no_classes(root, caplog, name):
    for part in ("train", "validation"):
        shutil.copytree(root / part / "cat", root / part / name)
    shutil.copytree(root / "train" / "cat", root / "train" / "cat" / name)
    for junk in (".DS_Store", "Thumbs.db", "._0.png"):
        (root / "train" / "cat" / junk).write_bytes(b"junk")
    data = load(f"folder:{root}", encoded=True)
    assert data.class_names == ("cat", "dog")
    assert len(data.train) == 6
    assert not caplog.messages


def test_only_folders_of_the_system(tmp_path):
    (tmp_path / "train" / "@eaDir").mkdir(parents=True)
    (tmp_path / "validation").mkdir()
    with pytest.raises(UserError, match="holds no class folders"):
        load(f"folder:{tmp_path}")


@pytest.mark.parametrize("encoded", [True, False])
def test_what_is_no_file_is_not_waited_on(root, caplog, encoded):
    os.mkfifo(root / "train" / "cat" / "x.png")
    (root / "train" / "dog" / "x.png").mkdir()
    (root / "train" / "dog" / "y.png").symlink_to("/dev/zero")
    data = load(f"folder:{root}", encoded=encoded)
    assert len(data.train) == 6
    assert "3 left out" in caplog.text
    assert "(1 FIFO, 1 device, 1 folder)" in caplog.text


def test_a_link_that_leads_nowhere_is_an_image_that_cannot_be_read(root):
    (root / "train" / "cat" / "9.png").symlink_to(root / "nowhere")
    with pytest.raises(
        UserError, match=r"9.png cannot be used: cannot be read \(No such file or directory\)\. Rep"
    ):
        load(f"folder:{root}")
    (root / "train" / "cat" / "9.png").unlink()
    (root / "train" / "cat" / "9.png").symlink_to("9.png")
    split = load(f"folder:{root}", encoded=True).train
    with pytest.raises(UserError, match=r"9.png cannot be used: cannot be read \(Too many levels"):
        pipeline.mean_of(split, lambda images: tf.image.resize(images, (8, 8)), False)


def test_training_needs_two_classes(root):
    for part in ("train", "validation"):
        shutil.rmtree(root / part / "dog")
    with pytest.raises(UserError, match=r"Training needs two classes. Received: folder:.*, with 1"):
        load(f"folder:{root}")
    assert len(load_test(f"folder:{root}")[0]) == 3


@pytest.mark.parametrize("path", ["", "~nobody_of_this_name/a", "a\0b", "/dev/null"])
def test_what_cannot_be_a_folder(path):
    with pytest.raises(UserError, match=r"^A path has|unknown user|neither a file nor a folder"):
        load(f"folder:{path}")


def test_home(root, monkeypatch):
    monkeypatch.setenv("HOME", str(root))
    assert len(load("folder:~").train) == 6


def test_exif(root):
    (root / "train" / "cat" / "0.jpg").write_bytes(side(6))
    (root / "train" / "cat" / "1.jpg").write_bytes(JPEG)
    lying, upright = (
        load(f"{name}:{root}", encoded=True).train for name in ("folder", "folder_exif")
    )
    assert [split.image(0).shape for split in (lying, upright)] == [(90, 120, 3), (120, 90, 3)]
    np.testing.assert_array_equal(upright.image(0), np.rot90(lying.image(0), -1))
    np.testing.assert_array_equal(upright.image(2), lying.image(2))
    # In batches, in crops, in memory.
    batches = pipeline.evaluation_batches(
        upright.take(np.array([0])), lambda images: images, 1, tf.distribute.get_strategy()
    )
    np.testing.assert_array_equal(next(batches)[0][0], upright.image(0))
    encoded, _ = tf.function(upright.reader())(0)
    crop = RandomResizedCrop(8, area=(1.0, 1.0))
    assert decode_crop(crop, encoded, tf.fill([crop.num_random], 0.7)).shape == (8, 8, 3)
    resize = lambda images: tf.image.resize(images, (40, 30))  # noqa: E731
    in_memory = load(f"folder_exif:{root}", resize=resize).train
    whole = resize(tf.constant(upright.image(0)[np.newaxis], tf.float32))
    assert np.abs(in_memory.images[0] - whole[0]).max() < 8


def test_exif_is_for_folders():
    assert names_of_sets.turned_upright("folder:a:b") == "folder_exif:a:b"
    assert names_of_sets.turned_upright("folder_exif:a") == "folder_exif:a"
    with pytest.raises(UserError, match="folder:PATH or list:PATH. Received: mnist"):
        names_of_sets.turned_upright("mnist")
