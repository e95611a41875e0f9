"""The papers' layers against plain loops in NumPy, forward, and against differences, backward."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_classics.errors import UserError
from keras_classics.models.layers import (
    EuclideanRBF,
    TableConv2D,
    TrainableSubsampling,
    scaled_tanh,
    softmin,
)

TABLE = [[1, 0, 1], [0, 1, 1]]


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype("float32")


def check_gradient(layer: keras.layers.Layer, x: np.ndarray, reference) -> None:
    """Compares the gradient of sum(c * layer(x)), c random, with differences of `reference`.

    `reference` computes the layer in float64 from the input and the layer's weights.
    """
    variables = [v.value for v in layer.trainable_variables]
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs)
        weighting = normal(*outputs.shape)
        total = tf.reduce_sum(outputs * weighting)
    gradients = tape.gradient(total, [inputs, *variables])
    values = [x.astype("float64"), *(v.numpy().astype("float64") for v in variables)]
    for which, gradient in enumerate(gradients):
        for place in list(np.ndindex(values[which].shape))[:: max(1, gradient.numpy().size // 7)]:
            sides = []
            for step in (1e-5, -1e-5):
                moved = [value.copy() for value in values]
                moved[which][place] += step
                sides.append(np.sum(reference(*moved) * weighting))
            slope = (sides[0] - sides[1]) / 2e-5
            np.testing.assert_allclose(gradient.numpy()[place], slope, rtol=2e-3, atol=2e-4)


def subsampling(x, coefficient, bias):
    batch, height, width, maps = x.shape
    out = np.zeros((batch, height // 2, width // 2, maps))
    for row in range(height // 2):
        for column in range(width // 2):
            window = x[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            out[:, row, column] = np.tanh(window.sum(axis=(1, 2)) * coefficient + bias)
    return out


def table_convolution(x, taps, bias):
    size = taps.shape[0]
    batch, height, width, _ = x.shape
    out = np.tile(bias, (batch, height - size + 1, width - size + 1, 1))
    links = [(i, o) for i, row in enumerate(TABLE) for o, one in enumerate(row) if one]
    for link, (source, target) in enumerate(links):
        for row in range(out.shape[1]):
            for column in range(out.shape[2]):
                window = x[:, row : row + size, column : column + size, source]
                out[:, row, column, target] += (window * taps[..., link]).sum(axis=(1, 2))
    return out


@pytest.mark.parametrize("sides", [(4, 6), (5, 7)])
def test_subsampling(sides):
    layer = TrainableSubsampling(
        activation="tanh", coefficient_initializer="random_normal", bias_initializer="random_normal"
    )
    x = normal(2, *sides, 3)
    got = layer(x)
    weights = [v.numpy() for v in layer.weights]
    assert layer.count_params() == 6
    assert layer.compute_output_shape(x.shape) == got.shape
    np.testing.assert_allclose(got, subsampling(x, *weights), atol=1e-6)
    check_gradient(layer, x, subsampling)


def test_table_convolution():
    layer = TableConv2D(TABLE, 3, bias_initializer="random_normal")
    x = normal(2, 5, 6, 2)
    got = layer(x)
    weights = [v.numpy() for v in layer.weights]
    assert layer.count_params() == 4 * 9 + 3
    assert layer.compute_output_shape(x.shape) == got.shape
    np.testing.assert_allclose(got, table_convolution(x, *weights), atol=1e-5)
    check_gradient(layer, x, table_convolution)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.lists(st.integers(0, 1), min_size=3, max_size=3), min_size=2, max_size=4))
def test_table_convolution_equals_a_masked_convolution(table):
    table = np.array([*table, [1, 1, 1]])
    layer = TableConv2D(table, 3)
    x = normal(1, 5, 5, len(table))
    got = layer(x)
    assert layer.kernel.shape == (3, 3, table.sum())
    dense = layer.dense_kernel(layer.kernel.value).numpy()
    assert (dense[:, :, table == 0] == 0).all()
    np.testing.assert_allclose(got, tf.nn.conv2d(x, dense, 1, "VALID"), atol=1e-5)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([[1, 2]], "grid of 0 and 1"),
        ([1, 0], "grid of 0 and 1"),
        ([[1, 0], [1, 0]], "Each column"),
    ],
)
def test_wrong_tables(table, message):
    with pytest.raises(UserError, match=message):
        TableConv2D(table, 3)


def test_table_for_another_number_of_maps():
    with pytest.raises(UserError, match="a table for 2 input maps. Received: 3 maps"):
        TableConv2D(TABLE, 3)(normal(1, 5, 5, 3))


def test_euclidean_rbf():
    codes = np.sign(normal(4, 7))
    layer = EuclideanRBF(codes)
    x = normal(3, 7)
    expected = [[sum((x[n] - codes[i]) ** 2) for i in range(4)] for n in range(3)]
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5)
    assert layer.trainable_variables == []
    check_gradient(layer, x, lambda x: ((x[:, None] - codes) ** 2).sum(axis=2))
    with pytest.raises(UserError, match=r"shape \(classes, 6\)"):
        EuclideanRBF(codes)(normal(3, 6))


@pytest.mark.parametrize(
    "layer",
    [
        TrainableSubsampling(activation=scaled_tanh),
        TableConv2D(TABLE, 3, activation=scaled_tanh),
    ],
)
def test_layers_come_back_from_their_configuration(layer):
    x = normal(1, 6, 6, 2)
    layer(x)
    again = type(layer).from_config(layer.get_config())
    again.build(x.shape)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(x), layer(x))


def test_scaled_tanh():
    # LeCun et al. 1998, Appendix A: f(1) = 1, f(-1) = -1, asymptotes at +-1.7159.
    np.testing.assert_allclose(
        scaled_tanh(np.float32([-1, 0, 1, 99])), [-1, 0, 1, 1.7159], atol=1e-4
    )


def test_softmin():
    distances = np.float32([[1, 2, 4]])
    expected = np.exp(-distances) / np.exp(-distances).sum()
    np.testing.assert_allclose(softmin(distances), expected, rtol=1e-6)
