"""Layers of residual networks, one by one."""

import keras
import numpy as np
import pytest

from keras_classics.errors import UserError
from keras_classics.models.layers import IdentityShortcut
from keras_classics.models.replica_layers import BatchNormalization
from keras_classics.models.residual import SHORTCUTS, ResidualLayers, padded_max_pool


def layers(shortcut: str = "B", zeros: bool = False, **options) -> ResidualLayers:
    return ResidualLayers(shortcut, zeros, "he_fan_in", **options)


def network(build, side: int = 7) -> keras.Model:
    image = keras.Input((side, side, 2))
    return keras.Model(image, build(image))


# A kernel of 3 reaches one position beyond each side, a kernel of 7 three.
@pytest.mark.parametrize(("kernel", "reach"), [(1, 0), (3, 1), (7, 3)])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolutions_are_padded_alike_on_both_sides(kernel, reach, stride):
    model = network(lambda x: layers().conv(x, 1, kernel, stride, "a"))
    layer = model.get_layer("a_conv")
    assert layer.bias is None
    assert [x.name for x in model.layers[1:]] == ["a_pad"] * (stride > 1 and reach > 0) + ["a_conv"]
    layer.set_weights([np.ones(layer.kernel.shape)])
    x = np.zeros((1, 7, 7, 2), "float32")
    x[0, 0, 0, 0] = x[0, 6, 6, 1] = 1
    found = model(x).numpy()[0, ..., 0]
    places = np.arange(0, 7, stride)
    first = (places[:, None] <= reach) & (places <= reach)
    last = (places[:, None] >= 6 - reach) & (places >= 6 - reach)
    np.testing.assert_array_equal(found, first.astype(int) + last)


def test_a_convolution_with_a_bias_and_one_of_zeros():
    model = network(lambda x: layers().conv(x, 3, 1, 1, "a", zeros=True, bias=True))
    kernel, bias = model.get_layer("a_conv").get_weights()
    assert (kernel == 0).all()
    assert bias.shape == (3,)
    model = network(lambda x: layers().conv(x, 3, 1, 1, "a"))
    assert (model.get_layer("a_conv").get_weights()[0] != 0).all()


def test_convolution_normalisation_and_relu():
    model = network(lambda x: layers(epsilon=1e-3).conv_bn_relu(x, 3, 3, 1, "a"))
    assert [layer.name for layer in model.layers[1:]] == ["a_conv", "a_bn", "a_relu"]
    norm = model.get_layer("a_bn")
    assert isinstance(norm, BatchNormalization)
    assert (norm.momentum, norm.epsilon) == (0.9, 1e-3)
    assert (norm.gamma.numpy() == 1).all()
    assert model.layers[-1].activation is keras.activations.relu
    assert layers().epsilon == 1e-5


def test_initial_gamma_of_the_last_normalisation():
    assert layers().last_gamma == "ones"
    assert layers(zeros=True).last_gamma == "zeros"
    model = network(lambda x: layers().bn(x, "a", "zeros"))
    assert (model.get_layer("a_bn").gamma.numpy() == 0).all()


def test_which_shortcuts_project():
    # Where the shape changes, and elsewhere.
    found = {
        name: (layers(name).projects(True), layers(name).projects(False)) for name in SHORTCUTS
    }
    assert found == {
        "A": (False, False),
        "B": (True, False),
        "C": (True, True),
        "none": (False, False),
    }


@pytest.mark.parametrize(
    ("filters", "stride", "changes"), [(2, 1, False), (2, 2, True), (4, 1, True), (4, 2, True)]
)
def test_a_shortcut_without_parameters(filters, stride, changes):
    model = network(lambda x: layers("A").identity(x, filters, stride, "a"))
    assert isinstance(model.layers[-1], IdentityShortcut) == changes
    assert model.output_shape == (None, -(-7 // stride), -(-7 // stride), filters)
    assert model.layers[-1].name == ("a_0_identity" if changes else model.layers[0].name)


def test_max_pooling_of_the_stem():
    x = np.random.default_rng(0).normal(size=(1, 7, 7, 2)).astype("float32")
    model = network(padded_max_pool)
    padded = np.pad(x[0], [(1, 1), (1, 1), (0, 0)])
    expected = [
        [padded[i : i + 3, j : j + 3].max(axis=(0, 1)) for j in (0, 2, 4, 6)] for i in (0, 2, 4, 6)
    ]
    np.testing.assert_array_equal(model(x)[0], expected)
    assert [layer.name for layer in model.layers[1:]] == ["pool1_pad", "pool1_pool"]


@pytest.mark.parametrize("side", [3, 4, 7, 8])
def test_max_pooling_of_the_stem_in_caffe(side):
    x = np.random.default_rng(0).uniform(0, 1, (1, side, side, 2)).astype("float32")
    windows = range(0, 2 * (-(-(side - 3) // 2) + 1), 2)
    expected = [[x[0, i : i + 3, j : j + 3].max(axis=(0, 1)) for j in windows] for i in windows]
    np.testing.assert_array_equal(padded_max_pool(x, rounds_up=True)[0], expected)


def test_errors():
    with pytest.raises(UserError, match="Unknown shortcut 'D'"):
        layers("D")
    with pytest.raises(UserError, match="zero_init_residual needs shortcuts"):
        layers("none", zeros=True)
    assert layers("none").shortcut == "none"
