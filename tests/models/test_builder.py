"""What all builders share, on the smallest network that can be built of it."""

import keras
import numpy as np
import pytest

from keras_classics.errors import UserError
from keras_classics.models.builder import (
    ModelBuilder,
    ModelMetadata,
    probabilities_of,
    scores_and_probabilities,
    smallest_side,
)

METADATA = ModelMetadata(
    name="toy",
    summary="A toy.",
    paper="None, 2000",
    input_shape=(9, 8, 3),
    smallest_input=6,
    classes=5,
)


def toy(**arguments) -> keras.Model:
    """A network without layers of its own."""
    net = ModelBuilder(METADATA, **arguments)
    if not net.include_top:
        return net.model(net.pool(net.image))
    return net.model(net.classify(net.flatten(net.image)))


def test_defaults_are_the_metadata_s():
    model = toy()
    assert (model.name, model.input_shape, model.output_shape) == (
        "toy",
        (None, 9, 8, 3),
        (None, 5),
    )
    assert [layer.name for layer in model.layers] == [
        "image",
        "flatten",
        "predictions",
        "probabilities",
    ]
    assert model.layers[-1].activation is keras.activations.softmax
    assert isinstance(model.layers[2].kernel_initializer, keras.initializers.GlorotUniform)
    assert (METADATA.torchvision, METADATA.keras_applications) == ("", "")


def test_other_arguments():
    model = toy(input_shape=(6, 7, 1), classes=2, classifier_activation="sigmoid", name="mine")
    assert (model.name, model.input_shape, model.output_shape) == (
        "mine",
        (None, 6, 7, 1),
        (None, 2),
    )
    assert model.layers[-1].activation is keras.activations.sigmoid


def test_without_an_activation_the_scores_stay():
    assert toy(classifier_activation=None).layers[-1].name == "predictions"


@pytest.mark.parametrize(
    ("pooling", "name", "pooled"),
    [
        ("avg", "avg_pool", lambda x: x.mean(axis=(1, 2))),
        ("max", "max_pool", lambda x: x.max((1, 2))),
    ],
)
def test_without_top(pooling, name, pooled):
    images = np.random.default_rng(0).normal(size=(2, 6, 9, 3)).astype("float32")
    model = toy(include_top=False, pooling=pooling)
    assert model.input_shape == (None, None, None, 3)
    assert model.layers[-1].name == name
    np.testing.assert_allclose(model(images), pooled(images), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(toy(include_top=False)(images), images)


def test_on_a_tensor_and_on_one_of_several_inputs():
    first, second = keras.Input((6, 6, 1)), keras.Input((6, 6, 1))
    model = toy(input_tensor=keras.layers.Rescaling(2.0, name="rescaling")(first))
    assert model.input_shape == (None, 6, 6, 1)
    assert [layer.name for layer in model.layers][1:] == [
        "rescaling",
        "flatten",
        "predictions",
        "probabilities",
    ]
    both = toy(input_tensor=keras.layers.Add()([first, second]))
    assert [tensor.shape for tensor in both.inputs] == [(None, 6, 6, 1)] * 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (6, 6)}, r"\(height, width, channels\). Received: \(6, 6\)."),
        ({"input_shape": (6, 6, None)}, r"\(height, width, channels\). Received: \(6, 6, None\)."),
        ({"input_shape": (5, 6, 3)}, "toy with its top .* at least 6x6 pixels. Received: 5x6."),
        ({"input_shape": (6, 5, 3)}, "Received: 6x5."),
        (
            {"input_shape": (5, None, 3), "include_top": False},
            "toy without its top takes images of at least 6x6 pixels. Received: 5xNone.",
        ),
        ({"input_shape": (None, 6, 3)}, "height and width must be known. Received: .None, 6, 3"),
        ({"smallest_input": 10}, "at least 10x10 pixels. Received: 9x8."),
        ({"pooling": "sum"}, "pooling must be None, 'avg' or 'max'. Received: 'sum'"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(UserError, match=message):
        toy(**arguments)


@pytest.mark.parametrize(
    ("windows", "side"),
    [
        ([], 1),
        ([(3, 1, 0)], 3),
        ([(3, 1, 2)], 1),
        # The larger padding asks for no side below 1.
        ([(3, 1, 4)], 1),
        ([(5, 1, 0), (2, 2, 0), (5, 1, 0), (2, 2, 0)], 16),
        # AlexNet of 2012: 11x11 with stride 4 and 3 zeros, pooling, 5x5, pooling, 3x3, pooling.
        ([(11, 4, 3), (3, 2, 0), (5, 1, 4), (3, 2, 0), (3, 1, 2), (3, 2, 0)], 64),
    ],
)
def test_smallest_side(windows, side):
    assert smallest_side(windows) == side


def test_scores_and_probabilities():
    images = np.random.default_rng(0).normal(size=(2, 9, 8, 3)).astype("float32")
    model = toy()
    scores, probabilities = scores_and_probabilities(model)(images)
    np.testing.assert_allclose(keras.ops.softmax(scores), probabilities, rtol=1e-5)
    np.testing.assert_array_equal(probabilities, model(images))
    with pytest.raises(
        UserError, match="toy must end in probabilities. Received a last layer 'pre"
    ):
        scores_and_probabilities(toy(classifier_activation=None))


def test_probabilities_are_float32():
    scores = keras.Input((3,), dtype="float16")
    assert probabilities_of(scores).dtype == "float32"
    layer = keras.Model(scores, probabilities_of(scores)).layers[-1]
    assert (layer.name, layer.activation) == ("probabilities", keras.activations.softmax)
