"""Images that are held out of training, and the schedule that watches them."""

import dataclasses
import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_classics.data import FileSplit, ImageData, Split
from keras_classics.errors import StoppedError, UserError
from keras_classics.training import train
from keras_classics.training.run_directory import HISTORY_COLUMNS, VALIDATION_COLUMNS
from keras_classics.training.schedules import Plateau
from tests.helpers.pipelines import numbered
from tests.helpers.runs import MODERN, assert_same_bits, history

# No error is lower by 1, so that it drops after each pass but the first.
WATCHING = dataclasses.replace(
    MODERN, validation=24, epochs=4, schedule=Plateau(0.01, patience=1, drops=1, least=1.0)
)


def data_of(train_split) -> ImageData:
    return ImageData("some", train_split, numbered(5), ("a", "b"))


@pytest.mark.parametrize("count", [1, 7, 49])
def test_held_out_images_are_not_trained_on(count):
    data = data_of(numbered(50)).holding_out(count)
    train_labels, held = data.train.labels, data.validation.labels
    assert len(data.train) == 50 - count
    assert len(data.validation) == count
    assert sorted([*train_labels, *held]) == list(range(50))
    np.testing.assert_array_equal(data.validation.images[:, 0, 0, 0], held)
    np.testing.assert_array_equal(data.train.images[:, 0, 0, 0], train_labels)
    # In the order that they had, always the same, and the test split stays.
    assert (np.diff(train_labels) > 0).all()
    assert (np.diff(held) > 0).all()
    again = data_of(numbered(50)).holding_out(count)
    np.testing.assert_array_equal(again.validation.labels, held)
    assert len(data.test) == 5
    assert data_of(numbered(50)).validation is None


def test_files_are_held_out_like_images_in_memory():
    paths = np.array([f"{number}.jpg" for number in range(50)])
    files = data_of(FileSplit(paths, np.arange(50))).holding_out(9)
    in_memory = data_of(numbered(50)).holding_out(9)
    np.testing.assert_array_equal(files.validation.labels, in_memory.validation.labels)
    assert [f"{label}.jpg" for label in files.train.labels] == [*files.train.paths]


def test_they_are_drawn_from_all_images():
    # Where classes stand one after the other, each has its share.
    split = Split(np.zeros((1000, 1, 1, 1), "uint8"), np.repeat(np.arange(10), 100))
    held = data_of(split).holding_out(200).validation.labels
    assert np.bincount(held, minlength=10).min() >= 8


@pytest.mark.parametrize("count", [50, 51])
def test_something_must_be_left_to_train_on(count):
    with pytest.raises(UserError) as raised:
        data_of(numbered(50)).holding_out(count)
    assert str(raised.value) == (
        f"validation must be less than the 50 training images. Received: {count}."
    )


@pytest.fixture(scope="module")
def watched(few_digits, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "run"
    return run_dir, train(WATCHING, run_dir, data=few_digits)


def test_a_plateau_is_found_in_the_history(watched):
    run_dir, result = watched
    rows = history(run_dir)
    assert list(rows[0]) == [*HISTORY_COLUMNS, *VALIDATION_COLUMNS]
    rates = [row["learning_rate"] for row in rows]
    assert rates == pytest.approx([0.01, 0.01, 0.001, 0.001])
    assert result["train_images"] == 96 - 24
    assert [row["step"] for row in rows] == [6, 12, 18, 24]


def test_the_last_row_is_measured_on_what_was_held_out(watched, few_digits):
    run_dir, _ = watched
    model = keras.models.load_model(run_dir / "model.keras")
    layer = WATCHING.make_preprocessing()
    row = history(run_dir)[-1]
    held = few_digits.holding_out(24).validation
    for part, split in (("validation", held), ("test", few_digits.test)):
        probabilities = model(layer(tf.constant(split.images))).numpy()
        hits = probabilities.argmax(axis=1) == split.labels
        losses = -np.log(probabilities[np.arange(len(split)), split.labels])
        assert row[f"{part}_accuracy"] == pytest.approx(hits.mean())
        assert row[f"{part}_loss"] == pytest.approx(losses.mean(), rel=1e-4)


def test_a_stopped_run_remembers_what_it_watched(watched, few_digits, tmp_path):
    def watch(progress, plan):
        if progress.epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedError):
        train(WATCHING, tmp_path, data=few_digits, on_progress=watch)
    train(WATCHING, tmp_path, data=few_digits)
    assert_same_bits(watched[0], tmp_path)
    columns = ("learning_rate", *VALIDATION_COLUMNS)
    for one, other in zip(history(watched[0]), history(tmp_path), strict=True):
        assert [one[name] for name in columns] == [other[name] for name in columns]
