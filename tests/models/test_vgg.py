"""VGG against the paper, and the batch normalisations."""

import keras
import numpy as np
import pytest

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.models.replica_layers import BatchNormalization
from keras_classics.models.vgg import CONFIGS, FILTERS, HIDDEN, LRN, vgg_variant
from tests.helpers.golden import fill
from tests.helpers.images import random_images

SMALL = {"input_shape": (32, 32, 3), "classes": 3, "hidden": (8, 8), "filters": (4, 4, 8, 8, 8)}

# Configuration D layer by layer.
D = {
    "block1_conv1": 1_792,
    "block1_conv2": 36_928,
    "block2_conv1": 73_856,
    "block2_conv2": 147_584,
    "block3_conv1": 295_168,
    "block3_conv2": 590_080,
    "block3_conv3": 590_080,
    "block4_conv1": 1_180_160,
    "block4_conv2": 2_359_808,
    "block4_conv3": 2_359_808,
    "block5_conv1": 2_359_808,
    "block5_conv2": 2_359_808,
    "block5_conv3": 2_359_808,
    "fc1": 102_764_544,
    "fc2": 16_781_312,
    "predictions": 4_097_000,
}

# The narrow network: (trainable, all).
MINI = {
    None: (158_186, 158_186),
    "first": (158_194, 158_202),
    ("block1_conv1", "block2_conv1"): (158_210, 158_234),
    "all": (158_714, 159_242),
}


def normalizations(model: keras.Model) -> list[str]:
    return [layer.name for layer in model.layers if isinstance(layer, BatchNormalization)]


# Table 1: the number of 3x3 convolutions in each block.
@pytest.mark.parametrize(
    ("config", "counts"),
    [
        ("9", (1, 1, 2, 2)),
        ("A", (1, 1, 2, 2, 2)),
        ("A-LRN", (1, 1, 2, 2, 2)),
        ("B", (2, 2, 2, 2, 2)),
        ("C", (2, 2, 2, 2, 2)),
        ("D", (2, 2, 3, 3, 3)),
        ("E", (2, 2, 4, 4, 4)),
    ],
)
def test_table_1(config, counts):
    extra = [()] * len(counts)
    if config == "C":
        extra[2:] = [(1,)] * 3
    if config == "A-LRN":
        extra[0] = (LRN,)
    expected = tuple((3,) * n + more for n, more in zip(counts, extra, strict=True))
    assert CONFIGS[config] == expected
    assert (FILTERS, HIDDEN) == ((64, 128, 256, 512, 512), (4096, 4096))


def test_configuration_d_layer_by_layer():
    profile = kc.describe("vgg16")
    assert {row.layer: row.params for row in profile.rows if row.params} == D
    assert profile.dense_fraction_of_params == pytest.approx(123_642_856 / 138_357_544)


@pytest.mark.parametrize(("batch_norm", "counts"), MINI.items(), ids=str)
def test_mini(batch_norm, counts):
    model = kc.vgg16_mini(batch_norm=batch_norm)
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert (trainable, model.count_params()) == counts
    assert model.output_shape == (None, 6)


@pytest.mark.parametrize("name", ["VGG16", pytest.param("VGG19", marks=pytest.mark.slow)])
def test_equals_keras_applications(name):
    small = {"input_shape": (32, 40, 3), "classes": 7, "classifier_activation": None}
    ours = kc.get_model(name.lower(), **small)
    theirs = getattr(keras.applications, name)(weights=None, **small)
    assert {layer.name for layer in theirs.layers[1:]} <= {layer.name for layer in ours.layers}
    fill(theirs)
    fill(ours)
    images = 100 * random_images(2, 32, 40, 3)
    expected = theirs(images).numpy()
    np.testing.assert_allclose(ours(images), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("after", "order"),
    [
        ("conv", ["block1_conv1", "block1_conv1_bn", "block1_conv1_relu", "block1_conv2"]),
        ("activation", ["block1_conv1", "block1_conv1_bn", "block1_conv2"]),
    ],
)
def test_batch_norm_after(after, order):
    model = kc.vgg16(batch_norm="first", batch_norm_after=after, **SMALL)
    assert [layer.name for layer in model.layers[1 : 1 + len(order)]] == order
    output = keras.Model(model.input, model.get_layer("block1_conv1").output)
    lowest = output(255 * random_images(2, 32, 32, 3)).numpy().min()
    assert (lowest == 0) == (after == "activation")


def test_the_fix_is_after_the_first_activation():
    model = kc.vgg16_first_bn(**SMALL)
    assert normalizations(model) == ["block1_conv1_bn"]
    assert model.get_layer("block1_conv1").activation is keras.activations.relu
    assert kc.vgg16_bn(**SMALL).get_layer("block1_conv1").activation is keras.activations.linear


def test_batch_norm_of_named_layers():
    model = kc.vgg16(batch_norm=("block2_conv1", "block5_conv3"), **SMALL)
    assert normalizations(model) == ["block2_conv1_bn", "block5_conv3_bn"]
    layer = model.get_layer("block2_conv1_bn")
    assert (layer.momentum, layer.epsilon) == (0.9, 1e-5)
    assert len(normalizations(kc.vgg19_bn(**SMALL))) == 16


def test_response_normalization_of_a_lrn():
    layers = [layer.name for layer in kc.vgg11_lrn(**SMALL).layers]
    assert layers[1:4] == ["block1_conv1", "block1_lrn", "block1_pool"]


def test_one_by_one_convolutions_of_c():
    model = kc.vgg16_c(**SMALL)
    sides = {
        layer.name: layer.kernel_size
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
    }
    assert [name for name, side in sides.items() if side == (1, 1)] == [
        "block3_conv3",
        "block4_conv3",
        "block5_conv3",
    ]


def test_single_convolutions_in_the_place_of_stacks():
    convolutions = {
        layer.name: layer.kernel_size[0]
        for layer in kc.vgg16(stacked=False, **SMALL).layers
        if isinstance(layer, keras.layers.Conv2D)
    }
    assert convolutions == {f"block{i}_conv1": side for i, side in enumerate((5, 5, 7, 7, 7), 1)}
    # Of the paper's control, B with 5x5 (section 4.1): 25 (3 64 + 64 128 + ...) and biases.
    assert kc.vgg13(stacked=False, include_top=False).count_params() == 10_860_672


def test_a_response_normalization_stays_with_single_convolutions():
    stacked, single = (kc.vgg11_lrn(stacked=stacked, **SMALL) for stacked in (True, False))
    for model in (stacked, single):
        assert [layer.name for layer in model.layers[1:3]] == ["block1_conv1", "block1_lrn"]
        assert model.get_layer("block1_conv1").kernel_size == (3, 3)
    # Two of 3x3 in block 5 see as much as one of 5x5.
    assert single.get_layer("block5_conv1").kernel_size == (5, 5)


def test_head():
    model = kc.vgg16(input_shape=(32, 32, 3), classes=10, hidden=(512, 512), dropout=0.3)
    # Facts of the common CIFAR network: head 512-512-10 on 32x32 images.
    assert model.count_params() == 15_245_130
    assert model.get_layer("dropout2").rate == 0.3
    single = kc.vgg16_bn(input_shape=(32, 32, 3), classes=10, hidden=())
    assert sum(int(np.prod(v.shape)) for v in single.trainable_variables) == 14_728_266


@pytest.mark.parametrize(
    ("scheme", "conv", "fc"),
    [
        ("he_normal", (2 / (9 * 64)) ** 0.5, (2 / 512) ** 0.5),
        ("vgg", 0.1, 0.1),
        ("vgg_torchvision", (2 / (9 * 128)) ** 0.5, 0.01),
        ("glorot_uniform", (2 / (9 * 64 + 9 * 128)) ** 0.5, (2 / (512 + 4096)) ** 0.5),
    ],
)
def test_initial_kernels(scheme, conv, fc):
    keras.utils.set_random_seed(0)
    model = kc.vgg11(input_shape=(32, 32, 3), kernel_initializer=scheme)
    assert model.get_layer("block2_conv1").kernel.numpy().std() == pytest.approx(conv, rel=0.02)
    assert model.get_layer("fc1").kernel.numpy().std() == pytest.approx(fc, rel=0.02)


def test_he_initialisation_keeps_the_signal():
    # The source of the stuck nets: activations that shrink or grow from layer to layer.
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype("float32")

    def gain(scheme: str) -> float:
        scores = kc.vgg19(
            input_shape=(32, 32, 3),
            kernel_initializer=scheme,
            classifier_activation=None,
            hidden=(512, 512),
        )(images)
        return float(np.std(scores))

    assert 0.1 < gain("he_normal") < 10
    assert gain("alexnet") < 1e-6
    assert gain("vgg") > 1e4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"batch_norm": ("block1_conv3",)},
            "Unknown convolution in batch_norm 'block1_conv3'. Did you mean block",
        ),
        ({"batch_norm": "frist"}, "Unknown batch_norm 'frist'. Did you mean first?"),
        ({"batch_norm_after": "relu"}, "'conv' or 'activation'. Received: 'relu'"),
        ({"filters": (1, 2, 3)}, r"filters for 5 blocks. Received: \(1, 2, 3\)"),
        ({"input_shape": (31, 40, 3)}, "at least 32x32 pixels. Received: 31x40"),
        ({"kernel_initializer": "he_norml"}, "Unknown kernel_initializer 'he_norml'. Did you mean"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(UserError, match=message):
        kc.vgg16(**arguments)


def test_unknown_configuration():
    with pytest.raises(UserError, match="Unknown configuration 'F'. Known: 9, A, A-LRN, B, C, D"):
        vgg_variant("vgg", "F", "VGG of an unknown configuration.")
