"""Faults of weights, inputs and frozen layers at the start, planted one by one."""

import keras
import numpy as np
import pytest

import keras_classics as kc
from keras_classics.diagnosis import examine, make_case
from keras_classics.diagnosis.checks import AT_START
from keras_classics.diagnosis.freezing import frozen_layers
from tests.diagnosis.networks import digit_images, found, names, plain

IMAGES, LABELS = digit_images()


@pytest.fixture(autouse=True)
def seed():
    keras.utils.set_random_seed(100)


def normal(deviation: float) -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=deviation)


def fitting(model: keras.Model, loss="sparse_categorical_crossentropy", **options) -> tuple:
    """A network of the zoo, compiled, and digits of its size."""
    model.compile("sgd", loss)
    _, side, _, channels = model.input_shape
    return model, digit_images(side=side, channels=channels, **options)


@pytest.mark.parametrize(
    "build",
    [
        kc.lenet5,
        kc.resnet20,
        lambda: kc.vgg16_mini(classes=10, batch_norm="first"),
        lambda: kc.vgg16_mini(classes=10, kernel_initializer="he_normal"),
    ],
)
def test_a_healthy_start_of_the_zoo(build):
    model, data = fitting(build(), count=96)
    assert not found(model, data)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"initializer": "glorot_uniform"},
        {"activation": "tanh"},
        {"activation": "gelu", "depth": 2},
        {"batch_norm": True},
        {"initializer": normal(0.04), "optimizer": "adam"},
    ],
)
def test_a_healthy_start(options):
    assert not found(plain(**options), (IMAGES, LABELS))


@pytest.mark.parametrize(
    ("options", "scale", "expected"),
    [
        ({"initializer": normal(1.0)}, 1, "loss_at_start"),
        ({}, 255, "input_range"),
        ({}, 1 / 255, "input_range"),
        ({"activation": "tanh"}, 255, "input_range"),
        ({"activation": "tanh", "initializer": normal(3.0)}, 1, "saturated"),
        ({"bias": -3.0}, 1, "dead_relus"),
        ({"initializer": normal(0.005)}, 1, "vanishing_signal"),
        ({"activation": "sigmoid", "depth": 5}, 1, "vanishing_signal"),
        ({"initializer": normal(0.002), "optimizer": "adam"}, 1, "vanishing_signal"),
    ],
)
def test_a_start_with_a_fault(options, scale, expected):
    diagnosis = found(plain(**options), (IMAGES * scale, LABELS))
    assert expected in names(diagnosis), str(diagnosis)
    for finding in diagnosis.findings:
        if finding.trial is not None:
            healed = finding.trial(diagnosis.case)
            assert healed.model is not diagnosis.case.model or expected == "input_range"


def test_the_plateau_of_vgg_and_the_mends():
    vgg = kc.vgg16_mini(classes=10)
    model, data = fitting(vgg, count=96)
    diagnosis = found(model, data)
    assert names(diagnosis) == ["vanishing_signal"]
    healed = diagnosis.findings[0].trial(diagnosis.case)
    assert names(examine(healed, AT_START)) == []
    model.compile("adam", "sparse_categorical_crossentropy")
    assert not found(model, data)


def test_dead_units_of_trained_weights():
    model = plain()
    model.get_layer("conv1").bias.assign(np.full(8, -50.0))
    (finding,) = found(model, (IMAGES, LABELS)).findings
    assert (finding.check, finding.layer) == ("dead_relus", "activation1")


@pytest.mark.parametrize(
    ("frozen", "trained", "expected"),
    [
        ("conv1", False, ["frozen_layers"]),
        ("conv1", True, []),
        ("scores", True, ["frozen_layers"]),
        ("all", True, ["frozen_layers"]),
    ],
)
def test_frozen_layers(frozen, trained, expected):
    model = plain()
    for layer in model.layers:
        layer.trainable = frozen not in (layer.name, "all")
        if trained and getattr(layer, "bias", None) is not None:
            layer.bias.assign(layer.bias + 0.01)
    assert names(found(model, (IMAGES, LABELS))) == expected


def test_a_nested_backbone_that_is_frozen_without_trained_weights():
    image = keras.Input((32, 32, 3))
    backbone = kc.resnet20(include_top=False, pooling="avg")
    backbone.trainable = False
    model = keras.Model(image, keras.layers.Dense(10, "softmax")(backbone(image)))
    model.compile("adam", "sparse_categorical_crossentropy")
    data = digit_images(16, 32, 3)
    assert [f.check for f in frozen_layers(make_case(model, data))] == ["frozen_layers"]
    trained = kc.resnet20(weights="fashion_mnist")
    backbone.set_weights(trained.get_weights()[: len(backbone.weights)])
    assert not list(frozen_layers(make_case(model, data)))


def test_momentum_in_the_convention_of_torch():
    model = plain(batch_norm=True)
    model.get_layer("bn0").momentum = 0.1
    assert names(found(model, (IMAGES, LABELS))) == ["batch_norm_momentum"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite(value):
    for part in (0, 1):
        images = [IMAGES[:100].copy(), IMAGES[100:].copy()]
        images[part][3, 2, 2] = value
        data = (images[0], LABELS[:100], images[1], LABELS[100:])
        diagnosis = found(plain(), data)
        assert names(diagnosis) == ["not_finite_data"]
        assert "the first is number 3" in diagnosis.findings[0].measured


def test_images_without_content():
    assert "constant_images" in names(found(plain(), (np.ones_like(IMAGES), LABELS)))
    blank = IMAGES * (np.arange(len(IMAGES)) % 2)[:, None, None, None]
    expected = ["constant_images", "contradicting_labels"]
    assert names(found(plain(), (blank, LABELS))) == expected


def test_nothing_changes():
    model = plain(batch_norm=True, initializer=normal(1.0), optimizer="adam")
    model.get_layer("conv1").trainable = False
    model.fit(IMAGES[:32], LABELS[:32], verbose=0)
    variables = [*model.variables, *model.optimizer.variables]
    before = [np.array(variable) for variable in variables]
    flags = [layer.trainable for layer in model.layers]
    images, state = IMAGES.copy(), np.random.get_state()[1].copy()
    assert found(model, (IMAGES * 255, LABELS))
    for variable, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    assert [layer.trainable for layer in model.layers] == flags
    assert "call" not in vars(model.get_layer("conv1"))
    np.testing.assert_array_equal(IMAGES, images)
    np.testing.assert_array_equal(np.random.get_state()[1], state)


def test_the_sample_depends_on_the_seed_alone():
    one, same, other = (make_case(plain(), (IMAGES, LABELS), seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.inputs(), same.inputs())
    assert not np.array_equal(one.labels(), other.labels())
