"""Costs, receptive fields and levels, against arithmetic and against the networks themselves."""

import keras
import numpy as np
import pytest

import keras_classics as kc
from keras_classics.analysis.profile import profile, receptive_fields
from keras_classics.errors import UserError
from tests.helpers.golden import fill


def stacked(*kernels: int, stride: int = 1) -> keras.Model:
    x = image = keras.Input((64, 64, 1))
    for kernel in kernels:
        x = keras.layers.Conv2D(1, kernel, stride)(x)
    return keras.Model(image, x)


@pytest.mark.parametrize(
    ("kernels", "stride", "field"),
    [((3, 3), 1, 5), ((3, 3, 3), 1, 7), ((7,), 1, 7), ((3, 3), 2, 7), ((1, 5, 1), 1, 5)],
)
def test_receptive_fields_of_stacked_convolutions(kernels, stride, field):
    model = stacked(*kernels, stride=stride)
    assert receptive_fields(model)[model.layers[-1].name] == (field, stride ** len(kernels))


@pytest.mark.parametrize(
    ("name", "layer", "field", "stride"),
    [
        ("vgg16", "block5_pool", 212, 32),
        ("vgg19", "block5_pool", 268, 32),
        ("alexnet", "pool5", 195, 32),
        ("alexnet", "conv2", 51, 8),
        ("resnet18", "conv5_block2_out", 435, 32),
        ("resnet50", "conv1_relu", 7, 2),
        ("lenet5", "s4", 16, 4),
        ("lenet5_1998", "s4", 16, 4),
    ],
)
def test_receptive_fields_of_the_networks(name, layer, field, stride):
    model = kc.get_model(name, include_top=False)
    assert receptive_fields(model)[layer] == (field, stride)


@pytest.mark.parametrize(
    ("name", "arguments", "depth"),
    [
        ("alexnet", {}, 8),
        ("vgg16_mini", {}, 16),
        ("resnet50", {"version": "v1.5"}, 50),
        ("resnet34", {"shortcut": "C"}, 34),
        ("resnet34", {"shortcut": "A", "version": "v2"}, 34),
        ("plain20", {}, 20),
    ],
)
def test_layers_are_counted_as_the_papers_do(name, arguments, depth):
    described = kc.describe(name, **arguments)
    assert described.depth == depth
    projections = {row.layer for row in described.rows if row.macs and not row.counted}
    assert all(layer.endswith("_0_conv") for layer in projections)
    assert bool(projections) == (arguments.get("shortcut", "B") != "A" and "resnet" in name)


@pytest.mark.parametrize(
    "name",
    [pytest.param("vgg11", marks=pytest.mark.slow), "resnet20", "alexnet_slim", "lenet5_1998"],
)
def test_receptive_field_is_what_changes_the_output(name):
    """Moves one pixel at a time: those that change the middle position span the field."""
    channels = 1 if "lenet" in name else 3
    model = kc.get_model(name, input_shape=(151, 151, channels), include_top=False)
    fill(model)
    layer = {"vgg11": "block3_pool", "resnet20": "conv3_block1_out", "alexnet_slim": "pool2"}.get(
        name, "s4"
    )
    field, stride = receptive_fields(model)[layer]
    part = keras.Model(model.input, model.get_layer(layer).output)
    image = np.random.default_rng(0).normal(size=(1, 151, 151, channels)).astype("float32")
    middle = part.output.shape[1] // 2
    before = part(image).numpy()[0, middle, middle]

    def changes(row: int) -> bool:
        moved = image.copy()
        moved[0, row] += 50
        return not np.array_equal(part(moved).numpy()[0, middle, middle], before)

    center = middle * stride
    seen = [row for row in range(center - field, center + field) if changes(row)]
    assert seen[-1] - seen[0] + 1 == field


def test_rows_of_alexnet():
    description = kc.describe("alexnet")
    rows = {row.layer: row for row in description.rows}
    assert rows["conv2"].output_shape == (27, 27, 256)
    assert rows["conv2"].params == 307_456
    assert rows["conv2"].macs == 27 * 27 * 256 * 25 * 48
    assert rows["fc6"].macs == 9216 * 4096
    assert (rows["fc6"].receptive_field, rows["fc6"].stride) == (None, None)
    assert description.params == 60_965_224
    assert description.dense_fraction_of_params == pytest.approx(58_631_144 / 60_965_224)
    assert description.convolution_fraction_of_macs == pytest.approx(0.919, abs=0.001)
    lines = str(description).splitlines()
    assert "conv2          TowerConv2D                 27x27x256     307,456" in "\n".join(lines)
    assert "96.2% of the parameters are in dense layers" in lines[-1]


def test_multiply_adds_of_lenets_table():
    # 60 links of 25 taps at 10x10 positions.
    rows = {row.layer: row for row in kc.describe("lenet5_1998").rows}
    assert rows["c3"].macs == 60 * 25 * 100


def test_describe_takes_a_model_or_a_name():
    assert kc.describe(kc.lenet5()) == kc.describe("lenet5")
    assert kc.describe("lenet5", classes=26).params == 61_706 + 16 * 85
    # Without top, of the paper's size all the same.
    features = kc.describe("vgg16", include_top=False)
    assert features.params == 14_714_688
    assert features.rows[-1].output_shape == (7, 7, 512)


def test_the_input_size_must_be_fixed():
    with pytest.raises(UserError, match="fixed input height and width.* Received: .None, None, 3."):
        profile(kc.resnet20(include_top=False))
    with pytest.raises(UserError, match="Unknown model 'alexnt'"):
        kc.describe("alexnt")
