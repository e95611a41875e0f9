"""Files of weights with names and shapes alone: their values are holes, which take no disk."""

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path

import h5py
import keras
import numpy as np

from keras_classics.weights.assign import named_slots, weights_of
from keras_classics.weights.formats import torchvision
from keras_classics.weights.formats.parts import numbered_names
from keras_classics.weights.metadata import ENTRY, metadata_of

Shapes = Mapping[str, tuple[int, ...]]

BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


def safetensors(
    path: Path, shapes: Shapes, dtype: str = "F32", metadata: Mapping[str, str] | None = None
) -> Path:
    """Writes a `.safetensors` file."""
    header: dict = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + math.prod(shape) * BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    return path


def named(path: Path, shapes: Shapes) -> Path:
    """Writes a `.h5` file of Keras 1 or 2, of tensors named `layer/variable`."""
    layers: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        layer, variable = name.split("/")
        layers.setdefault(layer, {})[f"{layer}/{variable}:0"] = shape
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.encode() for layer in layers]
        for layer, tensors in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name in tensors]
            for name, shape in tensors.items():
                group.create_dataset(name, shape, "float32")
    return path


def numbered(path: Path, model: keras.Model, metadata: bool = False) -> Path:
    """Writes a `.weights.h5` file as Keras 3 does, with this package's entry or without."""
    names = numbered_names([type(layer).__name__ for layer in model.layers])
    with h5py.File(path, "w") as file:
        for name, layer in zip(names, model.layers, strict=True):
            group = file.create_group(f"layers/{name}/vars")
            for number, variable in enumerate(weights_of(layer)):
                group.create_dataset(str(number), tuple(variable.shape), "float32")
        if metadata:
            text = metadata_of(model).to_text().encode()
            file.create_dataset(ENTRY, data=np.frombuffer(text, np.uint8))
    return path


def of_keras(model: keras.Model) -> dict[str, tuple[int, ...]]:
    """The shapes of a network's tensors by `layer/variable`."""
    return {name: slot.shape for name, slot in named_slots(model).items()}


def of_torch(model: keras.Model) -> dict[str, tuple[int, ...]]:
    """The shapes of a network's tensors by torchvision's names and layout."""
    return {name: slot.shape for name, slot in torchvision.slots(model).items()}
