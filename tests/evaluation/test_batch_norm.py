"""Recomputed moving statistics against NumPy, layer by layer, and against training."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.evaluation.batch_norm import recompute_batch_norm
from keras_classics.models.replica_layers import BatchNormalization
from tests.helpers.replicas import mirrored

SIZES = (5, 1, 9)


def images(count: int, seed: int = 0, side: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.3, 2, (count, side, side, 3)).astype("float32")


def statistics(model: keras.Model) -> list[np.ndarray]:
    return [np.array(v) for v in model.variables if v.name.startswith("moving")]


def others(model: keras.Model) -> list[np.ndarray]:
    return [np.array(v) for v in model.variables if not v.name.startswith("moving")]


def disturbed(model: keras.Model) -> keras.Model:
    """Gives all variables that training changes values other than the initial ones."""
    random = np.random.default_rng(1)
    for variable in model.weights:
        if variable.name in ("gamma", "moving_variance"):
            variable.assign(random.uniform(0.5, 2, variable.shape))
        elif variable.name in ("beta", "moving_mean"):
            variable.assign(random.normal(size=variable.shape))
    return model


def small(dtype: str = "float32") -> keras.Model:
    """Two normalisations, Keras's and ours, the second after a dropout."""
    keras.utils.set_random_seed(0)
    image = keras.Input((6, 6, 3))
    options = {"dtype": dtype}
    x = keras.layers.Conv2D(4, 1, use_bias=False, name="conv1", **options)(image)
    x = keras.layers.BatchNormalization(epsilon=1e-3, name="bn1", **options)(x)
    x = keras.layers.ReLU(**options)(x)
    x = keras.layers.Dropout(0.5, **options)(x)
    x = keras.layers.Conv2D(5, 1, use_bias=False, name="conv2", **options)(x)
    x = BatchNormalization(0.9, 1e-5, name="bn2", **options)(x)
    return disturbed(keras.Model(image, keras.layers.GlobalAveragePooling2D(**options)(x)))


def reference(model: keras.Model, batches: list[np.ndarray]) -> list[np.ndarray]:
    """Statistics of `small` by the definition: over all positions at once, in float64."""

    def kernel(name):
        return np.array(model.get_layer(name).kernel, "float64")[0, 0]

    def positions(maps):
        return np.concatenate([m.reshape(-1, m.shape[-1]) for m in maps])

    layer = model.get_layer("bn1")
    first = [batch.astype("float64") @ kernel("conv1") for batch in batches]
    second = []
    for x in first:
        mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
        x = (x - mean) / np.sqrt(variance + 1e-3) * np.array(layer.gamma) + np.array(layer.beta)
        second.append(np.maximum(x, 0) @ kernel("conv2"))
    values = positions(first), positions(second)
    return [statistic for x in values for statistic in (x.mean(axis=0), x.var(axis=0))]


def assert_all_close(actual, expected, rtol=1e-5, atol=1e-6):
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)


def test_statistics_cover_all_positions_of_all_batches():
    model = small()
    batches = [images(size, seed, side=6) for seed, size in enumerate(SIZES)]
    recompute_batch_norm(model, iter(batches))
    assert_all_close(statistics(model), reference(model, batches))


def test_a_large_mean_does_not_cancel_the_variance():
    image = keras.Input((6, 6, 3))
    model = keras.Model(image, BatchNormalization(0.9, 1e-5)(image))
    batches = [1000 + 0.1 * images(size, seed, side=6) for seed, size in enumerate(SIZES)]
    recompute_batch_norm(model, batches)
    values = np.concatenate(batches).astype("float64")
    expected = [values.mean(axis=(0, 1, 2)), values.var(axis=(0, 1, 2))]
    assert_all_close(statistics(model), expected, rtol=1e-5)


@pytest.fixture(params=[pytest.param("float32", marks=pytest.mark.slow), "float64"])
def tolerance(request):
    """Differences that a dtype may make; in float32 the fused kernel runs, which sums otherwise."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(request.param)
    yield {"float32": 1e-3, "float64": 1e-10}[request.param]
    keras.config.set_dtype_policy(before)


def vgg(dropout: float) -> keras.Model:
    return kc.vgg16_mini(input_shape=(32, 32, 3), batch_norm="all", dropout=dropout)


@pytest.mark.parametrize(
    "build", [kc.resnet20, lambda: kc.resnet20(version="v2"), lambda: vgg(dropout=0)]
)
def test_statistics_of_one_batch_equal_those_of_training(build, tolerance):
    keras.utils.set_random_seed(0)
    model, batch = disturbed(build()), images(16)
    trained = model(batch, training=True)
    assert np.max(np.abs(trained - model(batch))) > 0.01
    recompute_batch_norm(model, [batch])
    assert_all_close([model(batch)], [trained], rtol=0, atol=tolerance)


def test_dropout_is_off(tolerance):
    """Compares two networks with the same weights, one of them with a dropout of half."""
    keras.utils.set_random_seed(0)
    model, without, batch = disturbed(vgg(dropout=0.5)), vgg(dropout=0), images(16)
    without.set_weights([np.array(v) for v in model.weights])
    recompute_batch_norm(model, [batch])
    assert_all_close([model(batch)], [without(batch, training=True)], rtol=0, atol=tolerance)


def test_only_the_moving_statistics_change():
    model = small()
    model.get_layer("bn1").trainable = False
    flags = [layer.trainable for layer in model.layers]
    before = others(model)
    recompute_batch_norm(model, [images(4, side=6)])
    assert_all_close(others(model), before, rtol=0, atol=0)
    assert [layer.trainable for layer in model.layers] == flags
    assert not any("call" in vars(layer) for layer in model.layers)
    # It trains as before: by a batch's statistics where it is not frozen.
    now = statistics(model)
    model(images(4, seed=1, side=6), training=True)
    moved = [not np.array_equal(a, b) for a, b in zip(statistics(model), now, strict=True)]
    assert moved == [False, False, True, True]


def test_frozen_layers_are_recomputed():
    frozen, trained = small(), small()
    kc.freeze_backbone(frozen)
    batches = [images(size, seed, side=6) for seed, size in enumerate(SIZES)]
    for model in (frozen, trained):
        recompute_batch_norm(model, batches)
    assert_all_close(statistics(frozen), statistics(trained), rtol=0, atol=0)


def test_recomputing_twice_changes_nothing():
    model = small()
    batches = tf.data.Dataset.from_tensor_slices(images(10, side=6)).batch(4)
    recompute_batch_norm(model, batches)
    once = statistics(model)
    recompute_batch_norm(model, batches)
    assert_all_close(statistics(model), once, rtol=0, atol=0)


def test_mixed_bfloat16():
    model, exact = small("mixed_bfloat16"), small()
    exact.set_weights([np.array(v) for v in model.weights])
    batches = [images(size, seed, side=6) for seed, size in enumerate(SIZES)]
    recompute_batch_norm(model, batches)
    found = statistics(model)
    assert {statistic.dtype.name for statistic in found} == {"float32"}
    assert any(np.any(s != s.astype(tf.bfloat16.as_numpy_dtype)) for s in found)
    assert_all_close(found, reference(exact, batches), rtol=3e-2, atol=3e-2)


def test_a_layer_that_is_called_twice():
    layer, image = BatchNormalization(0.9, 1e-5), keras.Input((6, 6, 3))
    recompute_batch_norm(keras.Model(image, layer(image) + layer(3 * image)), [images(4, side=6)])
    values = np.float64([images(4, side=6), 3 * images(4, side=6)])
    expected = [values.mean(axis=(0, 1, 2, 3)), values.var(axis=(0, 1, 2, 3))]
    assert_all_close([layer.moving_mean, layer.moving_variance], expected)


def test_nested_networks_are_recomputed():
    model = small()
    image = keras.Input((6, 6, 3))
    recompute_batch_norm(keras.Model(image, model(image / 2)), [2 * images(4, side=6)])
    assert_all_close(statistics(model), reference(model, [images(4, side=6)]))


def test_all_replicas_have_the_statistics():
    with mirrored(2).scope():
        model = small()
    batches = [images(4, side=6)]
    recompute_batch_norm(model, batches)
    assert_all_close(statistics(model), reference(model, batches))


@pytest.mark.parametrize("batches", [[], [images(0, side=6)]])
def test_no_images_is_an_error(batches):
    model = small()
    before = statistics(model)
    with pytest.raises(UserError, match="at least one image. Received: no batches.$"):
        recompute_batch_norm(model, batches)
    assert_all_close(statistics(model), before, rtol=0, atol=0)


def test_a_failure_leaves_the_network_unchanged():
    model = small()
    before = statistics(model)

    def batches():
        yield images(4, side=6)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        recompute_batch_norm(model, batches())
    assert_all_close(statistics(model), before, rtol=0, atol=0)
    assert not any("call" in vars(layer) for layer in model.layers)


def test_a_network_without_batch_norm_is_refused():
    with pytest.raises(UserError, match="Received: lenet5, which has none.$"):
        recompute_batch_norm(kc.lenet5(), [])
