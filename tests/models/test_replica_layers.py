"""Batch normalisation and dropout, on one device and on several replicas."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_classics.models.replica_layers import BatchNormalization, Dropout
from tests.helpers.gradients import assert_gradient, normal
from tests.helpers.replicas import mirrored


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


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_groups_are_normalised_as_batches_of_their_own(dtype):
    images = tf.cast(3 * normal(6, 3, 2, 5) + 7, dtype)
    policy = dtype if dtype == "float32" else f"mixed_{dtype}"
    *alone, grouped = (BatchNormalization(0.9, 1e-5, dtype=policy) for _ in range(3))
    grouped.group = 3
    outputs = tf.function(lambda x: grouped(x, training=True))(images)
    halves = zip(alone, (images[:3], images[3:]), strict=True)
    parts = [layer(half, training=True) for layer, half in halves]
    tolerance = {"atol": 1e-5} if dtype == "float32" else {"atol": 0.05}
    assert outputs.dtype == dtype
    np.testing.assert_allclose(
        tf.cast(outputs, "float32"), tf.cast(tf.concat(parts, 0), "float32"), **tolerance
    )
    # The moving statistics move by the mean over the groups.
    weights = (layer.get_weights() for layer in (grouped, *alone))
    for moved, *of_groups in zip(*weights, strict=True):
        np.testing.assert_allclose(moved, np.mean(of_groups, axis=0), rtol=1e-2, atol=1e-6)
    # Evaluation takes any number of images.
    assert grouped(images[:4]).shape == (4, 3, 2, 5)


def test_batch_normalization_gradient():
    layer = BatchNormalization(momentum=0.9, epsilon=1e-5, gamma_initializer="uniform")
    training = Training(layer)
    training(normal(2, 3, 2, 4))
    assert_gradient(training, normal(2, 3, 2, 4), batch_normalization)


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


@pytest.mark.parametrize("policy", ["bfloat16", "float16"])
def test_batch_normalization_with_weights_in_half_precision(policy):
    half, exact = BatchNormalization(0.9, 1e-5, dtype=policy), BatchNormalization(0.9, 1e-5)
    x = normal(4, 3, 3, 5)
    for training in (True, False):
        outputs = half(tf.cast(x, policy), training=training)
        assert outputs.dtype == policy
        np.testing.assert_allclose(
            tf.cast(outputs, tf.float32), exact(x, training=training), atol=0.03
        )
    assert half.moving_variance.dtype == policy
    for found, wanted in zip(half.get_weights(), exact.get_weights(), strict=True):
        np.testing.assert_allclose(np.asarray(found, "float32"), wanted, rtol=0.01, atol=0.01)


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
from keras_classics.models.replica_layers import BatchNormalization
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


def test_batch_normalization_over_replicas(run_program, tmp_path):
    done = run_program("-c", MIRRORED.replace("SAVED", str(tmp_path / "model.keras")))
    assert done.returncode == 0, done.stderr


# Against one device by numbers: sums of float64, and differences of them for the gradients.
SYNCHRONIZED = """
import sys
import keras, numpy as np, tensorflow as tf
from keras_classics.models.replica_layers import BatchNormalization
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

# Fewer images for the last replica, none for the last.
for images in (2 * replicas - 1, replicas - 1):
    x = draw.normal(size=(images, 2, 3, 3)) + [0, 3, -1] + np.arange(images).reshape(-1, 1, 1, 1)
    # Exact in bfloat16.
    x = np.round(16 * x) / 16
    weighting = draw.normal(size=x.shape)
    _, outputs, mean, variance = reference(x, gamma, beta, weighting)
    slopes = differences([x, gamma, beta], weighting)
    expected = [outputs, *slopes, 0.19 * mean, 0.81 + 0.19 * variance]
    check(on_replicas(BatchNormalization, x, weighting), expected)
    if images >= replicas:
        check(on_replicas(keras.layers.BatchNormalization, x, weighting), expected)
        check(on_replicas(BatchNormalization, x, weighting, "mixed_bfloat16"), expected, 3e-2)
# Where the mean of the squares minus the square of the mean would cancel.
far = (100 + 0.1 * x).astype("float32").astype("float64")
found = on_replicas(BatchNormalization, far, weighting)[-1]
np.testing.assert_allclose((found - 0.81) / 0.19, far.var(axis=(0, 1, 2)), rtol=1e-3)
"""


@pytest.mark.parametrize("replicas", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_synchronized_batch_normalization_over_replicas(run_program, tmp_path, replicas):
    # In a file: loops are compiled from the source.
    program = tmp_path / "program.py"
    program.write_text(SYNCHRONIZED)
    done = run_program(str(program), str(replicas))
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


@pytest.mark.parametrize(
    "shape",
    [
        (6, 5),
        (6, 3, 2, 3),
        *(pytest.param(shape, marks=pytest.mark.slow) for shape in ((6, 8), (6,), (12, 1))),
    ],
)
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
