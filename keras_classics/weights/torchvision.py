"""torchvision's names and layouts of weights, for the networks that torchvision has too.

torchvision                              here
features.N, classifier.N                 AlexNet and VGG, N counts torchvision's modules
layerS.U.convI, .bnI                     conv{S+1}_block{U+1}_{I}_conv, _bn
layerS.U.downsample.0, .1                conv{S+1}_block{U+1}_0_conv, _bn
conv weight (out, in, height, width)     kernel (height, width, in, out)
dense weight (out, in)                   kernel (in, out)
first dense weight, inputs flattened as (channel, row, column)    as (row, column, channel)

torchvision's counter of batches, `num_batches_tracked`, is not needed and ignored.
"""

import dataclasses
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_classics.errors import UserError, require
from keras_classics.files import atomic_write, refuse_escaping_members
from keras_classics.weights.assign import Slot, Tensors, extract, weights_of
from keras_classics.weights.metadata import ENTRY, FileMetadata, digest, from_text, metadata_of

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


def read(path: Path) -> Tensors:
    """Reads a `.pth` or `.safetensors` file. Code in a `.pth` file is never executed.

    Raises:
        UserError: If it is no such file, it contains more than tensors, or the extra `torch` is
            missing.
    """
    tensors = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pth(path)
    return {n: t for n, t in tensors.items() if not n.endswith(".num_batches_tracked")}


def _read_safetensors(path: Path) -> Tensors:
    safetensors = require("safetensors", "torch")
    load_file = require("safetensors.numpy", "torch").load_file
    try:
        return load_file(path)
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"it is not an intact safetensors file ({error})") from error


def _read_pth(path: Path) -> Tensors:
    torch = require("torch", "torch")
    refuse_escaping_members(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if "weights_only" in str(error) or "WeightsUnpickler" in str(error):
            raise UserError(
                "it contains code or objects besides tensors, which are not executed. Save only "
                f"the state_dict() ({_first_line(error)})"
            ) from error
        raise UserError(f"it is not an intact torch file ({_first_line(error)})") from error
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and torch.is_tensor(tensor) and tensor.layout == torch.strided
        for name, tensor in content.items()
    ):
        raise UserError("it is not a state_dict, a mapping from names to dense tensors")
    # NumPy has no bfloat16.
    return {
        name: (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        for name, tensor in content.items()
    }


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def read_metadata(path: Path) -> FileMetadata | None:
    """Returns what a `.safetensors` file says of its network; a `.pth` file says nothing.

    Raises:
        UserError: If the file or this package's entry is damaged.
    """
    if path.suffix != ".safetensors":
        return None
    safetensors = require("safetensors", "torch")
    try:
        with safetensors.safe_open(path, "numpy") as file:
            entry = (file.metadata() or {}).get(ENTRY)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise UserError(f"it is not an intact safetensors file ({error})") from error
    return None if entry is None else from_text(entry)


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
        digests = {name: digest(tensor) for name, tensor in tensors.items()}
        text = dataclasses.replace(metadata or metadata_of(model), digests=digests).to_text()
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
