"""Every registered network, driven by the register."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.models import find_model
from tests.conftest import random_images

# Trainable parameters, from the papers' layer tables by hand: inputs times outputs plus biases.
PARAMETERS = {
    "lenet5": (25 * 1 + 1) * 6 + (25 * 6 + 1) * 16 + 401 * 120 + 121 * 84 + 85 * 10,
    "lenet5_1998": 156 + 12 + (25 * 60 + 16) + 32 + 401 * 120 + 121 * 84,
}
PUBLISHED = {"lenet5": 61_706, "lenet5_1998": 60_000}

NAMES = kc.list_models()


def build(name: str, **arguments) -> keras.Model:
    keras.utils.set_random_seed(0)
    return kc.get_model(name, **arguments)


def count(model: keras.Model) -> int:
    return sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)


def second_shape(name: str) -> tuple[int, int, int]:
    height, width, channels = find_model(name).input_shape
    return (height + 8, width + 4, channels)


@pytest.fixture(scope="module")
def models() -> dict[str, keras.Model]:
    return {name: build(name) for name in NAMES}


def test_all_networks_have_a_published_count():
    assert set(PUBLISHED) == set(NAMES)
    assert PARAMETERS == PUBLISHED


@pytest.mark.parametrize("name", NAMES)
def test_parameters(models, name):
    assert count(models[name]) == PUBLISHED[name]


@pytest.mark.parametrize("name", NAMES)
def test_probabilities(models, name):
    entry = find_model(name)
    probabilities = models[name](random_images(3, *entry.input_shape)).numpy()
    assert probabilities.shape == (3, entry.classes)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_second_size(name):
    shape = second_shape(name)
    probabilities = build(name, input_shape=shape)(random_images(2, *shape)).numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_saves_and_loads(models, name, tmp_path):
    images = random_images(3, *find_model(name).input_shape)
    models[name].save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), models[name](images))


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_a_path(models, name, tmp_path):
    images = random_images(3, *find_model(name).input_shape)
    models[name].save_weights(tmp_path / "some.weights.h5")
    keras.utils.set_random_seed(1)
    loaded = kc.get_model(name, weights=str(tmp_path / "some.weights.h5"))
    np.testing.assert_array_equal(loaded(images), models[name](images))


@pytest.mark.parametrize("name", NAMES)
def test_every_trainable_variable_gets_a_gradient(models, name):
    model = models[name]
    images = random_images(8, *find_model(name).input_shape)
    with tf.GradientTape() as tape:
        # Not the sum, which is 1 whatever the weights.
        total = tf.reduce_sum(model(images, training=True)[:, 0])
    gradients = tape.gradient(total, [v.value for v in model.trainable_variables])
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert np.any(gradient.numpy() != 0), variable.path


@pytest.mark.parametrize("name", NAMES)
def test_mixed_bfloat16(name):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build(name)
    finally:
        keras.config.set_dtype_policy(policy)
    probabilities = model(random_images(3, *find_model(name).input_shape))
    assert probabilities.dtype == "float32"
    np.testing.assert_allclose(probabilities.numpy().sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_without_top(models, name):
    images = random_images(2, *find_model(name).input_shape)
    features = build(name, include_top=False, input_shape=(None, None, images.shape[-1]))
    assert features.count_params() < models[name].count_params()
    maps = features(images).numpy()
    assert maps.ndim == 4
    for pooling, reduce in (("avg", np.mean), ("max", np.max)):
        pooled = build(name, include_top=False, pooling=pooling)
        pooled.set_weights(features.get_weights())
        np.testing.assert_allclose(pooled(images), reduce(maps, axis=(1, 2)), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_input_tensor(models, name):
    shape = find_model(name).input_shape
    start = keras.Input(shape)
    model = build(name, input_tensor=keras.layers.Rescaling(2.0)(start))
    model.set_weights(models[name].get_weights())
    images = random_images(2, *shape)
    np.testing.assert_allclose(model(images), models[name](2 * images), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_smallest_input(name):
    entry = find_model(name)
    side, channels = entry.smallest_input, entry.input_shape[2]
    build(name, input_shape=(side, side, channels))
    with pytest.raises(UserError, match=f"at least {side}x{side} pixels. Received: {side - 1}x"):
        build(name, input_shape=(side - 1, side, channels))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels(name, channels):
    height, width, _ = find_model(name).input_shape
    assert build(name, input_shape=(height, width, channels)).input_shape[-1] == channels


@pytest.mark.parametrize("name", NAMES)
def test_wrong_arguments(name):
    with pytest.raises(UserError, match=r"\(height, width, channels\)\. Received: \(32, 32\)"):
        build(name, input_shape=(32, 32))
    with pytest.raises(UserError, match="height and width must be known"):
        build(name, input_shape=(None, None, 1))
    with pytest.raises(UserError, match="pooling must be None, 'avg' or 'max'. Received: 'sum'"):
        build(name, include_top=False, pooling="sum")
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(UserError, match="channels last"):
            build(name)
    finally:
        keras.config.set_image_data_format("channels_last")


def test_unknown_name():
    with pytest.raises(UserError, match="Unknown model 'lenet_5'. Did you mean lenet5"):
        kc.get_model("lenet_5")


def test_list_models_takes_a_glob():
    assert kc.list_models("lenet5*") == ["lenet5", "lenet5_1998"]
    assert kc.list_models("*_1998") == ["lenet5_1998"]
