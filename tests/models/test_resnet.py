"""ResNet against the papers: counts, shortcuts, versions, and what a unit computes."""

from functools import cache, partial
from typing import NamedTuple

import keras
import numpy as np
import pytest

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.models.resnet import cifar_variant, imagenet_variant, resnet, resnet_cifar
from tests.helpers.golden import fill
from tests.helpers.images import random_images
from tests.helpers.networks import trainable_parameters

SMALL = {"input_shape": (32, 32, 3)}


class Counts(NamedTuple):
    trainable: int
    moving: int
    macs: int


# For networks that are only counted.
COUNTED = {"kernel_initializer": "zeros"}


@cache
def counted(name: str, **arguments) -> Counts:
    """What is counted in a network, which several tests ask for."""
    model = kc.get_model(name, **arguments, **COUNTED)
    trainable = trainable_parameters(model)
    return Counts(trainable, model.count_params() - trainable, kc.describe(model).macs)


# Trainable parameters by shortcut.
BY_SHORTCUT = {
    ("resnet18", "A"): 11_515_688,
    ("resnet18", "none"): 11_515_688,
    ("resnet18", "B"): 11_689_512,
    ("resnet18", "C"): 12_043_816,
    ("resnet34", "A"): 21_623_848,
    ("resnet34", "none"): 21_623_848,
    ("resnet34", "B"): 21_797_672,
    ("resnet34", "C"): 22_716_840,
    ("resnet20", "A"): 269_722,
    ("resnet20", "none"): 269_722,
    ("resnet20", "B"): 272_474,
    ("resnet56", "A"): 853_018,
    ("resnet56", "B"): 855_770,
    ("resnet110", "B"): 1_730_714,
}

# Multiply-adds at 224 by version and shortcut, in thousands of millions.
GIGA_MACS = {
    ("resnet18", "v1.5", "B"): 1.814,
    ("resnet18", "v1", "A"): 1.795,
    ("resnet34", "v1", "none"): 3.644,
    ("resnet50", "v1", "B"): 3.858,
    ("resnet50", "v1.5", "B"): 4.089,
    ("resnet50", "v1", "A"): 3.498,
    ("resnet101", "v1.5", "B"): 7.801,
}

# Statistics that do not train, of Keras's count.
MOVING = {"resnet18": 9_600, "resnet34": 17_024, "resnet50": 53_120, "resnet20": 1_376}


@pytest.mark.parametrize(
    ("which", "parameters"),
    [
        pytest.param(*of, id=str(of[0]), marks=[pytest.mark.slow] * (of[0][0] == "resnet110"))
        for of in BY_SHORTCUT.items()
    ],
)
def test_parameters_by_shortcut(which, parameters):
    name, shortcut = which
    assert counted(name, version="v1", shortcut=shortcut).trainable == parameters


@pytest.mark.parametrize(
    ("depth", "millions"),
    [
        (50, 40.1),
        pytest.param(101, 77.0, marks=pytest.mark.slow),
        pytest.param(152, 107.3, marks=pytest.mark.slow),
    ],
)
def test_parameters_of_option_c(depth, millions):
    assert trainable_parameters(
        resnet(imagenet_variant(depth), shortcut="C", **COUNTED)
    ) / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize("version", ["v1", "v1.5", "v2"])
@pytest.mark.parametrize(
    "name", ["resnet18", "resnet20", pytest.param("resnet50", marks=pytest.mark.slow)]
)
def test_plain_and_option_a_have_equal_counts(name, version):
    residual, plain = (counted(name, version=version, shortcut=s) for s in ("A", "none"))
    assert residual.trainable == plain.trainable


def test_version_2_of_basic_units_has_the_count_of_version_1():
    assert trainable_parameters(kc.resnet20(version="v2")) == 269_722


@pytest.mark.parametrize(("name", "parameters"), MOVING.items())
def test_statistics_that_do_not_train(name, parameters):
    shortcut = "A" if name == "resnet20" else "B"
    assert counted(name, version="v1", shortcut=shortcut).moving == parameters


@pytest.mark.parametrize(("which", "giga"), GIGA_MACS.items(), ids=str)
def test_multiply_adds_by_version(which, giga):
    name, version, shortcut = which
    macs = counted(name, version=version, shortcut=shortcut).macs
    assert macs / 1e9 == pytest.approx(giga, abs=0.0005)


@pytest.mark.parametrize("shortcut", ["A", "B", "C", "none"])
@pytest.mark.parametrize("version", ["v1", "v1.5", "v2"])
@pytest.mark.parametrize(
    "build",
    [
        pytest.param(partial(resnet, imagenet_variant(18)), marks=pytest.mark.slow),
        pytest.param(partial(resnet, imagenet_variant(50)), marks=pytest.mark.slow),
        partial(resnet_cifar, cifar_variant(14)),
        pytest.param(
            partial(resnet_cifar, cifar_variant(20), bottleneck=True), marks=pytest.mark.slow
        ),
    ],
    ids=["18", "50", "14", "20"],
)
def test_every_version_with_every_shortcut(build, version, shortcut):
    model = build(version=version, shortcut=shortcut, classes=3, input_shape=(17, 20, 3))
    fill(model)
    scores = model(np.ones((1, 17, 20, 3), "float32")).numpy()
    assert scores.shape == (1, 3)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize(
    ("version", "strided"),
    [
        ("v1", "conv3_block1_1_conv"),
        ("v1.5", "conv3_block1_2_conv"),
        ("v2", "conv3_block1_1_conv"),
    ],
)
def test_where_the_stride_is(version, strided):
    model = kc.resnet50(version=version, include_top=False)
    layers = [model.get_layer(f"conv3_block1_{i}_conv") for i in (1, 2, 3)]
    assert [layer.name for layer in layers if layer.strides == (2, 2)] == [strided]
    assert model.get_layer("conv3_block1_0_conv").strides == (2, 2)


def test_equals_keras_applications_without_its_biases():
    small = {"input_shape": (40, 33, 3), "classes": 7, "classifier_activation": None}
    ours, theirs = kc.resnet50(**small), keras.applications.ResNet50(weights=None, **small)
    assert {layer.name for layer in theirs.layers[1:]} <= {layer.name for layer in ours.layers}
    fill(theirs)
    fill(ours)
    for layer in theirs.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.bias.assign(np.zeros(layer.bias.shape))
    images = random_images(2, 40, 33, 3)
    expected = theirs(images).numpy()
    np.testing.assert_allclose(ours(images), expected, atol=1e-4 * np.abs(expected).max())


# Trainable, and statistics that do not train.
KERAS_V2 = {
    50: (25_568_360, 45_440),
    101: (44_577_896, 97_664),
    152: (60_236_904, 143_744),
}


@pytest.mark.parametrize(
    "depth", [pytest.param(n, marks=pytest.mark.slow) if n > 50 else n for n in KERAS_V2]
)
def test_parameters_of_keras_applications_v2(depth):
    model = resnet(imagenet_variant(depth), version="v2_keras", **COUNTED)
    trainable, moving = KERAS_V2[depth]
    assert trainable_parameters(model) == trainable
    assert model.count_params() == trainable + moving


def test_equals_keras_applications_v2():
    small = {"input_shape": (40, 33, 3), "classes": 7, "classifier_activation": None}
    ours = kc.resnet50(version="v2_keras", **small)
    theirs = keras.applications.ResNet50V2(weights=None, **small)
    for layer, other in zip(_with_weights(ours), _with_weights(theirs), strict=True):
        assert layer.name == other.name
    fill(theirs)
    fill(ours)
    images = random_images(2, 40, 33, 3)
    expected = theirs(images).numpy()
    np.testing.assert_allclose(ours(images), expected, atol=1e-4 * np.abs(expected).max())


def _with_weights(model: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in model.layers if layer.weights]


def test_convolutions_have_no_bias_and_their_normalisation_is_torchvisions():
    for layer in kc.resnet50(include_top=False).layers:
        if isinstance(layer, keras.layers.Conv2D):
            assert layer.bias is None
        if isinstance(layer, keras.layers.BatchNormalization):
            assert (layer.momentum, layer.epsilon) == (0.9, 1e-5)


def test_strided_convolutions_are_padded_alike_on_both_sides():
    # A single bright pixel in the corner that an asymmetric padding would not see.
    model = kc.resnet18(include_top=False, input_shape=(32, 32, 3))
    conv = model.get_layer("conv3_block1_1_conv")
    conv.set_weights([np.zeros(conv.kernel.shape, "float32")])
    kernel = np.zeros(conv.kernel.shape, "float32")
    kernel[0, 0] = 1.0
    conv.set_weights([kernel])
    start = keras.Input(model.get_layer("conv2_block2_out").output.shape[1:])
    through = keras.Model(start, conv(model.get_layer("conv3_block1_1_pad")(start)))
    x = np.arange(8 * 8, dtype="float32").reshape(1, 8, 8, 1).repeat(64, -1)
    outputs = through(x).numpy()[0, :, :, 0]
    # The kernel's first tap stands one before the window's middle: padding, then odd positions.
    expected = np.zeros((4, 4))
    expected[1:, 1:] = 64 * x[0, 1:7:2, 1:7:2, 0]
    np.testing.assert_allclose(outputs, expected)


def unit(model: keras.Model, before: str, after: str) -> keras.Model:
    return keras.Model(model.get_layer(before).output, model.get_layer(after).output)


@pytest.mark.parametrize(
    ("name", "version", "before", "after"),
    [
        ("resnet18", "v1", "conv2_block1_out", "conv2_block2_out"),
        ("resnet50", "v1", "conv3_block1_out", "conv3_block2_out"),
        ("resnet50", "v1.5", "conv3_block1_out", "conv3_block2_out"),
        ("resnet50", "v2", "conv3_block1_out", "conv3_block2_out"),
        ("resnet20", "v1", "conv4_block1_out", "conv4_block3_out"),
        ("resnet20", "v2", "conv4_block1_out", "conv4_block3_out"),
    ],
)
def test_a_unit_of_zero_weights_is_the_identity(name, version, before, after):
    model = kc.get_model(name, version=version, include_top=False, **SMALL)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.kernel.assign(np.zeros(layer.kernel.shape))
    block = unit(model, before, after)
    x = np.random.default_rng(0).uniform(0, 5, (2, *block.input_shape[1:])).astype("float32")
    np.testing.assert_array_equal(block(x), x)


def test_a_unit_of_zero_weights_and_option_a_subsamples():
    model = kc.resnet20(include_top=False, **SMALL)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.kernel.assign(np.zeros(layer.kernel.shape))
    x = np.random.default_rng(0).uniform(0, 5, (2, 32, 32, 16)).astype("float32")
    outputs = unit(model, "conv2_block3_out", "conv3_block1_out")(x)
    np.testing.assert_array_equal(outputs[..., :16], x[:, ::2, ::2])
    assert not outputs[..., 16:].numpy().any()


@pytest.mark.parametrize("version", ["v1", "v1.5", "v2"])
@pytest.mark.parametrize("name", ["resnet50", "resnet20"])
def test_zero_init_residual(name, version):
    keras.utils.set_random_seed(0)
    model = kc.get_model(name, version=version, zero_init_residual=True, include_top=False, **SMALL)
    before, after = "conv3_block1_out", "conv3_block3_out"
    block = unit(model, before, after)
    x = np.random.default_rng(0).uniform(0, 5, (2, *block.input_shape[1:])).astype("float32")
    np.testing.assert_array_equal(block(x, training=True), x)


def test_version_2_ends_in_an_activation():
    names = [layer.name for layer in kc.resnet20(version="v2", **SMALL).layers]
    assert names[-5:] == ["post_bn", "post_relu", "avg_pool", "predictions", "probabilities"]
    # A projection shares the activation of the branch; an identity does not.
    model = kc.resnet164(**SMALL)
    source = model.get_layer("conv3_block1_0_conv").input
    while "relu" not in source._keras_history.operation.name:
        source = source._keras_history.operation.input
    assert source is model.get_layer("conv3_block1_preact_relu").output
    add = model.get_layer("conv3_block2_out")
    assert add.input[0] is model.get_layer("conv3_block1_out").output


@pytest.mark.parametrize("scheme", ["he_normal", "he_fan_in", "he_fan_out"])
def test_initial_kernels(scheme):
    keras.utils.set_random_seed(0)
    kernel = kc.resnet18(kernel_initializer=scheme).get_layer("conv4_block1_1_conv").kernel
    _, _, inputs, filters = kernel.shape
    fan = 9 * (filters if scheme == "he_fan_out" else inputs)
    assert kernel.numpy().std() == pytest.approx((2 / fan) ** 0.5, rel=0.01)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: imagenet_variant(51), "depth must be one of 18, 34, 50, 101, 152;.* Received: 51"),
        (
            lambda: resnet_cifar(cifar_variant(57)),
            r"depth must be 6n \+ 2 without bottlenecks.* Received: 57",
        ),
        (
            lambda: resnet_cifar(cifar_variant(2)),
            r"depth must be 6n \+ 2 without bottlenecks.* Received: 2",
        ),
        (
            lambda: resnet_cifar(cifar_variant(21), bottleneck=True),
            r"depth must be 9n \+ 2 with bottlenecks",
        ),
        (lambda: kc.resnet50(shortcut="a"), "Unknown shortcut 'a'. Known: A, B, C, none"),
        (lambda: kc.resnet50(version="v3"), "Unknown version 'v3'. Did you mean v2 or v1"),
        (lambda: kc.resnet18(version="v2_keras"), "is for bottlenecks, depths 50, 101 and 152"),
        (
            lambda: resnet_cifar(cifar_variant(20), bottleneck=True, version="v2_keras"),
            "is for ImageNet's networks only",
        ),
        (lambda: kc.resnet20(version="v1_caffe"), "Take version='v1'"),
        (
            lambda: kc.resnet50(version="v1_caffe", input_shape=(2, 2, 3)),
            "of at least 3x3 pixels",
        ),
        (
            lambda: kc.resnet50(shortcut="none", zero_init_residual=True),
            "zero_init_residual needs shortcuts",
        ),
        (lambda: kc.get_model("resnet57"), "Unknown model 'resnet57'. Did you mean resnet5"),
        (lambda: kc.resnet50(input_shape=(0, 5, 3)), "at least 1x1 pixels. Received: 0x5"),
    ],
)
def test_errors(build, message):
    with pytest.raises(UserError, match=message):
        build()


def test_other_depths_for_cifar():
    assert kc.describe(resnet_cifar(cifar_variant(26))).name == "resnet26"
    assert (
        trainable_parameters(
            resnet_cifar(cifar_variant(29), bottleneck=True, version="v2", shortcut="B")
        )
        > 0
    )
