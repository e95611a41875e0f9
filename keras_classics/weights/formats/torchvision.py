"""torchvision's names and layouts of weights, for the networks that torchvision has too.

torchvision                              here
features.N, classifier.N                 AlexNet and VGG, N counts torchvision's modules
layerS.U.convI, .bnI                     conv{S+1}_block{U+1}_{I}_conv, _bn
layerS.U.downsample.0, .1                conv{S+1}_block{U+1}_0_conv, _bn
conv weight (out, in, height, width)     kernel (height, width, in, out)
dense weight (out, in)                   kernel (in, out)
first dense weight, inputs flattened as (channel, row, column)    as (row, column, channel)
"""

import dataclasses
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_classics.errors import UserError, require
from keras_classics.files import atomic_write
from keras_classics.weights.assign import Slot, extract, weights_of
from keras_classics.weights.metadata import ENTRY, FileMetadata, metadata_of
from keras_classics.weights.stored import checksum

EPSILON, MOMENTUM = 1e-5, 0.9

# torchvision puts their stride in the 3x3 convolution, which the shapes of the weights do not show.
BOTTLENECKS = ("resnet50", "resnet101", "resnet152")

VARIABLES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}

# Layers that are modules of a torch.nn.Sequential in torchvision. ReLUs are modules too.
COUNTED = (
    keras.layers.Conv2D,
    keras.layers.Dense,
    keras.layers.BatchNormalization,
    keras.layers.MaxPooling2D,
    keras.layers.Dropout,
)


def builder_arguments(model: str) -> dict[str, Any]:
    """Returns the builder's arguments for torchvision's network of the same name."""
    if model in BOTTLENECKS:
        return {"version": "v1.5", "shortcut": "B"}
    if model.startswith("resnet"):
        return {"version": "v1", "shortcut": "B"}
    if model.endswith("_bn"):
        return {"batch_norm": "all", "batch_norm_after": "conv"}
    return {"lrn": None} if model.startswith("alexnet") else {"batch_norm": None}


def write(model: keras.Model, path: Path, metadata: FileMetadata | None = None) -> None:
    """Writes a network's weights with torchvision's names to a `.pth` or `.safetensors` file.

    Args:
        model: The network.
        path: The file.
        metadata: What a `.safetensors` file says of the network, by default what the network
            itself shows.

    Raises:
        UserError: If torchvision has no such network, or the extra `torch` is missing.
    """
    tensors = extract(slots(model))
    if path.suffix == ".safetensors":
        save_file = require("safetensors.numpy", "torch").save_file
        checksums = {name: checksum(tensor) for name, tensor in tensors.items()}
        said = dataclasses.replace(metadata or metadata_of(model), checksums=checksums)
        text = said.to_text()
        with atomic_write(path) as aside:
            save_file(tensors, aside, metadata={ENTRY: text})
        return
    torch = require("torch", "torch")
    with atomic_write(path) as aside:
        torch.save({name: torch.from_numpy(array) for name, array in tensors.items()}, aside)


def slots(model: keras.Model) -> dict[str, Slot]:
    """Returns a slot for every weight of a network, by torchvision's name.

    Raises:
        UserError: If torchvision has no such layer.
    """
    modules = _residual_modules(model) or _sequential_modules(model)
    for layer in model.layers:
        if weights_of(layer) and layer.name not in modules:
            raise UserError(
                f"torchvision has no layer that corresponds to {layer.name} of {model.name}"
            )
    shape_before_dense = _shape_before_dense(model)
    return {
        f"{modules[layer.name]}.{VARIABLES[variable.name]}": _slot(
            variable, shape_before_dense.get(layer.name)
        )
        for layer in model.layers
        for variable in weights_of(layer)
    }


def _residual_modules(model: keras.Model) -> dict[str, str]:
    """Returns torchvision's module name for each layer of a ResNet; empty for other networks."""
    names = {}
    for layer in model.layers:
        unit = re.fullmatch(r"conv(\d)_block(\d+)_(\d)_(conv|bn)", layer.name)
        if unit:
            stage, block, number, kind = unit.groups()
            part = f"{kind}{number}"
            if number == "0":
                part = "downsample.0" if kind == "conv" else "downsample.1"
            names[layer.name] = f"layer{int(stage) - 1}.{int(block) - 1}.{part}"
    if names:
        names |= {"conv1_conv": "conv1", "conv1_bn": "bn1", "predictions": "fc"}
    return names


def _sequential_modules(model: keras.Model) -> dict[str, str]:
    """Returns torchvision's module name for each layer of AlexNet or VGG."""
    names, part, number = {}, "features", 0
    for layer in model.layers:
        if isinstance(layer, keras.layers.Flatten):
            part, number = "classifier", 0
        names[layer.name] = f"{part}.{number}"
        number += isinstance(layer, COUNTED)
        number += getattr(layer, "activation", None) is keras.activations.relu
    return names


def _shape_before_dense(model: keras.Model) -> dict[str, tuple[int, int, int]]:
    """Returns the (height, width, channels) of the flattened map, by the dense layer after it."""
    shape = None
    for layer in model.layers:
        if isinstance(layer, keras.layers.Flatten):
            shape = tuple(layer.input.shape[1:])
        if shape and isinstance(layer, keras.layers.Dense):
            return {layer.name: shape}
    return {}


def _slot(variable: keras.Variable, flattened: tuple[int, int, int] | None) -> Slot:
    """Returns a variable's slot, with the conversion between Keras's and torch's layout."""
    shape = tuple(variable.shape)
    if variable.name != "kernel":
        return Slot(variable, shape)
    if len(shape) == 4:
        height, width, inputs, filters = shape
        return Slot(
            variable,
            (filters, inputs, height, width),
            lambda weight: weight.transpose(2, 3, 1, 0),
            lambda kernel: kernel.transpose(3, 2, 0, 1),
        )
    inputs, units = shape
    if flattened is None:
        return Slot(variable, (units, inputs), np.transpose, np.transpose)
    height, width, channels = flattened
    return Slot(
        variable,
        (units, inputs),
        lambda weight: (
            weight.reshape(units, channels, height, width).transpose(2, 3, 1, 0).reshape(shape)
        ),
        lambda kernel: (
            kernel.reshape(height, width, channels, units).transpose(3, 2, 0, 1).reshape(units, -1)
        ),
    )
