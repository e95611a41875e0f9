"""Biases and another epsilon of keras.applications, folded on a network of two layers."""

import keras
import numpy as np
import pytest

from keras_classics.errors import UserError
from keras_classics.weights.formats.keras_applications import (
    EPSILON,
    MOMENTUM,
    builder_arguments,
    folded,
)
from keras_classics.weights.stored import in_memory


def network(use_bias: bool, epsilon: float) -> keras.Model:
    image = keras.Input((4, 4, 2))
    x = keras.layers.Conv2D(3, 3, use_bias=use_bias, name="conv1_conv")(image)
    x = keras.layers.BatchNormalization(epsilon=epsilon, name="conv1_bn")(x)
    return keras.Model(image, keras.layers.Conv2D(2, 1, name="last_conv")(x))


def tensors_of(model: keras.Model) -> dict[str, np.ndarray]:
    return {f"{x.name}/{v.name}": v.numpy() for x in model.layers for v in x.variables}


@pytest.fixture
def theirs() -> keras.Model:
    model = network(use_bias=True, epsilon=1.001e-5)
    draw = np.random.default_rng(0)
    model.set_weights([draw.normal(size=w.shape) for w in model.get_weights()])
    # So small that epsilon matters.
    variance = model.get_layer("conv1_bn").moving_variance
    variance.assign(draw.uniform(1e-5, 1e-4, variance.shape))
    return model


def test_the_folded_network_computes_the_same(theirs):
    ours = network(use_bias=False, epsilon=1e-3)
    tensors = tensors_of(theirs)
    before = {name: tensor.copy() for name, tensor in tensors.items()}
    found = folded(in_memory(tensors), ours)
    assert found.keys() == tensors_of(ours).keys()
    for layer in ours.layers:
        layer.set_weights([found[f"{layer.name}/{v.name}"].read() for v in layer.variables])
    images = np.random.default_rng(1).normal(size=(2, 4, 4, 2)).astype("float32")
    expected = theirs(images).numpy()
    np.testing.assert_allclose(ours(images), expected, rtol=1e-4, atol=1e-2)
    for name, tensor in before.items():
        np.testing.assert_array_equal(tensors[name], tensor)


def test_tensors_without_such_biases_stay():
    ours = network(use_bias=False, epsilon=1e-3)
    tensors = in_memory(tensors_of(ours))
    assert folded(tensors, ours) is tensors


@pytest.mark.parametrize("lacking", ["conv1_bn/moving_mean", "conv1_bn/moving_variance"])
def test_a_normalization_that_is_missing(theirs, lacking):
    tensors = tensors_of(theirs)
    del tensors[lacking]
    with pytest.raises(UserError, match=f"^it lacks the tensor '{lacking}'$"):
        folded(in_memory(tensors), network(use_bias=False, epsilon=1e-3))


@pytest.mark.parametrize(
    "other", ["conv1_conv/bias", "conv1_bn/moving_mean", "conv1_bn/moving_variance"]
)
def test_shapes_that_differ(theirs, other):
    tensors = {**tensors_of(theirs), other: np.zeros(1, "float32")}
    with pytest.raises(UserError, match="conv1_conv/bias, conv1_bn/moving_mean, conv1_bn/moving_v"):
        folded(in_memory(tensors), network(use_bias=False, epsilon=1e-3))


def test_constants_of_keras_applications():
    layer = keras.applications.ResNet50(weights=None, include_top=False).get_layer("conv1_bn")
    assert layer.epsilon == EPSILON
    assert MOMENTUM == 0.99


@pytest.mark.parametrize(
    ("model", "second_version", "arguments"),
    [
        ("vgg16", False, {"batch_norm": None}),
        ("resnet50", False, {"version": "v1", "shortcut": "B"}),
        ("resnet50", True, {"version": "v2_keras", "shortcut": "B"}),
    ],
)
def test_arguments_of_the_builders(model, second_version, arguments):
    assert builder_arguments(model, second_version) == arguments
