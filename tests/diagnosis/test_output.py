"""Faults of the last activation and the loss, planted one by one."""

import keras
import numpy as np
import pytest

from keras_classics.diagnosis import Diagnosis, examine, make_case
from keras_classics.diagnosis.checks import AT_START
from tests.diagnosis.networks import names

CLASSES = 4
IMAGES = np.random.default_rng(100).normal(size=(40, 8, 8, 3)).astype("float32")
LABELS = np.arange(40) % CLASSES


def network(*last: keras.layers.Layer, classes: int = CLASSES) -> keras.Model:
    """A small convolution, then the scores, then given layers."""
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(6, 3, activation="relu")(image)
    x = keras.layers.Dense(classes, name="scores")(keras.layers.Flatten()(x))
    for layer in last:
        x = layer(x)
    return keras.Model(image, x)


def softmax(**options) -> keras.layers.Layer:
    return keras.layers.Activation("softmax", **options)


def found(model: keras.Model, loss, labels=LABELS, images=IMAGES) -> Diagnosis:
    model.compile("sgd", loss)
    return examine(make_case(model, (images, labels)), AT_START)


def scores_loss(y, scores):
    return keras.losses.sparse_categorical_crossentropy(y, scores, from_logits=True)


SPARSE, LOGITS = (
    keras.losses.SparseCategoricalCrossentropy(from_logits=flag) for flag in (False, True)
)


@pytest.mark.parametrize(
    ("last", "loss", "expected"),
    [
        ([softmax()], "sparse_categorical_crossentropy", []),
        ([softmax()], "categorical_crossentropy", []),
        ([softmax()], SPARSE, []),
        ([], LOGITS, []),
        ([], scores_loss, []),
        ([keras.layers.Activation("sigmoid")], "binary_crossentropy", []),
        ([], "mse", []),
        ([softmax()], LOGITS, ["from_logits_twice"]),
        ([softmax(), keras.layers.Identity()], scores_loss, ["from_logits_twice"]),
        ([], "sparse_categorical_crossentropy", ["logits_as_probabilities"]),
        ([], SPARSE, ["logits_as_probabilities"]),
        ([softmax(), softmax()], SPARSE, ["softmax_twice"]),
        ([softmax(), keras.layers.Dropout(0.5), keras.layers.Softmax()], SPARSE, ["softmax_twice"]),
        ([softmax(), keras.layers.Dense(CLASSES, "softmax")], SPARSE, ["softmax_twice"]),
        ([keras.Sequential([softmax(), softmax()])], SPARSE, ["softmax_twice"]),
        ([keras.ops.softmax, softmax()], SPARSE, ["softmax_twice"]),
    ],
)
def test_last_activation_and_loss(last, loss, expected):
    assert names(found(network(*last), loss)) == expected


def test_one_output():
    labels = LABELS % 2
    # Of so few classes the labels would look shuffled.
    told_apart = IMAGES + labels[:, None, None, None]
    sigmoid = keras.layers.Activation("sigmoid")

    def names_of(model: keras.Model, loss="binary_crossentropy") -> list[str]:
        return names(found(model, loss, labels, told_apart))

    assert names_of(network(sigmoid, classes=1)) == []
    twice = network(sigmoid, keras.layers.Activation("sigmoid"), classes=1)
    assert names_of(twice) == ["softmax_twice"]
    assert names_of(network(softmax(), classes=1)) == ["softmax_of_one"]
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    assert names_of(network(sigmoid, classes=1), loss) == ["from_logits_twice"]


def test_a_nested_network_with_a_top_of_its_own():
    image = keras.Input((8, 8, 3))
    inner = network(softmax())
    assert names(found(keras.Model(image, softmax()(inner(image))), SPARSE)) == ["softmax_twice"]
    assert names(found(keras.Model(image, inner(image)), LOGITS)) == ["from_logits_twice"]
    assert not found(keras.Model(image, inner(image)), SPARSE)
