"""Initial weights: their moments, their seeds, their names."""

import json

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_classics.errors import UserError
from keras_classics.models.initializers import (
    INITIALIZERS,
    PIECE,
    FanInUniform,
    UntruncatedHeNormal,
    kernel_initializer,
)


@pytest.mark.parametrize(("mode", "fan"), [("fan_in", 9 * 200), ("fan_out", 9 * 300)])
def test_he_normal_is_gaussian(mode, fan):
    values = np.array(UntruncatedHeNormal(mode, seed=1)((3, 3, 200, 300))) * (fan / 2) ** 0.5
    assert values.dtype == "float32"
    assert values.mean() == pytest.approx(0, abs=0.006)
    assert values.std() == pytest.approx(1, abs=0.004)
    assert (values**3).mean() == pytest.approx(0, abs=0.02)
    assert (values**4).mean() == pytest.approx(3, abs=0.05)
    # Not cut off: of a Gaussian 4.55 % are beyond two deviations, 0.27 % beyond three.
    assert (np.abs(values) > 2).mean() == pytest.approx(0.0455, abs=0.001)
    assert (np.abs(values) > 3).mean() == pytest.approx(0.0027, abs=0.0003)


def test_values_of_a_pair_and_of_neighbours_are_independent():
    values = np.array(UntruncatedHeNormal(seed=2)((1, 1, 1, 4 * PIECE))).reshape(4, 2, PIECE // 2)
    first, second = values[:, 0].ravel(), values[:, 1].ravel()
    for a, b in ((first, second), (first**2, second**2), (first[1:], first[:-1])):
        assert np.corrcoef(a, b)[0, 1] == pytest.approx(0, abs=0.02)


@given(size=st.integers(1, 70) | st.integers(PIECE - 3, PIECE + 3), seed=st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_any_size_is_filled_and_repeatable(size, seed):
    values, again = (np.array(UntruncatedHeNormal(seed=seed)((1, size))) for _ in range(2))
    np.testing.assert_array_equal(values, again)
    assert np.isfinite(values).all()
    assert np.unique(values).size > 0.9 * size


def test_layers_of_one_shape_start_differently_and_a_seed_repeats_them():
    def kernels() -> list[np.ndarray]:
        keras.utils.set_random_seed(5)
        layers = [
            keras.layers.Conv2D(4, 3, kernel_initializer=kernel_initializer(name, f"conv{i}"))
            for name in ("he_fan_in", "alexnet")
            for i in range(2)
        ]
        for layer in layers:
            layer.build((None, 8, 8, 4))
        return [layer.kernel.numpy() for layer in layers]

    first, second = kernels(), kernels()
    for i in range(4):
        np.testing.assert_array_equal(first[i], second[i])
        assert all(not np.array_equal(first[i], first[j]) for j in range(i))


@pytest.mark.parametrize("name", INITIALIZERS)
def test_schemes_survive_saving(name):
    initializer = kernel_initializer(name, "conv3")
    config = json.loads(json.dumps(keras.initializers.serialize(initializer)))
    again = keras.initializers.deserialize(config)
    assert again.get_config() == initializer.get_config()


def test_unknown_scheme():
    with pytest.raises(UserError, match="Unknown kernel_initializer 'he_fanin'. Did you mean he_f"):
        kernel_initializer("he_fanin", "conv1")


# Krizhevsky et al. 2012, section 5; configuration 145 of the original code; Caffe's CaffeNet;
# Simonyan and Zisserman 2015, section 3.1; torchvision.
@pytest.mark.parametrize(
    ("scheme", "deviations"),
    [
        ("alexnet", {"conv1": 0.01, "fc6": 0.01}),
        ("alexnet_code", {"conv2": 0.01, "conv3": 0.03, "conv4": 0.03, "conv5": 0.03, "fc6": 0.01}),
        ("caffenet", {"conv1": 0.01, "fc6": 0.005, "fc7": 0.005, "predictions": 0.01}),
        ("alexnet_slim", {"fc6": 0.005, "fc7": 0.005, "predictions": 0.005}),
        ("vgg", {"block1_conv1": 0.1, "fc1": 0.1}),
        ("vgg_torchvision", {"fc1": 0.01, "fc2": 0.01, "predictions": 0.01}),
    ],
)
def test_deviations_of_the_schemes(scheme, deviations):
    for layer, deviation in deviations.items():
        initializer = kernel_initializer(scheme, layer)
        assert initializer.get_config()["stddev"] == deviation
        truncated = isinstance(initializer, keras.initializers.TruncatedNormal)
        assert truncated == (scheme == "alexnet_slim")


@pytest.mark.parametrize(
    ("scheme", "layer", "mode"),
    [
        ("he_fan_in", "conv1", "fan_in"),
        ("he_fan_out", "fc6", "fan_out"),
        ("vgg_torchvision", "block1_conv1", "fan_out"),
    ],
)
def test_schemes_of_he(scheme, layer, mode):
    initializer = kernel_initializer(scheme, layer)
    assert isinstance(initializer, UntruncatedHeNormal)
    assert initializer.mode == mode
    assert UntruncatedHeNormal().mode == "fan_in"


def test_xavier_of_alexnet_slim():
    initializer = kernel_initializer("alexnet_slim", "conv1")
    assert isinstance(initializer, keras.initializers.GlorotUniform)


@pytest.mark.parametrize("exponent", [1.0, 0.5])
@pytest.mark.parametrize(("fan_in", "inputs"), [(None, 4 * 5), (7, 7), ([3, 6], [3, 6])])
def test_fan_in_uniform_fills_its_bounds(fan_in, inputs, exponent):
    initializer = FanInUniform(fan_in, seed=3, exponent=exponent)
    values = np.array(initializer((4, 5, 2))).reshape(-1, 2)
    bound = 2.4 / np.array(inputs) ** exponent
    assert (np.abs(values) <= bound).all()
    assert (values.max(axis=0) > 0.8 * bound).all()
    assert (values.min(axis=0) < -0.8 * bound).all()
    again = keras.initializers.deserialize(keras.initializers.serialize(initializer))
    np.testing.assert_array_equal(np.array(again((4, 5, 2))).reshape(-1, 2), values)


def test_values_of_a_seed_stay_the_same():
    # Published runs repeat only as long as these do. Of two pieces, and a part of a third.
    values = np.array(UntruncatedHeNormal(seed=1)((1, 2 * PIECE + 5)))[0]
    assert PIECE == 32768
    expected = {
        0: [-1.0562409, -4.6042614, -1.1254771],
        PIECE // 2: [-0.99745244, -0.7236143],
        PIECE: [-0.356292, 1.9781965],
        2 * PIECE: [0.46656257, 1.5697618, 0.53002805, -0.7937488, -1.718818],
    }
    for start, numbers in expected.items():
        np.testing.assert_allclose(values[start : start + len(numbers)], numbers, rtol=1e-5)
