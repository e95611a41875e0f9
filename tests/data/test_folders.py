"""Folders of image files: what is taken, what is left out and said, and what is no class."""

import hashlib
import logging
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from keras_classics.data import load, load_test, pipeline, trees
from keras_classics.data import names as names_of_sets
from keras_classics.data.crops_on_decode import decode_crop
from keras_classics.data.parts import is_held_out
from keras_classics.data.random_crops import RandomResizedCrop
from keras_classics.errors import UserError
from tests.helpers.folders import folder_of_images, write_image
from tests.helpers.image_files import FATAL, JPEG, PNG, WEBP, side
from tests.helpers.splits import contents

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
    with pytest.raises(UserError, match="folder:PATH or list:PATH .*Received: mnist"):
        names_of_sets.turned_upright("mnist")


# Parts, and folders without parts


def moved(root, target, **parts):
    """The same images, with other names of parts."""
    for old, new in parts.items():
        shutil.copytree(root / old, target / new)
    return target


@pytest.mark.parametrize("test", ["val", "valid", "test", "Validation"])
@pytest.mark.parametrize("train", ["train", "Train"])
def test_other_names_of_parts(root, tmp_path, train, test):
    other = moved(root, tmp_path / "other", train=train, validation=test)
    found, expected = (load(f"folder:{path}", encoded=True) for path in (other, root))
    assert contents(found.train) == contents(expected.train)
    assert contents(found.test) == contents(expected.test)


def test_of_several_parts_one_is_taken_and_said(root, caplog):
    shutil.copytree(root / "validation", root / "val")
    shutil.copytree(root / "validation", root / "test")
    write_image(root / "test" / "dog" / "9.png")
    with caplog.at_level(logging.INFO, "keras_classics"):
        data = load(f"folder:{root}", encoded=True)
    assert len(data.test) == 7
    (message,) = caplog.messages
    assert message == (
        f"{root} has test and validation and val: test images are those of test; validation, val "
        "is not used"
    )


def test_a_part_without_classes_is_not_taken(root, caplog):
    """As ImageNet's and Kaggle's test images, which have no labels."""
    write_image(root / "test" / "0.png")
    data = load(f"folder:{root}", encoded=True)
    assert len(data.test) == 6
    assert caplog.messages == [f"{root}: test has no folders of classes and is not used"]


def test_a_class_may_be_called_train(tmp_path):
    for name in ("bus", "train", "car"):
        for i in range(9):
            write_image(tmp_path / name / f"{i}.png")
    assert load(f"folder:{tmp_path}").class_names == ("bus", "car", "train")


def single_root(root, count=40):
    for name in ("cat", "dog"):
        for i in range(count):
            write_image(root / name / f"{i}.png")
    return root


def test_a_folder_without_parts_holds_out_a_share(tmp_path, caplog):
    root = single_root(tmp_path)
    with caplog.at_level(logging.INFO, "keras_classics"):
        data = load(f"folder:{root}", encoded=True)
    # By the names alone: the first bytes of their SHA-256.
    held = {
        f"{name}/{i}.png"
        for name in ("cat", "dog")
        for i in range(40)
        if hashlib.sha256(f"{name}/{i}.png".encode()).digest()[:8] < bytes([51, 51] + 6 * [51])
    }
    assert {os.path.relpath(path, root) for path in data.test.paths} == held
    assert len(data.train) == 80 - len(held)
    assert 8 < len(held) < 25
    (message,) = caplog.messages
    assert message.startswith(f"{root} has no test images of its own: {len(held)} of 80 are held")
    more = load(f"folder:{root}", encoded=True, validation_share=0.5).test
    assert held < {os.path.relpath(path, root) for path in more.paths}
    # To be evaluated alone, all images.
    assert len(load_test(f"folder:{root}", encoded=True)[0]) == 80
    assert len(load_test(f"folder:{root}", encoded=True, validation_share=0.2)[0]) == len(held)


def test_old_images_stay_where_they_are(tmp_path):
    before = set(load(f"folder:{single_root(tmp_path)}", encoded=True).test.paths)
    single_root(tmp_path, 60)
    (tmp_path / "bird").mkdir()
    write_image(tmp_path / "bird" / "0.png")
    after = set(load(f"folder:{tmp_path}", encoded=True).test.paths)
    assert before == {path for path in after if int(os.path.basename(path)[:-4]) < 40} - {
        str(tmp_path / "bird" / "0.png")
    }


def test_names_decide_alike_on_all_systems():
    composed, decomposed = "café/0.png", "cafe\u0301/0.png"
    for share in np.linspace(0.05, 0.95, 19):
        assert is_held_out(composed, share) == is_held_out(decomposed, share)
    assert not is_held_out(os.fsdecode(b"caf\xe9.png"), 0.0)
    assert is_held_out(os.fsdecode(b"caf\xe9.png"), 1.0)


def test_a_test_part_alone_cannot_be_trained_on(root):
    shutil.rmtree(root / "train")
    assert len(load_test(f"folder:{root}", encoded=True)[0]) == 6
    with pytest.raises(UserError, match="images has validation and no train"):
        load(f"folder:{root}", encoded=True)


def test_train_alone_holds_out_a_share(tmp_path):
    root = single_root(tmp_path / "train").parent
    data = load(f"folder:{root}", encoded=True)
    assert contents(data.test) == contents(load(f"folder:{root / 'train'}", encoded=True).test)
    # Its training images are not evaluated on.
    assert len(load_test(f"folder:{root}", encoded=True)[0]) == len(data.test)


@pytest.mark.parametrize("share", [0.0, 1.0, -1, float("nan")])
def test_shares_that_leave_nothing(root, share):
    with pytest.raises(UserError, match="validation_share must be between 0 and 1"):
        load(f"folder:{root}", validation_share=share)


def test_a_share_is_not_for_folders_with_parts(root, caplog):
    load(f"folder:{root}", validation_share=0.5)
    assert "has validation, so validation_share=0.5 is not used" in caplog.text
    with pytest.raises(UserError, match="validation_share is for folder:PATH and .* Received: dig"):
        load("digits", validation_share=0.5)


def test_folders_in_a_class_are_of_this_class(root):
    write_image(root / "train" / "cat" / "kittens" / "grey" / "0.png")
    write_image(root / "train" / "cat" / "0a.png")
    split = load(f"folder:{root}", encoded=True).train
    assert [os.path.relpath(path, root / "train") for path in split.paths[:5]] == [
        *("cat/0.png", "cat/0a.png", "cat/1.png", "cat/2.png", "cat/kittens/grey/0.png")
    ]
    assert split.labels.tolist() == [0] * 5 + [1] * 3


def test_links_that_lead_back_are_not_followed(root, tmp_path):
    cat, dog = (root / "train" / name for name in ("cat", "dog"))
    (cat / "self").symlink_to(cat)
    (cat / "dogs").symlink_to(dog)
    (dog / "cats").symlink_to(cat)
    (cat / "link.png").symlink_to(dog / "0.png")
    split = load(f"folder:{root}", encoded=True).train
    found = [os.path.relpath(path, root / "train") for path in split.paths]
    assert found == [
        *("cat/0.png", "cat/1.png", "cat/2.png", "cat/dogs/0.png", "cat/dogs/1.png"),
        *("cat/dogs/2.png", "cat/link.png", "dog/0.png", "dog/1.png", "dog/2.png"),
        *("dog/cats/0.png", "dog/cats/1.png", "dog/cats/2.png", "dog/cats/link.png"),
    ]


def test_classes_in_another_order(root):
    data = load(f"folder:{root}", class_names=("dog", "cat"))
    assert data.class_names == ("dog", "cat")
    assert data.train.labels.tolist() == [1, 1, 1, 0, 0, 0]
    for wanted, message in {
        ("dog",): r"must be the 2 classes of folder:.*Received: 1; it lacks cat",
        ("dog", "cat", "cow"): "Received: 3; it has cow",
        ("dog", "dog"): "Received: 2; it lacks cat",
        ("dog", "cat", "cat"): "Received: 3; it names one twice",
    }.items():
        with pytest.raises(UserError, match=message):
            load(f"folder:{root}", class_names=wanted)


def test_images_beside_the_classes_are_said(root, caplog):
    write_image(root / "train" / "lost.png")
    assert len(load(f"folder:{root}").train) == 6
    assert "1 images are in no class folder and are not used: lost.png" in caplog.text
