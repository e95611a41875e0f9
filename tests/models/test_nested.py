"""Networks inside networks: everything that reads layers reads theirs, or says that it does not."""

import keras
import numpy as np
import pytest

import keras_classics as kc
from keras_classics import export
from keras_classics.analysis.nested import all_layers, flat
from keras_classics.analysis.profile import profile
from keras_classics.analysis.signals import responses, sizes
from keras_classics.demo.layers import first_layer
from keras_classics.errors import UserError
from keras_classics.evaluation import recompute_batch_norm
from keras_classics.evaluation.dense import fully_convolutional
from keras_classics.models.replica_layers import BatchNormalization
from keras_classics.models.transfer import copy_first_and_last
from keras_classics.weights import load_weights
from tests.helpers import golden
from tests.helpers.images import random_images

IMAGES = random_images(8, 8, 8, 3)


def backbone(name: str = "backbone") -> keras.Model:
    """Returns a network with two convolutions, each with a normalisation."""
    x = image = keras.Input((8, 8, 3))
    for number in "12":
        x = keras.layers.Conv2D(4, 3, strides=2, name=f"conv{number}")(x)
        x = BatchNormalization(0.9, 1e-5, name=f"bn{number}")(x)
        x = keras.layers.ReLU(name=f"relu{number}")(x)
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D(name="pool")(x), name=name)
    golden.fill(model)
    return model


def top() -> keras.layers.Layer:
    return keras.layers.Dense(4, activation="softmax", name="top")


def sequential(inner: keras.Model) -> keras.Model:
    return keras.Sequential([inner, top()], name="sequential")


def called(inner: keras.Model) -> keras.Model:
    image = keras.Input((8, 8, 3))
    return keras.Model(image, top()(inner(image)), name="called")


def twice(inner: keras.Model) -> keras.Model:
    image = keras.Input((8, 8, 3), name="outer")
    return called(keras.Sequential([image, inner], name="middle"))


def composed(inner: keras.Model) -> keras.Model:
    """In a layer that is written as code."""

    class Composed(keras.layers.Layer):
        def __init__(self):
            super().__init__(name="composed")
            self.inner, self.top = inner, top()

        def call(self, x, training=None):
            return self.top(self.inner(x, training=training))

    image = keras.Input((8, 8, 3))
    return keras.Model(image, Composed()(image), name="composed_model")


GRAPHS = [sequential, called, twice]
NESTINGS = [*GRAPHS, composed]


def of_kind(model: keras.Model, kind: type) -> list[keras.layers.Layer]:
    return [layer for layer in all_layers(model) if isinstance(layer, kind)]


def statistics(model: keras.Model) -> list[np.ndarray]:
    return [np.array(v) for v in model.variables if v.name.startswith("moving")]


@pytest.mark.parametrize("nest", NESTINGS)
def test_layers_in_the_order_of_the_network(nest):
    inner = backbone()
    names = [layer.name for layer in all_layers(nest(inner))]
    expected = [layer.name for layer in inner.layers]
    start = names.index(expected[0])
    assert names[start : start + len(expected)] == expected
    assert len({id(layer) for layer in all_layers(nest(inner))}) == len(all_layers(nest(inner)))


@pytest.mark.parametrize("nest", NESTINGS)
def test_what_trains_in_nested_networks(nest):
    model = nest(backbone())
    norms = of_kind(model, keras.layers.BatchNormalization)
    assert len(norms) == 2
    kc.unfreeze(model)
    assert not any(norm.trainable for norm in norms)
    assert not any(v.name in ("gamma", "beta") for v in model.trainable_variables)
    kc.freeze_backbone(model)
    assert [v.path.split("/")[-2:] for v in model.trainable_variables] == [
        ["top", "kernel"],
        ["top", "bias"],
    ]
    kc.freeze_backbone(model, "train")
    assert {v.name for v in model.trainable_variables} == {"gamma", "beta", "kernel", "bias"}
    assert len(model.trainable_variables) == 2 * 2 + 2
    kc.unfreeze(model, "synchronized")
    assert all(norm.trainable and norm.synchronized for norm in norms)
    assert len(model.trainable_variables) == 2 * 2 + 2 * 2 + 2


@pytest.mark.parametrize("nest", [sequential, called])
def test_statistics_of_nested_networks(nest):
    model = nest(backbone())
    kc.unfreeze(model)
    before = statistics(model)
    model(IMAGES, training=True)
    for now, was in zip(statistics(model), before, strict=True):
        np.testing.assert_array_equal(now, was)
    kc.freeze_backbone(model, "train")
    model(IMAGES, training=True)
    for now, was in zip(statistics(model), before, strict=True):
        assert not np.array_equal(now, was)


def test_a_network_that_was_frozen_as_a_whole():
    inner = backbone()
    inner.trainable = False
    model = called(inner)
    kc.unfreeze(model, "train")
    assert len(inner.trainable_variables) == 2 * 2 + 2 * 2
    model.trainable = False
    kc.unfreeze(model, "train")
    assert len(model.trainable_variables) == 2 * 2 + 2 * 2 + 2


def test_nothing_can_train():
    image = keras.Input((4, 4, 1))
    with pytest.raises(UserError, match="Received: empty, which has none"):
        kc.freeze_backbone(keras.Model(image, keras.layers.ReLU()(image), name="empty"))


@pytest.mark.parametrize("nest", GRAPHS)
def test_the_flat_form_computes_the_same(nest):
    inner = backbone()
    model = nest(inner)
    same = flat(model)
    np.testing.assert_array_equal(same(IMAGES), model(IMAGES))
    expected = [layer.name for layer in inner.layers[1:]] + ["top"]
    assert [layer.name for layer in same.layers][1:] == expected
    assert not set(map(id, same.layers)) & set(map(id, all_layers(model)))
    assert flat(inner) is inner


def test_layers_of_one_name_in_two_nested_networks():
    image = keras.Input((8, 8, 3))
    both = keras.layers.Add()([backbone("one")(image), backbone("other")(image)])
    with pytest.raises(UserError, match="different names. Received: 'conv1' twice"):
        profile(keras.Model(image, both, name="pair"))


@pytest.mark.parametrize("nest", GRAPHS)
def test_numbers_of_nested_networks(nest):
    inner = backbone()
    model, direct = nest(inner), keras.Model(inner.input, top()(inner.output))
    direct.layers[-1].set_weights(model.get_layer("top").get_weights())
    assert profile(model).rows[1:] == profile(direct).rows[1:]
    assert responses(model, IMAGES) == responses(direct, IMAGES)
    for found, expected in zip(
        sizes(model, IMAGES, keras.ops.sum), sizes(direct, IMAGES, keras.ops.sum), strict=True
    ):
        assert found == pytest.approx(expected)
    assert first_layer(model).name == first_layer(direct).name


def test_statistics_are_recomputed_in_nested_networks():
    inner = backbone()
    recompute_batch_norm(inner, [IMAGES])
    expected = statistics(inner)
    for nest in (twice, composed):
        again = nest(backbone())
        recompute_batch_norm(again, [IMAGES])
        for got, one in zip(statistics(again), expected, strict=True):
            np.testing.assert_allclose(got, one, rtol=1e-5, atol=1e-6)


def test_first_and_last_layers_of_nested_networks():
    small = {"filters": (4, 8, 16, 32, 32), "hidden": (16, 12), "classes": 4}
    source, model = (build(input_shape=(32, 32, 3), **small) for build in (kc.vgg11, kc.vgg13))
    copy_first_and_last(keras.Sequential([source]), keras.Sequential([model]))
    for name in ("block1_conv1", "block3_conv2", "fc2", "predictions"):
        kernels = [each.get_layer(name).kernel for each in (source, model)]
        np.testing.assert_array_equal(*kernels)


REFUSALS = {
    "profile": profile,
    "features": kc.feature_extractor,
    "dense": fully_convolutional,
    "onnx": lambda model: export.onnx(model, "never.onnx"),
    "weights": lambda model: load_weights(model, "inner.weights.h5"),
}


@pytest.mark.parametrize(
    ("what", "nest"),
    [(what, composed) for what in REFUSALS]
    + [(what, called) for what in ("features", "dense", "weights")],
)
def test_nested_networks_are_refused_in_one_line(what, nest, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inner = backbone()
    inner.save_weights("inner.weights.h5")
    model = nest(inner)
    before = model.get_weights()
    with pytest.raises(UserError) as error:
        REFUSALS[what](model)
    message = str(error.value)
    assert len(message.splitlines()) == 1
    assert ("composed" if nest is composed else "backbone") in message
    for now, was in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, was)
    assert [path.name for path in tmp_path.iterdir()] == ["inner.weights.h5"]


def test_weights_behind_layers_with_weights(tmp_path):
    """The layers before `input_tensor` are not the network's."""
    small = {"include_top": False, "pooling": "avg", "filters": (4, 4, 8, 8, 8)}
    source = kc.vgg11_bn(input_shape=(32, 32, 3), **small)
    golden.fill(source)
    path = tmp_path / "vgg11.weights.h5"
    source.save_weights(path)
    image = keras.Input((32, 32, 1))
    tensor = keras.layers.Conv2D(3, 1, name="colour")(image)
    model = kc.vgg11_bn(input_tensor=tensor, weights=path, **small)
    assert model.layers[1].name == "colour"
    gray = random_images(2, 32, 32, 1)
    expected = source(keras.Model(image, tensor)(gray))
    np.testing.assert_allclose(model(gray), expected, rtol=1e-5, atol=1e-6)
    assert len(kc.describe(model).rows) == len(source.layers) + 1
