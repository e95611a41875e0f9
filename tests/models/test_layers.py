"""The papers' layers against plain loops in NumPy, forward, and against differences, backward."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_classics.errors import UserError
from keras_classics.models.layers import (
    AdaptiveAveragePooling2D,
    BatchNormalization,
    Dropout,
    EuclideanRBF,
    IdentityShortcut,
    LocalResponseNormalization,
    TableConv2D,
    TowerConv2D,
    TrainableSubsampling,
    scaled_tanh,
    softmin,
)
from tests.helpers.replicas import mirrored

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
    check_gradient(layer, 10 * normal(1, 2, 2, 6), lambda x: response_normalization(x, **constants))


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
    check_gradient(layer, x, two_towers)


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

    check_gradient(IdentityShortcut(5, 2), normal(1, 3, 4, 2), reference)


@given(side=st.integers(1, 20), size=st.integers(1, 8))
@settings(max_examples=40, deadline=None)
def test_adaptive_pooling(side, size):
    x = normal(2, side, 5, 3)
    outputs = AdaptiveAveragePooling2D((size, 2))(x).numpy()
    for i in range(size):
        rows = x[:, int(np.floor(i * side / size)) : int(np.ceil((i + 1) * side / size))]
        np.testing.assert_allclose(outputs[:, i, 0], rows[:, :, :3].mean(axis=(1, 2)), atol=1e-5)
        np.testing.assert_allclose(outputs[:, i, 1], rows[:, :, 2:].mean(axis=(1, 2)), atol=1e-5)


def batch_normalization(x, gamma, beta, epsilon=1e-5):
    mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta


def test_batch_normalization():
    layer = BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer="uniform")
    x = 3 * normal(4, 3, 2, 5) + 7
    outputs = layer(x, training=True)
    gamma, beta, mean, variance = (w.astype("float64") for w in layer.get_weights())
    x = x.astype("float64")
    np.testing.assert_allclose(outputs, batch_normalization(x, gamma, beta), atol=1e-5)
    np.testing.assert_allclose(mean, 0.1 * x.mean(axis=(0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(variance, 0.9 + 0.1 * x.var(axis=(0, 1, 2)), rtol=1e-5)
    inferred = (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    np.testing.assert_allclose(layer(x.astype("float32")), inferred, rtol=1e-4, atol=1e-5)


def test_batch_normalization_gradient():
    layer = BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer="uniform")
    training = Training(layer)
    training(normal(2, 3, 2, 4))
    check_gradient(training, normal(2, 3, 2, 4), batch_normalization)


class Training:
    """A layer called in training."""

    def __init__(self, layer: keras.layers.Layer):
        self.layer = layer

    @property
    def trainable_variables(self):
        return self.layer.trainable_variables

    def __call__(self, x):
        return self.layer(x, training=True)


def normalizations(**options) -> tuple[BatchNormalization, keras.layers.BatchNormalization]:
    options = {"momentum": 0.8, "epsilon": 1e-3, "name": "bn", **options}
    return BatchNormalization(**options), keras.layers.BatchNormalization(**options)


def assert_same_normalization(layers, x, training: bool) -> None:
    """Outputs, gradients and moving statistics agree to 1e-5 of their size.

    The gradients of gamma and beta are sums over all positions, which may cancel: they agree to
    1e-5 of each position's share.
    """
    positions = x.size // x.shape[-1]
    results = []
    for layer in layers:
        inputs = tf.constant(x, layer.compute_dtype)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=training)
            total = tf.reduce_sum(tf.sin(tf.cast(outputs, tf.float32)))
        wanted = [inputs, *(v.value for v in layer.trainable_variables)]
        of_inputs, *of_variables = tape.gradient(total, wanted)
        shares = [gradient / positions for gradient in of_variables]
        results.append([outputs, of_inputs, *shares, *layer.get_weights()])
        assert outputs.dtype == layer.compute_dtype
    for ours, keras_own in zip(*results, strict=True):
        ours, keras_own = (np.asarray(tf.cast(r, tf.float64)) for r in (ours, keras_own))
        np.testing.assert_allclose(ours, keras_own, atol=1e-5 * max(1, np.abs(keras_own).max()))


@given(
    batch=st.integers(1, 5),
    side=st.integers(1, 5),
    maps=st.integers(1, 6),
    scale=st.booleans(),
    center=st.booleans(),
    offset=st.floats(-3, 3),
)
@settings(max_examples=25, deadline=None)
def test_batch_normalization_is_keras_own(batch, side, maps, scale, center, offset):
    layers = normalizations(scale=scale, center=center)
    x = normal(batch, side, side + 1, maps) + offset
    for training in (True, True, False):
        assert_same_normalization(layers, x, training)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_batch_normalization_in_other_precisions(policy):
    layers = normalizations(dtype=policy)
    for training in (True, False):
        assert_same_normalization(layers, normal(4, 3, 3, 5), training)
    assert layers[0].moving_variance.dtype == ("float64" if policy == "float64" else "float32")


@pytest.mark.parametrize("shape", [(8, 5), (4, 6, 5), (2, 3, 3, 2, 5)])
def test_batch_normalization_of_other_ranks(shape):
    layers = normalizations()
    for training in (True, False):
        assert_same_normalization(layers, normal(*shape), training)


@pytest.mark.parametrize("synchronized", [False, True])
def test_batch_normalization_takes_the_fused_kernel(synchronized):
    layer = normalizations(synchronized=synchronized)[0]
    layer.build((None, 3, 3, 5))
    for dtype in (tf.float32, tf.bfloat16):
        layer.dtype_policy = "mixed_bfloat16" if dtype == tf.bfloat16 else "float32"
        graph = tf.function(lambda x: layer(x, training=True)).get_concrete_function(
            tf.TensorSpec((None, 3, 3, 5), dtype)
        )
        kernels = [op for op in graph.graph.get_operations() if op.type == "FusedBatchNormV3"]
        assert [op.inputs[0].dtype for op in kernels] == [dtype]
        assert [op.inputs[1].dtype for op in kernels] == [tf.float32]


def test_synchronized_batch_normalization_on_one_device():
    x = normal(4, 3, 3, 5)
    assert_same_normalization(normalizations(synchronized=True), x, training=True)
    alone, plain = (normalizations(synchronized=s)[0] for s in (True, False))
    np.testing.assert_array_equal(alone(x, training=True), plain(x, training=True))
    np.testing.assert_array_equal(alone.get_weights(), plain.get_weights())


def test_frozen_batch_normalization_does_not_move():
    layers = normalizations(trainable=False)
    assert_same_normalization(layers, normal(4, 3, 3, 5), training=True)
    np.testing.assert_array_equal(layers[0].moving_mean.numpy(), np.zeros(5))


def test_batch_normalization_saves_as_keras_own(tmp_path):
    image = keras.Input((3, 3, 5))
    ours, keras_own = (keras.Model(image, layer(image)) for layer in normalizations())
    x = normal(4, 3, 3, 5)
    for source, target in ((ours, keras_own), (keras_own, ours)):
        source(x, training=True)
        source.save_weights(tmp_path / "a.weights.h5")
        target.load_weights(tmp_path / "a.weights.h5")
        np.testing.assert_allclose(source(x), target(x), atol=1e-5)
    assert [v.path for v in ours.variables] == [v.path for v in keras_own.variables]
    configs = [model.layers[1].get_config() for model in (ours, keras_own)]
    assert configs[0] == configs[1]


MIRRORED = """
import keras, numpy as np, tensorflow as tf
from keras_classics.models.layers import BatchNormalization
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["/CPU:0", "/CPU:1"])
with strategy.scope():
    image = keras.Input((3, 3, 2))
    model = keras.Model(image, BatchNormalization(momentum=0.0, epsilon=1e-5)(image))
x = np.random.default_rng(0).normal(size=(8, 3, 3, 2)).astype("float32")
x += np.arange(8).reshape(8, 1, 1, 1)
data = strategy.experimental_distribute_dataset(tf.data.Dataset.from_tensor_slices(x).batch(8))

@tf.function
def run(images, training):
    return strategy.run(lambda i: model(i, training=training), args=(images,))

for images in data:
    run(images, True)
halves = x.reshape(2, -1, 2).astype("float64")
mean, variance = halves.mean(axis=1).mean(axis=0), halves.var(axis=1).mean(axis=0)
_, _, saved_mean, saved_variance = model.get_weights()
np.testing.assert_allclose(saved_mean, mean, rtol=1e-5)
np.testing.assert_allclose(saved_variance, variance, rtol=1e-5)
expected = (x - mean) / np.sqrt(variance + 1e-5)
for images in data:
    found = np.concatenate([part.numpy() for part in run(images, False).values])
np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
np.testing.assert_allclose(model(x), expected, rtol=1e-4, atol=1e-5)
model.save("SAVED")
loaded = keras.models.load_model("SAVED")
np.testing.assert_allclose(loaded(x), expected, rtol=1e-4, atol=1e-5)
model.set_weights([np.ones(2), np.zeros(2), np.array([5.0, 6.0]), np.ones(2)])
for images in data:
    found = np.concatenate([part.numpy() for part in run(images, False).values])
np.testing.assert_allclose(found, x - [5.0, 6.0], rtol=1e-4, atol=1e-4)
"""


def test_batch_normalization_over_replicas(run_python, tmp_path):
    done = run_python("-c", MIRRORED.replace("SAVED", str(tmp_path / "model.keras")))
    assert done.returncode == 0, done.stderr


# Against one device by numbers: sums of float64, and differences of them for the gradients.
SYNCHRONIZED = """
import sys
import keras, numpy as np, tensorflow as tf
from keras_classics.models.layers import BatchNormalization
replicas = int(sys.argv[1])
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * replicas)
strategy = tf.distribute.MirroredStrategy([f"/CPU:{i}" for i in range(replicas)])
draw = np.random.default_rng(0)
gamma, beta = draw.uniform(0.5, 2.0, 3), draw.normal(size=3)

def reference(x, gamma, beta, weighting):
    maps = x.reshape(-1, 3)
    mean = maps.sum(axis=0) / len(maps)
    variance = ((maps - mean) ** 2).sum(axis=0) / len(maps)
    outputs = (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    return (weighting * np.sin(outputs)).sum(), outputs, mean, variance

def differences(values, weighting):
    slopes = []
    for value in values:
        slopes.append(np.zeros(value.shape))
        for place in np.ndindex(value.shape):
            sides = []
            for change in (1e-5, -2e-5):
                value[place] += change
                sides.append(reference(*values, weighting)[0])
            value[place] += 1e-5
            slopes[-1][place] = (sides[0] - sides[1]) / 2e-5
    return slopes

def on_replicas(layer_class, x, weighting, policy="float32"):
    with strategy.scope():
        layer = layer_class(momentum=0.9, epsilon=1e-3, synchronized=True, dtype=policy)
        layer.build((None, *x.shape[1:]))
        layer.set_weights([gamma, beta, np.zeros(3), np.ones(3)])

    def step(x, weighting):
        x = tf.cast(x, layer.compute_dtype)
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, training=True)
            assert outputs.dtype == x.dtype
            total = tf.reduce_sum(weighting * tf.sin(tf.cast(outputs, tf.float32)))
        variables = [variable.value for variable in layer.trainable_variables]
        results = [outputs, *tape.gradient(total, [x, *variables])]
        return [tf.cast(result, tf.float32) for result in results]

    @tf.function
    def run(x, weighting):
        for _ in tf.range(1):
            strategy.run(step, args=(x, weighting))
        return strategy.run(step, args=(x, weighting))

    whole = tf.data.Dataset.from_tensors((x.astype("float32"), weighting.astype("float32")))
    for images, weights in strategy.experimental_distribute_dataset(whole.unbatch().batch(len(x))):
        results = run(images, weights)
    parts = [[p.numpy() for p in strategy.experimental_local_results(r)] for r in results]
    outputs, of_x = (np.concatenate(part) for part in parts[:2])
    # As who trains adds up the gradients of the replicas.
    of_gamma, of_beta = (sum(part) for part in parts[2:])
    for moving in (layer.moving_mean, layer.moving_variance):
        first, *others = (p.numpy() for p in strategy.experimental_local_results(moving.value))
        for other in others:
            np.testing.assert_array_equal(first, other)
    return [outputs, of_x, of_gamma, of_beta, *layer.get_weights()[2:]]

def check(results, expected, tolerance=1e-5):
    for found, wanted in zip(results, expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=tolerance * np.abs(wanted).max())

# The same number of images for each replica, fewer for the last, none for the last.
for images in (2 * replicas, 2 * replicas - 1, replicas - 1):
    x = draw.normal(size=(images, 2, 3, 3)) + [0, 3, -1] + np.arange(images).reshape(-1, 1, 1, 1)
    # Exact in bfloat16.
    x = np.round(16 * x) / 16
    weighting = draw.normal(size=x.shape)
    _, outputs, mean, variance = reference(x, gamma, beta, weighting)
    slopes = differences([x, gamma, beta], weighting)
    expected = [outputs, *slopes, 0.19 * mean, 0.81 + 0.19 * variance]
    check(on_replicas(BatchNormalization, x, weighting), expected)
    check(on_replicas(BatchNormalization, x, weighting, "mixed_bfloat16"), expected, 3e-2)
    if images >= replicas:
        check(on_replicas(keras.layers.BatchNormalization, x, weighting), expected)
# Where the mean of the squares minus the square of the mean would cancel.
far = (100 + 0.1 * x).astype("float32").astype("float64")
found = on_replicas(BatchNormalization, far, weighting)[-1]
np.testing.assert_allclose((found - 0.81) / 0.19, far.var(axis=(0, 1, 2)), rtol=1e-3)
"""


@pytest.mark.parametrize("replicas", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_synchronized_batch_normalization_over_replicas(run_python, tmp_path, replicas):
    # In a file: loops are compiled from the source.
    program = tmp_path / "program.py"
    program.write_text(SYNCHRONIZED)
    done = run_python(str(program), str(replicas))
    assert done.returncode == 0, done.stderr


def masks(shape, replicas: int = 1, steps: int = 2, **options) -> tuple[np.ndarray, np.ndarray]:
    """What dropout makes of ones in a few steps, and its state after them."""
    strategy = mirrored(replicas)
    with strategy.scope():
        layer = Dropout(0.3, seed=7)

    @tf.function(**options)
    def run(steps):
        parts = tf.TensorArray(tf.float32, steps)
        for step in tf.range(steps):
            ones = tf.ones((shape[0] // replicas, *shape[1:]))
            outputs = strategy.run(lambda x: layer(x, training=True), args=(ones,))
            outputs = tf.concat(strategy.experimental_local_results(outputs), 0)
            parts = parts.write(step, outputs)
        return parts.stack()

    states = strategy.experimental_local_results(layer.seed_generator.state.value)
    found = run(steps).numpy()
    for state in states:
        np.testing.assert_array_equal(state, [7, steps])
    return found


@pytest.mark.parametrize("shape", [(6, 8), (6, 5), (6,), (6, 3, 2, 3), (12, 1)])
def test_masks_do_not_depend_on_the_number_of_replicas(shape):
    whole = masks(shape)
    layer = Dropout(0.3, seed=7)
    for step in whole:
        np.testing.assert_array_equal(step, layer(np.ones(shape, "float32"), training=True))
    np.testing.assert_array_equal(whole, masks(shape, jit_compile=True))
    for replicas in (2, 3):
        np.testing.assert_array_equal(whole, masks(shape, replicas))


def test_masks():
    outputs = masks((6, 999), replicas=3)
    assert set(np.unique(outputs)) == {np.float32(0), np.float32(1 / 0.7)}
    # Each value is kept by a chance of its own: 0.7, and 0.7 ** 2 for two of them.
    kept = (outputs > 0).reshape(12, 999)
    assert kept.mean() == pytest.approx(0.7, abs=0.02)
    for one, other in zip(kept, [*kept[1:], kept[0]], strict=True):
        assert (one & other).mean() == pytest.approx(0.49, abs=0.08)
    assert (kept[:, 1:] & kept[:, :-1]).mean() == pytest.approx(0.49, abs=0.02)


@pytest.mark.parametrize("policy", ["float32", "float64", "mixed_bfloat16", "mixed_float16"])
def test_dropout_passes_gradients_where_it_keeps(policy):
    layer = Dropout(0.75, dtype=policy)
    x = tf.constant(normal(4, 9), layer.compute_dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x, training=True)
    gradient = tape.gradient(outputs, x)
    assert outputs.dtype == gradient.dtype == layer.compute_dtype
    assert set(gradient.numpy().astype("float32").reshape(-1)) == {0.0, 4.0}
    np.testing.assert_array_equal(outputs, gradient * x)


def test_dropout_of_images_of_any_size():
    layer = Dropout(0.5, seed=1)
    run = tf.function(lambda x: layer(x, training=True))
    any_size = run.get_concrete_function(tf.TensorSpec((None, None, None, 3)))
    for shape in ((2, 3, 5, 3), (0, 3, 5, 3)):
        layer.seed_generator.state.assign([1, 0])
        found = any_size(tf.ones(shape))
        layer.seed_generator.state.assign([1, 0])
        np.testing.assert_array_equal(found, layer(tf.ones(shape), training=True))


def test_dropout_is_keras_own_but_for_the_masks(tmp_path):
    image = keras.Input((6,))
    layers = [layer(0.5, seed=3) for layer in (Dropout, keras.layers.Dropout)]
    ours, keras_own = (keras.Model(image, layer(image)) for layer in layers)
    assert re.sub(r"_\d+", "", ours.layers[1].name) == "dropout"
    configs = [{**layer.get_config(), "name": ""} for layer in layers]
    assert configs[0] == configs[1]
    for _ in range(2):
        for model in (ours, keras_own):
            model(normal(4, 6), training=True)
        states = [[v.numpy().tolist() for v in m.variables] for m in (ours, keras_own)]
        assert states[0] == states[1]
    ours.save_weights(tmp_path / "a.weights.h5")
    keras_own.load_weights(tmp_path / "a.weights.h5")
    ours.save(tmp_path / "a.keras")
    assert type(keras.models.load_model(tmp_path / "a.keras").layers[1]) is Dropout


@pytest.mark.parametrize(
    "options", [{"rate": 0}, {"rate": 1}, {"rate": 0.5, "noise_shape": (4, 1)}]
)
def test_dropout_takes_keras_own_path(options):
    x = normal(4, 6)
    ours, keras_own = (layer(**options, seed=3) for layer in (Dropout, keras.layers.Dropout))
    for training in (True, False):
        np.testing.assert_array_equal(ours(x, training=training), keras_own(x, training=training))


def test_dropout_is_nothing_at_inference():
    graph = tf.function(Dropout(0.5)).get_concrete_function(tf.TensorSpec((None, 6))).graph
    assert {op.type for op in graph.get_operations()} == {"Placeholder", "Identity"}
