"""The builders' default arguments: the papers' numbers, and of each family in all its networks."""

import keras
import pytest

import keras_classics as kc
from keras_classics.models.layers import LocalResponseNormalization
from keras_classics.models.replica_layers import BatchNormalization, Dropout

NARROW = {"filters": (4, 4, 4, 4, 4), "hidden": (8, 8), "input_shape": (32, 32, 3)}
# Krizhevsky et al. 2012, section 3.3; torchvision and TF-slim leave the normalisation out.
PAPER_LRN = {"n": 5, "k": 2.0, "alpha": 1e-4, "beta": 0.75, "divide_alpha_by_n": False}
CAFFE_LRN = {**PAPER_LRN, "k": 1.0, "divide_alpha_by_n": True}


def layers_of(model: keras.Model, kind: type) -> list[keras.Layer]:
    return [layer for layer in model.layers if isinstance(layer, kind)]


@pytest.mark.parametrize("name", kc.list_models("vgg*"))
def test_vgg(name):
    # Simonyan and Zisserman 2015, section 3.1: dropout of 0.5 after each of two dense layers.
    narrow = {key: NARROW[key] for key in ("filters", "hidden")}
    model = kc.get_model(name, **(narrow if name == "vgg16_mini" else NARROW))
    rates = [layer.rate for layer in layers_of(model, Dropout)]
    assert rates == ([0.0, 0.0] if name == "vgg16_mini" else [0.5, 0.5])
    norms = layers_of(model, BatchNormalization)
    # As torchvision has it.
    assert {(layer.momentum, layer.epsilon) for layer in norms} <= {(0.9, 1e-5)}


@pytest.mark.parametrize(
    ("name", "lrn"),
    [
        ("alexnet", PAPER_LRN),
        ("alexnet_single_tower", PAPER_LRN),
        ("caffenet", CAFFE_LRN),
        ("alexnet_owt", None),
        ("alexnet_slim", None),
    ],
)
def test_alexnet(name, lrn):
    model = kc.get_model(name, input_shape=(67, 67, 3), classes=3)
    # Section 4.2: dropout of 0.5 in the first two dense layers.
    assert [(x.name, x.rate) for x in layers_of(model, Dropout)] == [
        ("dropout6", 0.5),
        ("dropout7", 0.5),
    ]
    norms = [layer.get_config() for layer in layers_of(model, LocalResponseNormalization)]
    assert [{key: norm[key] for key in PAPER_LRN} for norm in norms] == ([lrn] * 2 if lrn else [])
    # Section 3.4: windows of 3x3 with stride 2, which overlap.
    pools = layers_of(model, keras.layers.MaxPooling2D)
    assert {(pool.pool_size, pool.strides) for pool in pools} == {((3, 3), (2, 2))}


def test_cuda_convnet():
    model = kc.cuda_convnet(hidden=(8,))
    assert [layer.rate for layer in layers_of(model, Dropout)] == [0.5]
    assert model.get_layer("conv1").activation is keras.activations.relu
