"""Batch normalisation folded into the layers before it."""

import re

import keras
import numpy as np
import pytest
from keras import layers

from keras_classics.export.fold import fold_batch_norm
from keras_classics.models.builder import scores_and_probabilities
from keras_classics.models.layers import TowerConv2D
from tests.helpers.networks import assert_near, every_network, images, network


@pytest.fixture
def policy():
    """Sets a dtype policy for one test."""
    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)


def scores(model: keras.Model) -> np.ndarray:
    return np.asarray(scores_and_probabilities(model)(images(model, 3))[0])


def names(model: keras.Model) -> set[str]:
    return {layer.name for layer in model.layers}


def norms(model: keras.Model) -> set[str]:
    kind = layers.BatchNormalization
    return {layer.name for layer in model.layers if isinstance(layer, kind)}


def assert_same_bits(first: list[np.ndarray], second: list[np.ndarray]) -> None:
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", every_network())
def test_the_same_function(name, policy):
    # Without float32's rounding, which deep networks amplify.
    policy("float64")
    # AlexNet's dense layers are large, and no normalisation is near.
    top = "alex" not in name and name != "caffenet"
    model = network(name, include_top=top, classifier_activation=None)
    weights = model.get_weights()
    folded = fold_batch_norm(model)
    x = images(model, 3)
    assert_near(folded(x), model(x), 1e-11)
    assert names(model) - names(folded) == norms(model) - norms(folded)
    assert names(folded) <= names(model)
    assert_same_bits(model.get_weights(), weights)
    assert folded.name == name
    again = fold_batch_norm(folded)
    assert names(again) == names(folded)
    assert_same_bits(again.get_weights(), folded.get_weights())


@pytest.mark.parametrize(
    ("name", "arguments", "stays"),
    [
        ("resnet20", {}, None),
        ("plain18", {}, None),
        ("resnet18", {"version": "v2"}, "conv._block._preact_bn|post_bn"),
        pytest.param(
            "resnet50",
            {"version": "v2_keras"},
            "conv._block._preact_bn|post_bn",
            marks=pytest.mark.slow,
        ),
        # Without a sum between them, each normalisation follows a convolution.
        ("plain20", {"version": "v2"}, None),
        ("vgg11_bn", {}, None),
        ("vgg16_first_bn", {}, "block1_conv1_bn"),
        ("vgg16_mini", {"batch_norm": "all"}, "block._conv._bn"),
    ],
)
def test_normalisations_that_stay(name, arguments, stays):
    model = network(name, **arguments)
    folded = fold_batch_norm(model)
    assert norms(model)
    assert norms(folded) == {norm for norm in norms(model) if re.fullmatch(stays or "", norm)}
    assert_near(scores(folded), scores(model), 1e-5)


def on_a_map(build) -> keras.Model:
    image = keras.Input((8, 9, 4), name="image")
    return keras.Model(image, build(image))


def normalize(x, **options):
    """A normalisation with no variable at its initial value."""
    values = {"moving_mean": (-1, 1), "moving_variance": (0.5, 2), "gamma": (1, 2), "beta": (-1, 1)}
    options |= {
        f"{name}_initializer": keras.initializers.RandomUniform(*limits, seed=i)
        for i, (name, limits) in enumerate(values.items())
    }
    return layers.BatchNormalization(epsilon=0.1, **options)(x)


FOLDED = {
    "no bias": lambda x: normalize(layers.Conv2D(6, 3, 2, use_bias=False)(x)),
    "bias": lambda x: normalize(layers.Conv2D(6, 3, bias_initializer="ones")(x)),
    "towers": lambda x: normalize(TowerConv2D(6, 3, groups=2, padding="same")(x)),
    "dense": lambda x: normalize(layers.Dense(5, use_bias=False)(layers.Flatten()(x))),
    "no scale": lambda x: normalize(layers.Conv2D(6, 3)(x), scale=False),
    "no center": lambda x: normalize(layers.Conv2D(6, 3)(x), center=False),
    "two convolutions": lambda x: layers.Add()(
        [normalize(layers.Conv2D(6, 3)(x)), normalize(layers.Conv2D(6, 3)(x))]
    ),
}


def used_twice(x):
    x = layers.Conv2D(6, 3)(x)
    return layers.Add()([x, normalize(x)])


def also_an_output(x):
    x = layers.Conv2D(6, 3)(x)
    return [x, normalize(x)]


STAYING = {
    "the image": normalize,
    "an activation": lambda x: normalize(layers.Conv2D(6, 3, activation="relu")(x)),
    "another axis": lambda x: normalize(layers.Conv2D(6, 3)(x), axis=1),
    "another layer": lambda x: normalize(layers.MaxPooling2D(2)(layers.Conv2D(6, 3)(x))),
    "a depthwise convolution": lambda x: normalize(layers.DepthwiseConv2D(3)(x)),
    "used twice": used_twice,
    "also an output": also_an_output,
}


@pytest.mark.parametrize("case", [*FOLDED, *STAYING])
def test_one_layer(case):
    model = on_a_map({**FOLDED, **STAYING}[case])
    folded = fold_batch_norm(model)
    assert bool(norms(folded)) == (case in STAYING)
    x = np.random.default_rng(0).normal(size=(3, 8, 9, 4)).astype("float32")
    for got, expected in zip(*(keras.tree.flatten(m(x)) for m in (folded, model)), strict=True):
        assert_near(got, expected, 1e-6)


def test_the_dtype_policy_of_each_layer_is_kept(policy):
    policy("mixed_bfloat16")
    model = network("resnet20")
    policy("float32")
    folded = fold_batch_norm(model)
    for layer in folded.layers[1:]:
        assert layer.dtype_policy.name == model.get_layer(layer.name).dtype_policy.name
    assert folded.get_layer("conv1_conv").dtype_policy.name == "mixed_bfloat16"
    assert {variable.dtype for variable in folded.variables} == {"float32"}
    assert_near(scores(folded), scores(model), 0.05)


def test_a_network_without_top():
    model = network("resnet18", include_top=False, input_shape=(None, None, 3))
    folded = fold_batch_norm(model)
    assert not norms(folded)
    assert folded.input_shape == model.input_shape
    x = images(model, 2, 33, 40)
    assert_near(folded(x), model(x), 1e-5)
