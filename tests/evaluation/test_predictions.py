"""Saved predictions load unchanged, or the error is one clear line."""

import dataclasses
import os
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_classics.data import FileSplit, RecordSplit, Split, load
from keras_classics.errors import UserError
from keras_classics.evaluation.predictions import Predictions, check_same_images, digest
from tests.helpers.folders import folder_of_images


def predictions(**changes) -> Predictions:
    values = {
        "probabilities": np.float32([[0.5, 0.2, 0.3], [0.1, 0.2, 0.7]]),
        "labels": np.int32([0, 2]),
        "dataset": "digits",
        "images": "0123456789abcdef",
        "class_names": ("null", "eins", "zwölf"),
        "protocol": "single view",
        "model": "lenet5",
    }
    return Predictions(**(values | changes))


def assert_equal(one: Predictions, other: Predictions) -> None:
    for field in dataclasses.fields(Predictions):
        a, b = getattr(one, field.name), getattr(other, field.name)
        assert type(a) is type(b)
        np.testing.assert_array_equal(a, b, strict=isinstance(a, np.ndarray))


def write(path, **changes) -> None:
    """Writes a file as `save` does, with changed arrays; None omits one."""
    fields = dataclasses.asdict(predictions()) | changes
    np.savez(path, **{name: value for name, value in fields.items() if value is not None})


def refused(path) -> str:
    with pytest.raises(UserError) as caught:
        Predictions.load(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", ["predictions.npz", "predictions"])
def test_saved_and_loaded(tmp_path, name):
    predictions().save(tmp_path / "runs" / name)
    assert os.listdir(tmp_path / "runs") == [name]
    assert_equal(Predictions.load(tmp_path / "runs" / name), predictions())


def test_the_same_predictions_give_the_same_bytes(tmp_path):
    for name in ("a.npz", "b.npz"):
        predictions().save(tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_missing_file(tmp_path):
    assert refused(tmp_path / "none.npz").endswith("cannot be read: No such file or directory.")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\3\4", b"\x93NUMPY\1\0"])
def test_a_file_that_is_no_archive(tmp_path, content):
    path = tmp_path / "predictions.npz"
    path.write_bytes(content)
    assert "must be an intact file of predictions. Received:" in refused(path)


def test_pickles_are_not_read(tmp_path):
    path = tmp_path / "predictions.npz"
    write(path, class_names=np.array([{}, {}, {}]))
    assert "must be an intact file of predictions" in refused(path)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "predictions.npz"
    predictions().save(path)
    return path.read_bytes()


@given(data=st.data())
def test_truncated_or_damaged_files(tmp_path_factory, saved, data):
    """A truncated file is refused; with one byte changed, it is refused or unchanged."""
    place = data.draw(st.integers(0, len(saved) - 1))
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    path.write_bytes(saved[:place])
    assert "must be an intact file of predictions" in refused(path)
    other = data.draw(st.integers(1, 255)) ^ saved[place]
    path.write_bytes(saved[:place] + bytes([other]) + saved[place + 1 :])
    try:
        loaded = Predictions.load(path)
    except UserError as error:
        assert "\n" not in str(error)  # noqa: PT017 (either is right)
    else:
        assert_equal(loaded, predictions())


def test_missing_arrays(tmp_path):
    path = tmp_path / "predictions.npz"
    write(path, labels=None, model=None)
    assert refused(path).endswith("It lacks: labels, model. Save them again.")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probabilities": np.zeros((2, 3))}, "Received: float64 of (2, 3) and int32 of (2,)."),
        ({"labels": np.zeros((2, 1), "int32")}, "Received: float32 of (2, 3) and int32 of (2, 1)."),
        ({"labels": np.zeros(3, "int32")}, "shape (2, 3), 3 labels and 3 class names."),
        ({"class_names": ("a", "b")}, "shape (2, 3), 2 labels and 2 class names."),
        ({"labels": np.int32([0, 3])}, "Labels must be 0 to 2. Received: 3."),
        ({"labels": np.int32([-1, 0])}, "Labels must be 0 to 2. Received: -1."),
    ],
)
def test_arrays_that_do_not_match(tmp_path, changes, message):
    with pytest.raises(UserError, match=f"{re.escape(message)}$"):
        predictions(**changes)
    path = tmp_path / "predictions.npz"
    write(path, **changes)
    assert refused(path).endswith(message)


def test_same_images_pass():
    check_same_images(predictions(), predictions(model="vgg16"))


def test_other_images_are_refused():
    other = predictions(dataset="mnist", images="fedcba9876543210")
    with pytest.raises(UserError, match="predictions of other images, .* digits .* mnist") as error:
        check_same_images(predictions(), other)
    assert "\n" not in str(error.value)


# What `digest` tells apart


def files(root) -> FileSplit:
    return load(f"folder:{folder_of_images(root)}", encoded=True).test


def records(root, **changes) -> RecordSplit:
    values = {
        "files": (str(root / "x.tfrecord-0"), str(root / "x.tfrecord-1")),
        "numbers": np.int32([0, 0, 1]),
        "offsets": np.int64([12, 128, 12]),
        "lengths": np.int64([100, 50, 70]),
    }
    return RecordSplit(**(values | changes))


def test_digest_of_arrays(digits):
    split = digits.test
    found = digest(split)
    assert re.fullmatch("[0-9a-f]{16}", found)
    assert digest(load("digits").test) == found
    assert digest(Split(np.asfortranarray(split.images), split.labels.astype("int64"))) == found


def test_digest_of_other_arrays(few_digits):
    split = few_digits.test
    brighter, relabelled = split.images.copy(), split.labels.copy()
    brighter[-1, -1, -1, -1] ^= 1
    relabelled[0] ^= 1
    splits = [
        split,
        Split(brighter, split.labels),
        Split(split.images, relabelled),
        Split(split.images.reshape(40, 4, 16, 1), split.labels),
        split.take(np.arange(40)[::-1]),
        split.take(np.arange(39)),
        few_digits.train,
    ]
    assert len({digest(s) for s in splits}) == len(splits)


def test_digest_of_files(tmp_path):
    assert digest(files(tmp_path / "a")) == digest(files(tmp_path / "b"))


def test_digest_of_other_files(tmp_path):
    split = files(tmp_path)
    renamed = [str(p).replace("/cat/", "/cow/") for p in split.paths]
    (tmp_path / "validation/cat").rename(tmp_path / "validation/cow")
    found = [digest(FileSplit(np.array(renamed), split.labels))]
    (tmp_path / "validation/cow").rename(tmp_path / "validation/cat")
    changed = [split, split.take(np.arange(6)[::-1]), split.take(np.arange(5))]
    changed.append(FileSplit(split.paths, 1 - split.labels))
    found += [digest(s) for s in changed]
    with open(split.paths[0], "ab") as file:
        file.write(b"\0")
    assert len({*found, digest(split)}) == 6


def test_digest_of_a_missing_file(tmp_path):
    split = files(tmp_path)
    os.remove(split.paths[2])
    with pytest.raises(UserError, match=f"^{split.paths[2]} cannot be read: No such file"):
        digest(split)


def test_digest_of_records(tmp_path):
    split = records(tmp_path)
    assert digest(records(tmp_path / "elsewhere")) == digest(split)
    others = [
        records(tmp_path, numbers=np.int32([0, 1, 1])),
        records(tmp_path, offsets=np.int64([12, 129, 12])),
        records(tmp_path, lengths=np.int64([100, 50, 71])),
        records(tmp_path, files=("x.tfrecord-0", "x.tfrecord-2")),
        split.take(np.array([1, 0, 2])),
        split.take(np.array([0, 1])),
    ]
    assert len({digest(s) for s in [split, *others]}) == 7
