"""Every registered network, driven by the register."""

import inspect
import json
import os
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.models import find_model
from keras_classics.models.costs import Costs, published_costs
from tests.helpers import golden, networks
from tests.helpers.golden import second_shape
from tests.helpers.images import random_images
from tests.helpers.networks import REPRESENTATIVES, every_network, trainable_parameters
from tests.helpers.papers import MACS, PARAMETERS, PUBLISHED
from tests.helpers.programs import ROOT

NAMES = kc.list_models()


def build(name: str, **arguments) -> keras.Model:
    keras.utils.set_random_seed(0)
    return kc.get_model(name, **arguments)


def of_zeros(name: str) -> keras.Model:
    """A network without the seconds that drawing its weights takes."""
    parameters = inspect.signature(find_model(name).builder).parameters
    cheap = {"kernel_initializer": "zeros"} if "kernel_initializer" in parameters else {}
    return build(name, **cheap)


def images_for(model: keras.Model, number: int = 2) -> np.ndarray:
    return random_images(number, *model.input_shape[1:])


def probabilities_of(model: keras.Model) -> np.ndarray:
    # A residual unit of initial weights doubles the variance; a thousand layers overflow, unless
    # each normalises by its own batch.
    deep = len(model.layers) > 1000
    return model(images_for(model), training=deep).numpy()


# What takes longest to build; shallower networks have the same units.
DEEPEST = ("plain110", "resnet110", "resnet152", "resnet1001", "resnet1202")


# Tests of one network stand together, and the network is gone before the next is built.
@pytest.fixture(
    scope="module",
    params=[pytest.param(n, marks=pytest.mark.slow) if n in DEEPEST else n for n in NAMES],
)
def full(request) -> keras.Model:
    """A network of the size that it was published with."""
    return of_zeros(request.param)


@pytest.fixture(scope="module", params=every_network())
def small(request) -> keras.Model:
    """A network of few weights on images of another size, with all of its layers."""
    keras.utils.set_random_seed(0)
    return networks.small(request.param)


def test_every_network_is_published():
    assert set(PUBLISHED) == set(NAMES)
    assert PARAMETERS == PUBLISHED
    assert {name: costs.parameters for name, costs in published_costs().items()} == PUBLISHED


@pytest.mark.slow
def test_representatives_have_every_layer():
    layers = {name: {type(layer) for layer in of_zeros(name).layers} for name in NAMES}
    assert set().union(*map(layers.get, REPRESENTATIVES)) == set().union(*layers.values())


def test_parameters(full):
    assert trainable_parameters(full) == PUBLISHED[full.name]


def test_multiply_adds(full):
    macs = kc.describe(full).macs
    if full.name in MACS:
        # The papers print two or three digits, some of them rounded down.
        digits = 0.1e9 if MACS[full.name] > 1e9 and "1202" not in full.name else 0.1e6
        assert MACS[full.name] - digits / 2 <= macs < MACS[full.name] + digits


@pytest.mark.parametrize("full", every_network(), indirect=True, scope="module")
def test_probabilities_at_its_own_size(full):
    entry = find_model(full.name)
    assert full.input_shape == (None, *entry.input_shape)
    probabilities = probabilities_of(full)
    assert probabilities.shape == (2, entry.classes)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_zoo_table(full):
    from reproduce.report.zoo_table import zoo_row

    table = (ROOT / "docs/networks/index.md").read_text().splitlines()
    profile = kc.describe(full)
    assert zoo_row(find_model(full.name), profile) in table
    assert published_costs()[full.name] == Costs(profile.params, profile.macs)


def test_probabilities_at_a_second_size(small):
    assert small.input_shape[1:] != find_model(small.name).input_shape
    probabilities = probabilities_of(small)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_saves_and_loads(small, tmp_path):
    images = images_for(small)
    small.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(images), small(images))


def test_every_trainable_variable_gets_a_gradient(small):
    @tf.function
    def gradients(images):
        with tf.GradientTape() as tape:
            # Not the sum, which is 1 whatever the weights.
            total = tf.reduce_sum(small(images, training=True)[:, 0])
        return tape.gradient(total, [v.value for v in small.trainable_variables])

    # Training moves the statistics.
    before = small.get_weights()
    found = gradients(images_for(small, 8))
    small.set_weights(before)
    for variable, gradient in zip(small.trainable_variables, found, strict=True):
        assert np.any(gradient.numpy() != 0), variable.path


def test_weights_of_a_path_on_an_input_tensor(small, tmp_path):
    path = tmp_path / "some.weights.h5"
    small.save_weights(path)
    start = keras.Input(small.input_shape[1:])
    scaled = keras.layers.Rescaling(2.0)(start)
    model = networks.narrow(small.name, input_tensor=scaled, weights=str(path))
    images = images_for(small)
    np.testing.assert_allclose(model(images), small(2 * images), atol=1e-5)


def test_without_top(small):
    images = images_for(small)
    features = networks.narrow(small.name, include_top=False)
    assert features.input_shape == (None, None, None, images.shape[-1])
    assert trainable_parameters(features) < trainable_parameters(small)
    maps = features(images).numpy()
    assert maps.ndim == 4
    pooled = networks.narrow(small.name, include_top=False, pooling="avg")
    pooled.set_weights(features.get_weights())
    expected = maps.mean(axis=(1, 2))
    atol = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(pooled(images), expected, rtol=1e-5, atol=atol)


@pytest.mark.parametrize("name", every_network())
def test_golden_outputs(name):
    found = golden.outputs(kc.get_model(name, input_shape=second_shape(name)))
    stored = json.loads(golden.PATH.read_text()) if golden.PATH.exists() else {}
    if os.environ.get("REFRESH_GOLDEN"):
        stored[name] = found
        golden.PATH.parent.mkdir(exist_ok=True)
        golden.PATH.write_text(golden.written(stored))
    golden.assert_near(found, stored[name])


@pytest.mark.parametrize("name", every_network())
def test_mixed_bfloat16(name):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = networks.small(name)
    finally:
        keras.config.set_dtype_policy(policy)
    probabilities = probabilities_of(model)
    assert probabilities.dtype == "float32"
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    for variable in model.variables:
        if "seed" not in variable.name:
            assert variable.dtype == "float32", variable.path


def test_golden_outputs_are_of_the_registered_networks():
    assert set(json.loads(golden.PATH.read_text())) == set(NAMES)
    assert golden.PATH.stat().st_size < 8_000


@pytest.mark.parametrize("name", every_network())
def test_smallest_input(name):
    entry = find_model(name)
    side, channels = entry.smallest_input, entry.input_shape[2]
    networks.narrow(name, input_shape=(side, side, channels))
    with pytest.raises(UserError, match=f"at least {side}x{side} pixels. Received: {side - 1}x"):
        build(name, input_shape=(side - 1, side, channels))


@pytest.mark.parametrize("name", every_network())
@pytest.mark.parametrize("channels", [1, 4])
def test_channels(name, channels):
    model = networks.narrow(name, input_shape=(None, None, channels), include_top=False)
    assert model.input_shape[-1] == channels


@pytest.mark.parametrize("name", NAMES)
def test_wrong_arguments(name):
    with pytest.raises(UserError, match=r"\(height, width, channels\)\. Received: \(32, 32\)"):
        build(name, input_shape=(32, 32))
    with pytest.raises(UserError, match="pooling must be None, 'avg' or 'max'. Received: 'sum'"):
        build(name, include_top=False, pooling="sum")
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(UserError, match="channels last"):
            build(name)
    finally:
        keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("name", NAMES)
def test_signature_tells_the_arguments(name):
    entry = find_model(name)
    parameters = inspect.signature(entry.builder).parameters
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters.values())
    assert parameters["classes"].default == entry.classes
    assert parameters["name"].default == name
    assert {"weights", "include_top", "input_shape", "input_tensor", "pooling"} < set(parameters)
    assert getattr(kc, name) is entry.builder
    assert entry.builder.__name__ == name
    assert entry.builder.__doc__


@pytest.mark.parametrize("name", NAMES)
def test_help_documents_the_signature(name):
    builder = find_model(name).builder
    text = inspect.getdoc(builder)
    section = re.search(r"^Args:\n(.*?)\n\n", text, re.M | re.S)[1]
    assert re.findall(r"^    (\S+): ", section, re.M) == list(inspect.signature(builder).parameters)
    assert text.partition("\n")[0] == find_model(name).summary
    assert "\nReturns:\n" in text
    assert "\nRaises:\n" in text
    assert not re.search(r"\*\*|default_shape|metadata|variant", text)


@pytest.mark.parametrize("name", NAMES)
def test_misspelt_argument(name):
    message = f"^Unknown {name} argument 'clases'. Did you mean classes"
    with pytest.raises(UserError, match=message):
        getattr(kc, name)(clases=10)
    with pytest.raises(UserError, match=message):
        kc.get_model(name, clases=10)
    with pytest.raises(UserError, match="takes its arguments by name.* Received: 10 without"):
        getattr(kc, name)(10)


def test_an_argument_of_another_family():
    with pytest.raises(UserError, match="^Unknown vgg16 argument 'shortcut'. Known: batch_norm, "):
        kc.vgg16(shortcut="A")


def test_unknown_name():
    with pytest.raises(UserError, match="Unknown model 'lenet_5'. Did you mean lenet5"):
        kc.get_model("lenet_5")


def test_list_models_takes_a_glob():
    assert kc.list_models("lenet5*") == ["lenet5", "lenet5_1998"]
    assert kc.list_models("*_first_bn") == ["vgg16_first_bn"]
    assert kc.list_models("plain?4") == ["plain34", "plain44"]
