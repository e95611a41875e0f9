"""Small networks of every name, for the tests of what they are turned into."""

import inspect
from math import prod

import keras
import numpy as np
import pytest

import keras_classics as kc
from keras_classics.models import find_model
from tests.helpers import golden

# Fewer weights in the same graph, where a network takes these arguments.
NARROW = {"classes": 7, "filters": (4, 8, 16, 32, 32), "hidden": (32, 16)}

# Networks that have, between them, every layer and every kind of unit of the others.
REPRESENTATIVES = {
    "alexnet",
    "alexnet_owt",
    "cuda_convnet",
    "lenet5",
    "lenet5_1998",
    "resnet20",
    "resnet50",
    "vgg11_lrn",
    "vgg16_first_bn",
    "vgg16_mini",
}


def every_network(pattern: str = "*") -> list:
    """All networks of a glob, those marked slow that only repeat what the representatives have."""
    return [
        name if name in REPRESENTATIVES else pytest.param(name, marks=pytest.mark.slow)
        for name in kc.list_models(pattern)
    ]


def network(name: str, **arguments) -> keras.Model:
    """A network in which every layer and every pixel counts.

    Its weights are drawn by the names of its layers. The statistics of its normalisations are those
    of a batch: with drawn ones a deep plain network forgets its image.
    """
    return settled(small(name, **arguments))


def small(name: str, **arguments) -> keras.Model:
    """A network of few weights on small images, its graph the same."""
    return narrow(name, **{"input_shape": golden.second_shape(name), **arguments})


def narrow(name: str, **arguments) -> keras.Model:
    """A network of few weights, its graph the same."""
    parameters = inspect.signature(find_model(name).builder).parameters
    few = {key: value for key, value in NARROW.items() if key in parameters}
    return kc.get_model(name, **{**few, **arguments})


def settled(model: keras.Model) -> keras.Model:
    """Gives a network such weights and statistics, and returns it."""
    golden.fill(model)
    kind = keras.layers.BatchNormalization
    settle(model, [layer for layer in model.layers if isinstance(layer, kind)])
    return model


def settle(model: keras.Model, norms: list[keras.layers.BatchNormalization]) -> None:
    """Gives normalisations the statistics of a batch, and lets most of what they pass be positive.

    Where ReLU cuts off half, the rounding of float32 grows from layer to layer.
    """
    if not norms:
        return
    momentum = norms[0].momentum
    for norm in norms:
        norm.momentum = 0.0
        norm.beta.assign(norm.beta + 1.0)
    model(images(model, 32), training=True)
    for norm in norms:
        norm.momentum = momentum


def images(model: keras.Model, number: int, *sides: int) -> np.ndarray:
    """Noise as images minus their mean: on values near 1, response normalisation does nothing.

    Args:
        model: What takes them.
        number: How many.
        *sides: Height and width, by default the model's, 64 where it has none.
    """
    *own, channels = model.input_shape[1:]
    shape = (number, *(sides or [side or 64 for side in own]), channels)
    return np.random.default_rng(number).uniform(-128, 128, shape).astype("float32")


def assert_near(got, expected, tolerance: float) -> None:
    """Holds outputs to others, within a share of the largest."""
    expected = np.asarray(expected)
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * np.abs(expected).max())


def trainable_parameters(model: keras.Model) -> int:
    return sum(prod(variable.shape) for variable in model.trainable_variables)
