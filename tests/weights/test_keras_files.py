"""Keras's files: networks in networks, other names of layers, and checkpoints of TensorFlow."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.weights import load_weights
from keras_classics.weights.assign import extract, named_slots
from tests.helpers.golden import fill
from tests.helpers.weight_files import (
    ATTRIBUTE,
    assert_refused,
    object_names,
    write_named,
    write_tensorflow,
)

NARROW = {"input_shape": (32, 32, 3), "filters": (2, 3, 4, 5, 5), "hidden": (6, 7)}


@pytest.fixture(scope="module")
def source() -> keras.Model:
    source = kc.resnet20(shortcut="B", name="trunk")
    fill(source)
    return source


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return kc.resnet20(shortcut="B")


def assert_equal(model: keras.Model, source: keras.Model) -> None:
    for found, value in zip(model.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(found, value)


def cleared(model: keras.Model) -> keras.Model:
    for variable in model.weights:
        variable.assign(0 * variable)
    return model


@pytest.fixture(scope="module")
def folder(source, tmp_path_factory) -> Path:
    """Saved networks of which one layer is a network: by Keras, in its two formats."""
    folder = tmp_path_factory.mktemp("nested")
    first = kc.lenet5(name="first")
    image = keras.Input((32, 32, 3))
    grey = keras.layers.Conv2D(1, 1, name="grey")(image)
    other, scores = first(grey), source(keras.layers.Rescaling(1 / 255)(image))
    scores = keras.layers.Dense(3)(keras.layers.Concatenate()([other, scores]))
    outer = keras.Model(image, scores, name="outer")
    again = keras.Sequential([keras.Input((32, 32, 3)), outer, keras.layers.Dense(2)])
    outer.save(folder / "outer.keras")
    outer.save(folder / "outer.h5")
    again.save(folder / "again.keras")
    return folder


@pytest.mark.parametrize("name", ["outer.keras#trunk", "outer.h5#trunk", "again.keras#outer/trunk"])
def test_a_network_that_is_a_layer(name, model, source, folder, caplog):
    load_weights(cleared(model), folder / name)
    assert_equal(model, source)
    assert f"the network is the layer '{name.partition('#')[2]}'" in caplog.text


def test_builders_take_it_and_what_it_computes(source, folder):
    assert_equal(kc.resnet20(weights=f"{folder}/outer.keras#trunk", shortcut="B"), source)
    # The configuration of the layer says which network it is.
    assert_refused(kc.plain20(), f"{folder}/outer.keras#trunk", "its layer .* has inputs|lacks")


@pytest.mark.parametrize("name", ["outer.keras", "outer.h5"])
def test_a_network_that_is_a_layer_must_be_named(name, model, folder):
    assert_refused(model, folder / name, "has first, trunk as a layer. Name it, .*'FILE#first'")
    for part, message in (
        ("grey", "no network 'grey' as a layer, but first, trunk"),
        ("first", "lacks the tensor|has the shape|its layer"),
    ):
        with pytest.raises(UserError, match=message):
            load_weights(model, f"{folder / name}#{part}")


def test_a_whole_network_in_an_h5_file(model, source, tmp_path):
    source.save(tmp_path / "a.h5")
    load_weights(cleared(model), tmp_path / "a.h5")
    assert_equal(model, source)
    assert_refused(kc.plain20(shortcut="none"), tmp_path / "a.h5", "its layer .* has inputs|lacks")


def renamed(model: keras.Model, path: Path) -> Path:
    """Writes a file of Keras 2 whose layers have the names that Keras gives by itself."""
    names = {layer.name: f"layer_{i}" for i, layer in enumerate(model.layers)}
    tensors = extract(named_slots(model))
    write_named(
        {f"{names[n.split('/')[0]]}/{n.split('/')[1]}": t for n, t in tensors.items()}, path
    )
    return path


@pytest.mark.parametrize("name", ["vgg16", "lenet5", "resnet20"])
def test_layers_of_other_names_are_taken_in_order(name, tmp_path, caplog):
    arguments = NARROW if name == "vgg16" else {"shortcut": "A"} if name == "resnet20" else {}
    one, other = kc.get_model(name, **arguments), kc.get_model(name, **arguments)
    fill(one)
    load_weights(other, renamed(one, tmp_path / "a.h5"))
    assert_equal(other, one)
    assert "the layers are taken in their order, layer_1/kernel as " in caplog.text
    assert len(caplog.records) == 1


def test_an_order_that_says_too_little(model, source, tmp_path):
    path = renamed(source, tmp_path / "a.h5")
    assert_refused(model, path, "their order does not say which of .* is which. Give the layers")


def test_layers_of_another_number_or_shape_have_no_order(tmp_path):
    path = renamed(kc.vgg16(**NARROW), tmp_path / "a.h5")
    assert_refused(
        kc.vgg13(**NARROW), path, "it lacks the tensor 'block1_conv1/kernel', and the ne"
    )
    other = kc.vgg16(**{**NARROW, "filters": (2, 3, 4, 5, 6)})
    assert_refused(other, path, "it lacks the tensor 'block1_conv1/kernel'")


def by_name(model: keras.Model, prefix: str = "") -> dict[str, np.ndarray]:
    return {f"{prefix}{name}": values for name, values in extract(named_slots(model)).items()}


BESIDE = {
    "_CHECKPOINTABLE_OBJECT_GRAPH": np.array(b"graph"),
    f"save_counter/{ATTRIBUTE}": np.array(3, "int64"),
    f"optimizer/iter/{ATTRIBUTE}": np.array(3, "int64"),
    f"optimizer/learning_rate/{ATTRIBUTE}": np.array(0.1, "float32"),
}

TENSORFLOW = {
    "save_weights": lambda m: object_names(m) | BESIDE,
    "Checkpoint": lambda m: (
        object_names(m, "model/")
        | BESIDE
        | {
            f"model/layer_with_weights-0/kernel/.OPTIMIZER_SLOT/optimizer/m/{ATTRIBUTE}": np.ones(
                (3, 3, 3, 16), "float32"
            )
        }
    ),
    "backbone": lambda m: (
        object_names(m, "layer_with_weights-0/")
        | {f"layer_with_weights-1/kernel/{ATTRIBUTE}": np.ones((10, 2), "float32")}
        | BESIDE
    ),
    "by name": lambda m: (
        by_name(m)
        | {
            "global_step": np.array(3, "int64"),
            "conv1_conv/kernel/Momentum": np.ones((3, 3, 3, 16), "float32"),
        }
    ),
    "by name in a scope": lambda m: by_name(m, "resnet20/") | {"beta1_power": np.float32(0.9)},
    "half": lambda m: {n: v.astype("float64") for n, v in object_names(m).items()},
}


@pytest.mark.parametrize("form", TENSORFLOW)
def test_checkpoints_of_tensorflow(form, model, source, tmp_path):
    path = write_tensorflow(TENSORFLOW[form](source), tmp_path / "ckpt-3")
    load_weights(cleared(model), path)
    assert_equal(model, source)


def test_checkpoints_that_keras_3_writes(model, source, tmp_path):
    path = tf.train.Checkpoint(model=source).write(str(tmp_path / "ckpt-1"))
    load_weights(cleared(model), path)
    assert_equal(model, source)


def test_a_checkpoint_by_the_name_of_any_of_its_files(model, source, tmp_path, caplog):
    path = write_tensorflow(object_names(source, "model/"), tmp_path / "weights.ckpt")
    for ending in (".index", ".data-00000-of-00001"):
        load_weights(cleared(model), f"{path}{ending}")
        assert_equal(model, source)
    assert "the network is under 'model'" in caplog.text
    assert_equal(kc.resnet20(weights=str(path), shortcut="B"), source)
    headless = kc.resnet20(weights=str(path), shortcut="B", include_top=False)
    for found, value in zip(headless.get_weights(), source.get_weights(), strict=False):
        np.testing.assert_array_equal(found, value)
    three = kc.resnet20(weights=str(path), shortcut="B", classes=3)
    np.testing.assert_array_equal(three.weights[0], source.weights[0])


def test_checkpoints_of_tensorflow_that_are_refused(model, source, tmp_path):
    tensors = object_names(source)
    kernel = f"layer_with_weights-4/kernel/{ATTRIBUTE}"
    for name, values in (
        ("missing", {n: v for n, v in tensors.items() if n != kernel}),
        ("shape", {**tensors, kernel: tensors[kernel][:2]}),
        ("extra", {**tensors, f"layer_with_weights-4/gamma/{ATTRIBUTE}": np.ones(16, "float32")}),
        ("type", {**tensors, kernel: tensors[kernel].astype("int32")}),
        ("finite", {**tensors, kernel: tensors[kernel] * np.nan}),
    ):
        path = write_tensorflow(values, tmp_path / name)
        message = "/kernel'|layer_with_weights-4/(kernel|gamma)/"
        with pytest.raises(UserError, match=message):
            load_weights(model, path)
    path = write_tensorflow(tensors, tmp_path / "whole")
    data = tmp_path / "whole.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)
    with pytest.raises(UserError, match=r"not an intact checkpoint of TensorFlow"):
        load_weights(model, path)
    data.unlink()
    with pytest.raises(UserError, match=r"whole.data-00000-of-00001 is missing beside it"):
        load_weights(model, path)
    index = tmp_path / "whole.index"
    index.write_bytes(index.read_bytes()[:-100])
    shutil.copy(index, tmp_path / "whole.data-00000-of-00001")
    with pytest.raises(UserError, match="not an intact checkpoint of TensorFlow"):
        load_weights(model, index)
