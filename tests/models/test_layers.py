"""The papers' layers against plain loops in NumPy, forward, and against differences, backward."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_classics.errors import UserError
from keras_classics.models.layers import (
    AdaptiveAveragePooling2D,
    EuclideanRBF,
    IdentityShortcut,
    LocalResponseNormalization,
    TableConv2D,
    TowerConv2D,
    TrainableSubsampling,
    scaled_tanh,
    softmin,
)
from tests.helpers.gradients import assert_gradient, normal

TABLE = [[1, 0, 1], [0, 1, 1]]


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
    assert_gradient(layer, x, subsampling)


def test_table_convolution():
    layer = TableConv2D(TABLE, 3, bias_initializer="random_normal")
    x = normal(2, 5, 6, 2)
    got = layer(x)
    weights = [v.numpy() for v in layer.weights]
    assert layer.count_params() == 4 * 9 + 3
    assert layer.compute_output_shape(x.shape) == got.shape
    np.testing.assert_allclose(got, table_convolution(x, *weights), atol=1e-5)
    assert_gradient(layer, x, table_convolution)


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
    assert_gradient(layer, x, lambda x: ((x[:, None] - codes) ** 2).sum(axis=2))
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


LRN = {
    "the paper": {},
    "the original code": {"divide_alpha_by_n": True},
    "Caffe": {"k": 1.0, "divide_alpha_by_n": True},
    "strong": {"n": 3, "k": 0.5, "alpha": 0.1, "beta": 0.6},
}


def response_normalization(x, n=5, k=2.0, alpha=1e-4, beta=0.75, divide_alpha_by_n=False):
    """Krizhevsky et al. 2012, section 3.3, map by map."""
    out = np.zeros_like(x)
    for i in range(x.shape[-1]):
        total = 0
        for j in range(max(0, i - n // 2), min(x.shape[-1] - 1, i + n // 2) + 1):
            total = total + x[..., j] ** 2
        out[..., i] = x[..., i] / (k + alpha / (n if divide_alpha_by_n else 1) * total) ** beta
    return out


@pytest.mark.parametrize("constants", LRN.values(), ids=LRN)
def test_response_normalization(constants):
    x = 100 * normal(2, 3, 2, 7)
    layer = LocalResponseNormalization(**constants)
    expected = response_normalization(x.astype("float64"), **constants)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5)
    # The path of the other backends.
    other = LocalResponseNormalization(**constants, dtype="float64")
    np.testing.assert_allclose(other(x.astype("float64")), expected, rtol=1e-10)


@pytest.mark.parametrize("constants", LRN.values(), ids=LRN)
def test_response_normalization_gradient(constants):
    layer = LocalResponseNormalization(**constants)
    assert_gradient(
        layer, 10 * normal(1, 2, 2, 6), lambda x: response_normalization(x, **constants)
    )


def test_response_normalization_constants_of_the_paper_and_the_code():
    # At activations of about 100 the denominators are 4.30 and 2.28; near 1 both are 1.68.
    x = np.full((1, 1, 1, 9), 100, "float32")
    middle = {
        name: (scale * x / LocalResponseNormalization(**LRN[name])(scale * x)).numpy()[0, 0, 0, 4]
        for name, scale in (("the paper", 1.0), ("the original code", 1.0))
    }
    assert middle["the paper"] == pytest.approx((2 + 5) ** 0.75, rel=1e-5)
    assert middle["the original code"] == pytest.approx((2 + 1) ** 0.75, rel=1e-5)
    for name in middle:
        ones = LocalResponseNormalization(**LRN[name])(x / 100).numpy()[0, 0, 0, 4]
        assert 1 / ones == pytest.approx(2**0.75, rel=1e-3)


def test_response_normalization_keeps_bfloat16_exact():
    layer = LocalResponseNormalization(dtype="mixed_bfloat16")
    x = tf.cast(100 * normal(1, 2, 2, 7), tf.bfloat16)
    expected = response_normalization(tf.cast(x, tf.float64).numpy())
    assert layer(x).dtype == tf.bfloat16
    np.testing.assert_allclose(tf.cast(layer(x), tf.float64), expected, rtol=2**-8)


def test_response_normalization_wants_an_odd_window():
    with pytest.raises(UserError, match="n must be an odd number of maps. Received: 4"):
        LocalResponseNormalization(n=4)


@pytest.mark.parametrize("options", [{}, {"padding": "same"}, {"strides": 2}])
@pytest.mark.parametrize("groups", [1, 2, 3])
def test_towers_are_grouped_convolutions(groups, options):
    options = {"activation": "relu", "bias_initializer": "normal", **options}
    towers = TowerConv2D(12, 3, groups=groups, **options)
    grouped = keras.layers.Conv2D(12, 3, groups=groups, **options)
    x = tf.constant(normal(2, 7, 8, 6))
    towers.build(x.shape)
    grouped.build(x.shape)
    grouped.set_weights(towers.get_weights())
    results = []
    for layer in (towers, grouped):
        variables = [v.value for v in layer.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x)
            total = tf.reduce_sum(tf.sin(outputs))
        results.append([outputs, *tape.gradient(total, [x, *variables])])
    for ours, keras_own in zip(*results, strict=True):
        np.testing.assert_allclose(ours, keras_own, rtol=1e-4, atol=1e-5)


def two_towers(x, kernel, bias):
    """Each half of the output maps from its half of the input maps."""
    half_in, half_out = x.shape[-1] // 2, kernel.shape[-1] // 2
    out = np.zeros((x.shape[0], x.shape[1] - 1, x.shape[2] - 1, 2 * half_out))
    for o in range(2 * half_out):
        tower = o // half_out
        seen = x[..., tower * half_in : (tower + 1) * half_in]
        for row, column in np.ndindex(out.shape[1:3]):
            window = seen[:, row : row + 2, column : column + 2]
            out[:, row, column, o] = np.sum(window * kernel[..., o], axis=(1, 2, 3)) + bias[o]
    return out


def test_towers():
    layer = TowerConv2D(6, 2, bias_initializer="normal")
    x = normal(2, 4, 3, 4)
    outputs = layer(x)
    weights = [w.astype("float64") for w in layer.get_weights()]
    np.testing.assert_allclose(outputs, two_towers(x, *weights), rtol=1e-4, atol=1e-5)
    assert_gradient(layer, x, two_towers)


def test_towers_need_no_xla():
    layer = TowerConv2D(6, 2)
    graph = tf.function(layer).get_concrete_function(tf.TensorSpec((None, 4, 4, 4)))
    # Keras's own hides the convolution in a function that XLA must compile.
    assert [op.type for op in graph.graph.get_operations()].count("Conv2D") == 2


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    maps=st.integers(1, 4),
    new=st.integers(0, 5),
    strides=st.integers(1, 3),
)
@settings(max_examples=30, deadline=None)
def test_identity_shortcut(height, width, maps, new, strides):
    x = normal(2, height, width, maps)
    layer = IdentityShortcut(maps + new, strides)
    outputs = layer(x).numpy()
    assert outputs.shape == layer.compute_output_shape(x.shape)
    np.testing.assert_array_equal(outputs[..., :maps], x[:, ::strides, ::strides])
    assert not outputs[..., maps:].any()


def test_identity_shortcut_gradient():
    def reference(x):
        return np.concatenate([x[:, ::2, ::2], np.zeros((1, 2, 2, 3))], axis=-1)

    assert_gradient(IdentityShortcut(5, 2), normal(1, 3, 4, 2), reference)


@given(side=st.integers(1, 20), size=st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_adaptive_pooling(side, size):
    x = normal(2, side, 5, 3)
    outputs = AdaptiveAveragePooling2D((size, 2))(x).numpy()
    for i in range(size):
        rows = x[:, int(np.floor(i * side / size)) : int(np.ceil((i + 1) * side / size))]
        np.testing.assert_allclose(outputs[:, i, 0], rows[:, :, :3].mean(axis=(1, 2)), atol=1e-5)
        np.testing.assert_allclose(outputs[:, i, 1], rows[:, :, 2:].mean(axis=(1, 2)), atol=1e-5)
