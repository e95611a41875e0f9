"""Files of weights: written in all forms, edited, and those that must not load."""

from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_classics.errors import UserError
from keras_classics.weights import load_weights
from keras_classics.weights.assign import extract, named_slots
from keras_classics.weights.formats import torchvision

# What TensorFlow puts behind the path of an object to a variable.
ATTRIBUTE = ".ATTRIBUTES/VARIABLE_VALUE"


def assert_refused(model: keras.Model, path: Path, message: str) -> None:
    """A file does not load, and leaves the model as it was."""
    before = model.get_weights()
    with pytest.raises(UserError, match=message) as refusal:
        load_weights(model, path)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    for was, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


def write_named(tensors: dict[str, np.ndarray], path: Path, ending: str = "{}:0") -> None:
    """Writes a file as Keras 2 did: layers and weights by name, doubled paths, names as bytes."""
    layers = {}
    for name, array in tensors.items():
        layer, variable = name.split("/")
        layers.setdefault(layer, {})[f"{layer}/{ending.format(variable)}"] = array
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.encode() for layer in layers]
        file.attrs["backend"] = b"tensorflow"
        for layer, arrays in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name in arrays]
            for name, array in arrays.items():
                group.create_dataset(name, data=array)


def object_names(model: keras.Model, prefix: str = "") -> dict[str, np.ndarray]:
    """The names that tf.keras gives variables in a checkpoint: layers with weights by number."""
    layers = [layer for layer in model.layers if layer.weights]
    return {
        f"{prefix}layer_with_weights-{i}/{v.name}/{ATTRIBUTE}": v.numpy()
        for i, layer in enumerate(layers)
        for v in layer.weights
    }


def write_tensorflow(tensors: dict[str, np.ndarray], path: Path) -> Path:
    """Writes a checkpoint of TensorFlow with tensors of any names."""
    tf.raw_ops.SaveV2(
        prefix=str(path),
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=[tf.constant(values) for values in tensors.values()],
    )
    return path


def write(model: keras.Model, path: Path) -> Path:
    """Writes a model's weights to a file in the format of its name."""
    if path.name.endswith(".weights.h5"):
        model.save_weights(path)
    elif path.suffix == ".keras":
        model.save(path)
    elif path.suffix == ".h5":
        write_named(extract(named_slots(model)), path)
    else:
        torchvision.write(model, path)
    return path
