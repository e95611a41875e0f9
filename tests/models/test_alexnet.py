"""AlexNet against the paper and its descendants."""

import keras
import numpy as np
import pytest

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.models.layers import LocalResponseNormalization, TowerConv2D

SHAPES = {
    "conv1": (55, 55, 96),
    "pool1": (27, 27, 96),
    "conv2": (27, 27, 256),
    "pool2": (13, 13, 256),
    "conv3": (13, 13, 384),
    "conv4": (13, 13, 384),
    "conv5": (13, 13, 256),
    "pool5": (6, 6, 256),
}
SMALL = {"input_shape": (64, 64, 3), "classes": 3}


@pytest.mark.parametrize("side", [224, 227])
def test_shapes_of_the_paper(side):
    model = kc.alexnet(input_shape=(side, side, 3), include_top=False)
    shapes = {name: model.get_layer(name).output.shape[1:] for name in SHAPES}
    assert shapes == SHAPES


def test_224_and_227_have_the_same_weights():
    profiles = [kc.describe("alexnet", input_shape=(side, side, 3)) for side in (224, 227)]
    assert profiles[0].params == profiles[1].params == 60_965_224


@pytest.mark.parametrize(
    ("name", "side", "sides"),
    [("alexnet_owt", 224, (55, 27, 13, 6)), ("alexnet_slim", 224, (54, 26, 12, 5))],
)
def test_shapes_of_the_later_nets(name, side, sides):
    model = kc.get_model(name, input_shape=(side, side, 3), include_top=False)
    layers = ("conv1", "pool1", "pool2", "pool5")
    assert tuple(model.get_layer(layer).output.shape[1] for layer in layers) == sides


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("alexnet", ["conv1", "norm1", "pool1", "conv2", "norm2", "pool2", "conv3"]),
        ("caffenet", ["conv1", "pool1", "norm1", "conv2", "pool2", "norm2", "conv3"]),
        ("alexnet_owt", ["conv1", "pool1", "conv2", "pool2", "conv3"]),
    ],
)
def test_order_of_the_first_layers(name, order):
    names = [layer.name for layer in kc.get_model(name, include_top=False).layers]
    assert names[2 : 2 + len(order)] == order


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("alexnet", ["fc6", "dropout6", "fc7", "dropout7", "predictions"]),
        ("alexnet_owt", ["dropout6", "fc6", "dropout7", "fc7", "predictions"]),
    ],
)
def test_order_of_the_last_layers(name, order):
    names = [layer.name for layer in kc.get_model(name, **SMALL).layers]
    assert names[-6:-1] == order


def test_two_towers_meet_in_conv3_and_the_dense_layers():
    layers = kc.alexnet(**SMALL).layers
    assert [layer.name for layer in layers if isinstance(layer, TowerConv2D)] == [
        "conv2",
        "conv4",
        "conv5",
    ]
    assert not any(isinstance(x, TowerConv2D) for x in kc.alexnet(towers=1, **SMALL).layers)


@pytest.mark.parametrize(
    ("lrn", "k", "alpha"), [("paper", 2, 1e-4), ("code", 2, 2e-5), ("caffe", 1, 2e-5)]
)
def test_response_normalization(lrn, k, alpha):
    layer = kc.alexnet(lrn=lrn, **SMALL).get_layer("norm2")
    x = np.full((1, 1, 1, 5), 50, "float32")
    expected = 50 / (k + alpha * 5 * 50**2) ** 0.75
    assert layer(x).numpy()[0, 0, 0, 2] == pytest.approx(expected, rel=1e-5)


def test_without_response_normalization():
    layers = kc.alexnet(lrn=None, **SMALL).layers
    assert not any(isinstance(layer, LocalResponseNormalization) for layer in layers)


@pytest.mark.parametrize(
    ("arguments", "deviations"),
    [
        ({}, {"conv1": 0.01, "conv4": 0.01, "fc6": 0.01}),
        ({"kernel_initializer": "alexnet_code"}, {"conv1": 0.01, "conv4": 0.03, "fc6": 0.01}),
        ({"kernel_initializer": "caffenet"}, {"conv1": 0.01, "conv4": 0.01, "fc6": 0.005}),
        (
            {"kernel_initializer": "he_fan_out"},
            {
                "conv1": (2 / (121 * 96)) ** 0.5,
                "conv4": (2 / (9 * 384)) ** 0.5,
                "fc6": (2 / 4096) ** 0.5,
            },
        ),
        (
            {"kernel_initializer": keras.initializers.RandomNormal(stddev=0.2)},
            {"conv1": 0.2, "conv4": 0.2, "fc6": 0.2},
        ),
    ],
)
def test_initial_kernels(arguments, deviations):
    keras.utils.set_random_seed(0)
    model = kc.alexnet(**SMALL, **arguments)
    for name, deviation in deviations.items():
        kernel = model.get_layer(name).kernel.numpy()
        assert kernel.std() == pytest.approx(deviation, rel=0.02)
        assert abs(kernel.mean()) < 0.02 * deviation


@pytest.mark.parametrize(
    ("name", "arguments", "biases"),
    [
        ("alexnet", {}, {"conv1": 0, "conv2": 0.1, "conv3": 0, "fc6": 0.1}),
        (
            "alexnet",
            {"bias_init": 1.0},
            {"conv1": 0, "conv2": 1, "conv3": 0, "conv4": 1, "conv5": 1, "fc6": 1, "fc7": 1},
        ),
        ("alexnet_slim", {}, {"conv1": 0.1, "conv3": 0.1, "fc7": 0.1}),
    ],
)
def test_initial_biases(name, arguments, biases):
    side = 67 if name == "alexnet_slim" else 64
    model = kc.get_model(name, input_shape=(side, side, 3), **arguments)
    for layer, value in {**biases, "predictions": 0}.items():
        np.testing.assert_array_equal(model.get_layer(layer).bias.numpy(), np.float32(value))


def shapes_of(model: keras.Model) -> list[tuple]:
    return [layer.output.shape[1:] for layer in model.layers if layer.name.startswith("pool")]


def test_the_small_net_s_layers():
    model = kc.cuda_convnet()
    names = ["conv1", "pool1", "norm1", "conv2", "pool2", "norm2", "conv3", "pool3"]
    assert [layer.name for layer in model.layers[1:9]] == names
    assert shapes_of(model) == [(16, 16, 32), (8, 8, 32), (4, 4, 64)]
    plain = kc.cuda_convnet(overlapping=False, lrn=None)
    assert [layer.name for layer in plain.layers[1:7]] == [n for n in names if "norm" not in n]
    assert shapes_of(plain) == shapes_of(model)
    assert kc.describe(plain).params == 89_578


@pytest.mark.parametrize(("overlapping", "expected"), [(True, 5), (False, 4)])
def test_the_small_net_s_pooling(overlapping, expected):
    # The first window looks at 3x3 or at 2x2 positions.
    pool = kc.cuda_convnet(overlapping=overlapping).get_layer("pool1")
    x = np.zeros((1, 4, 4, 1), "float32")
    x[0, 1, 1], x[0, 2, 2] = 4, 5
    assert pool(x).numpy()[0, 0, 0, 0] == expected


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_the_small_net_s_activation_and_dense_layer(activation):
    model = kc.cuda_convnet(activation=activation, hidden=(64,), dropout=0.25)
    units = [model.get_layer(name).activation.__name__ for name in ("conv1", "conv3", "fc1")]
    assert units == [activation] * 3
    assert [layer.name for layer in model.layers[-4:-1]] == ["fc1", "dropout1", "predictions"]
    assert model.get_layer("dropout1").rate == 0.25
    # 1024 features, 64 units, 10 classes.
    more = 1025 * 64 + 65 * 10 - 1025 * 10
    assert kc.describe(model).params == 89_578 + more


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activation": "rely"}, "Unknown activation 'rely'. Did you mean relu"),
        ({"lrn": "papers"}, "Unknown lrn 'papers'. Did you mean paper?"),
        ({"input_shape": (7, 8, 3)}, "at least 8x8 pixels. Received: 7x8."),
    ],
)
def test_the_small_net_s_errors(arguments, message):
    with pytest.raises(UserError, match=message):
        kc.cuda_convnet(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lrn": "papers"}, "Unknown lrn 'papers'. Did you mean paper?"),
        ({"towers": 3}, "alexnet has towers=1 or 2. Received: 3."),
        ({"kernel_initializer": "alexnett"}, "Unknown kernel_initializer 'alexnett'. Did you mean"),
        ({"input_shape": (63, 227, 3)}, "at least 64x64 pixels. Received: 63x227."),
        ({"input_shape": (None, None, 3)}, "height and width must be known"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(UserError, match=message):
        kc.alexnet(**arguments)
