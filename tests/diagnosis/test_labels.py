"""Faults of labels and of the parts of a data set, planted one by one."""

import keras
import numpy as np
import pytest

from keras_classics.data import ImageData, Split, load
from keras_classics.diagnosis import examine, make_case
from keras_classics.diagnosis.checks import AT_START
from tests.diagnosis.networks import digit_images, found, names

IMAGES, LABELS = digit_images(600, side=8)
SHUFFLED = np.random.default_rng(101).permutation(LABELS)
TRAIN, HELD_OUT = slice(0, 400), slice(400, 600)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(100)
    image = keras.Input((8, 8, 1))
    x = keras.layers.Dense(10, "softmax")(keras.layers.Flatten()(image))
    return keras.Model(image, x, name="linear")


def parts(images=IMAGES, labels=LABELS, held_out=None) -> tuple:
    """The arrays of both parts; `held_out` in place of the labels of the second."""
    others = labels[HELD_OUT] if held_out is None else held_out
    return images[TRAIN], labels[TRAIN], images[HELD_OUT], others


def test_healthy_data(model):
    assert not found(model, parts())
    assert not found(model, "digits", preprocessing=lambda x: x / np.float32(255))
    one_hot = np.eye(10)[LABELS]
    assert not found(model, (IMAGES, one_hot), loss="categorical_crossentropy")


@pytest.mark.parametrize("low", [-1, 1])
def test_labels_without_an_output(model, low):
    diagnosis = found(model, parts(labels=LABELS + low))
    assert "labels_out_of_range" in names(diagnosis)
    assert ("begin with 1" in str(diagnosis)) == (low == 1)


def test_constant_labels(model):
    assert names(found(model, (IMAGES, np.full(600, 3)))) == ["labels_constant"]


def test_a_class_that_is_missing_in_a_part(model):
    train, others = np.arange(400), np.arange(400, 600)
    without = train[LABELS[TRAIN] != 7]
    data = (IMAGES[without], LABELS[without], IMAGES[others], LABELS[others])
    (finding,) = found(model, data).findings
    assert (finding.check, finding.values["part"]) == ("class_missing", "training")
    without = others[LABELS[HELD_OUT] != 7]
    data = (IMAGES[train], LABELS[train], IMAGES[without], LABELS[without])
    (finding,) = found(model, data).findings
    assert (finding.check, finding.values["part"]) == ("class_missing", "held-out")
    # Of 40 held-out images, a class may be missing by chance.
    few = without[:40]
    assert not found(model, (IMAGES[train], LABELS[train], IMAGES[few], LABELS[few]))


def test_classes_of_unequal_size(model):
    few = np.concatenate([np.flatnonzero(LABELS != 7), np.flatnonzero(LABELS == 7)[:3]])
    assert names(found(model, (IMAGES[few], LABELS[few]))) == ["unequal_classes"]


def test_shuffled_labels(model):
    assert names(found(model, (IMAGES, SHUFFLED))) == ["labels_shuffled"]
    diagnosis = found(model, parts(held_out=SHUFFLED[HELD_OUT]))
    assert names(diagnosis) == ["labels_shuffled"]
    # The order of the classes differs between the parts.
    assert names(found(model, parts(held_out=(LABELS[HELD_OUT] + 1) % 10))) == ["labels_shuffled"]


def test_few_images_say_nothing_about_their_labels(model):
    assert not found(model, (IMAGES[:100], SHUFFLED[:100]))


def test_held_out_images_that_are_trained_on(model):
    images, labels = IMAGES.copy(), LABELS.copy()
    images[400:410], labels[400:410] = images[:10], labels[:10]
    (finding,) = found(model, parts(images, labels)).findings
    assert finding.check == "validation_in_train"
    assert finding.values == {"leaked": 10, "held_out": 200}


def test_copies_in_training(model):
    images = np.concatenate([IMAGES, IMAGES[:100]])
    assert not found(model, (images[:650], np.concatenate([LABELS, LABELS[:50]])))
    repeated = np.concatenate([LABELS, LABELS[:100]])
    assert names(found(model, (images, repeated))) == ["repeated_images"]
    contradicting = np.concatenate([LABELS, (LABELS[:100] + 1) % 10])
    assert names(found(model, (images, contradicting))) == ["contradicting_labels"]


def test_several_labels():
    image = keras.Input((8, 8, 1))
    x = keras.layers.Dense(3, "sigmoid")(keras.layers.Flatten()(image))
    model = keras.Model(image, x, name="several")
    labels = np.random.default_rng(100).integers(0, 2, (600, 3))
    assert not found(model, (IMAGES, labels))
    labels[:, 1] = 0
    assert names(found(model, (IMAGES, labels))) == ["class_missing"]
    assert names(found(model, (IMAGES, labels[:, :2]))) == ["labels_out_of_range"]


def test_image_data_with_class_names(model):
    digits = load("digits")
    keep = digits.train.labels != 3
    train = Split(digits.train.images[keep], digits.train.labels[keep])
    names_ = ("zero", "one", "two", "three", *"456789")
    data = ImageData("own", train, digits.test, names_)
    case = make_case(model, data, preprocessing=lambda x: x / np.float32(255))
    (finding,) = examine(case, AT_START).findings
    assert "three" in finding.measured
