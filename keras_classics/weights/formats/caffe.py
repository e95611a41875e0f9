"""Caffe's names and layouts of weights, for the networks that were published for Caffe.

Caffe                                       here
conv1 to conv5, fc6, fc7                    AlexNet and CaffeNet: the same
conv2_1, fc6, fc7                           VGG: block2_conv1, fc1, fc2
conv1; res2a_branch1, _branch2a to 2c       ResNet: conv1_conv; conv2_block1_0_conv, _1 to 3_conv
res3b, or res3b1 in the deeper networks     conv3_block2
the last InnerProduct, of any name          predictions
BatchNorm and Scale after a convolution     its batch normalisation
weights (out, in / group, height, width)    kernel (height, width, in / group, out)
dense weights (out, in)                     kernel (in, out)
dense weights of a map: (channel, row, column)    as (row, column, channel)

The networks take what they took in Caffe: BGR images in 0..255 minus their mean. A bias before a
BatchNorm is subtracted from its mean, where the network here has none, and another epsilon is added
to the variance. Both compute the same.
"""

import contextlib
import math
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_classics.errors import UserError
from keras_classics.files import user_path
from keras_classics.weights.formats.blobs import Blob, constant, moved
from keras_classics.weights.formats.caffe_files import read_blob, read_layers
from keras_classics.weights.formats.caffe_graph import (
    EPSILON,
    Network,
    Unit,
    builder_arguments,
    check_computation,
    network_of,
)
from keras_classics.weights.metadata import FileMetadata
from keras_classics.weights.stored import FileContent, StoredTensor, Tensors

# The networks learned by moving averages of this momentum.
MOMENTUM = 0.999

# What Caffe calls the variables of layers here.
OWN_NAMES = {
    "kernel": "weights",
    "bias": "biases",
    "moving_mean": "mean",
    "moving_variance": "variance",
    "gamma": "scale",
    "beta": "bias",
}

BOTTLENECK_PARTS = {"1": "0", "2a": "1", "2b": "2", "2c": "3"}


@contextlib.contextmanager
def opened(path: Path, model: keras.Model, part: str = "") -> Iterator[FileContent]:
    """Opens a `.caffemodel` of either generation of the format.

    Args:
        path: The file.
        model: The network, with which the file's is compared.
        part: "", because a file has one network.

    Returns:
        The tensors by the names and in the layouts of the model.

    Raises:
        UserError: If it is no such file, or it computes something else than the model.
    """
    if part:
        raise UserError(f"a file of Caffe has one network, and no {part!r}")
    network = network_of(read_layers(path))
    names = _names(network, model)
    check_computation(network, names, model)
    flattened = _flattened(model)
    yield FileContent.of(
        (variable, tensor, _own_name(unit, variable))
        for unit in network.units
        for variable, tensor in _tensors(unit, names[unit.layer.name], model, flattened).items()
    )


def _own_name(unit: Unit, variable: str) -> str:
    """Names a tensor as Caffe does: its layer, and which of the layer's blobs."""
    kind = variable.rpartition("/")[2]
    layer = {"gamma": unit.scale, "beta": unit.scale, "kernel": unit.layer, "bias": unit.layer}
    found = layer.get(kind, unit.norm) or unit.norm or unit.layer
    return f"{found.name} ({OWN_NAMES[kind]})"


def read_metadata(path: Path, part: str = "") -> FileMetadata:
    """Returns the arguments of builders that a file decides.

    Args:
        path: The file.
        part: See `opened`.

    Raises:
        UserError: If it is no `.caffemodel`, or has a layer that no network here has.
    """
    network = network_of(read_layers(path))
    arguments = builder_arguments(network)
    head = _classifier(network)
    shape = _without_ones(head.layer.blobs[0].shape, 2) if head else ()
    if 0 not in shape and shape:
        arguments["classes"] = shape[0]
    return FileMetadata({}, arguments, exact=False)


def caffe_mean(path: str | os.PathLike, crop: int | None = None) -> tuple:
    """Reads a mean image of Caffe for `ImagePreprocessing`, which takes it as `mean`.

    Args:
        path: A `.binaryproto`, or a `.npy` as Caffe's users convert it: shape (3, height, width),
            BGR in 0..255.
        crop: Side of the middle of the image that the network takes; None for the mean of each
            channel.

    Returns:
        For a crop, the values nested as (crop, crop, 3); else three values. Both BGR.

    Raises:
        UserError: If it is no such file, or smaller than the crop.
    """
    path = user_path(path)
    try:
        image = _read_npy(path) if path.suffix == ".npy" else _mean_of_blob(read_blob(path))
    except (OSError, ValueError, EOFError) as error:  # A UserError is a ValueError.
        raise UserError(f"{path} is no mean image of Caffe: {error}.") from error
    if image.ndim != 3 or image.shape[0] != 3 or not np.isfinite(image).all():
        raise UserError(
            f"A mean image must have the shape (3, height, width) and finite values. "
            f"Received: {path}, {image.shape}."
        )
    if crop is None:
        return tuple(image.mean(axis=(1, 2), dtype="float64").tolist())
    if min(image.shape[1:]) < crop:
        raise UserError(
            f"A mean image must be at least as large as the crop, {crop}x{crop}. Received: {path}, "
            f"{image.shape[1]}x{image.shape[2]}."
        )
    top, left = ((side - crop) // 2 for side in image.shape[1:])
    middle = image[:, top : top + crop, left : left + crop].transpose(1, 2, 0)
    return tuple(tuple(map(tuple, row)) for row in middle.tolist())


def _read_npy(path: Path) -> np.ndarray:
    with open(path, "rb") as file:
        array = np.lib.format.read_array(file)
    if array.dtype.kind not in "fiu":
        raise UserError(f"its values are of the type {array.dtype}")
    return array


def _mean_of_blob(blob: Blob) -> np.ndarray:
    return blob.read().reshape(_without_ones(blob.shape, 3))


def _without_ones(shape: tuple[int, ...], axes: int) -> tuple[int, ...]:
    """Removes axes of length one before the last ones, as blobs of old files have them."""
    while len(shape) > axes and shape[0] == 1:
        shape = shape[1:]
    return shape


# Names.


def _names(network: Network, model: keras.Model) -> dict[str, str]:
    """Returns the names of a network's layers here, by the names of the layers in Caffe."""
    head = _classifier(network)
    rename = _renaming(model)
    names = {}
    for unit in network.units:
        name = "predictions" if unit is head else rename(unit.layer.name)
        if name is None:
            raise UserError(
                f"the network has no place for its layer {unit.layer.name!r} ({unit.layer.type})"
            )
        names[unit.layer.name] = name
    return names


def _classifier(network: Network) -> Unit | None:
    """Returns the last layer, if it is a dense one and not one of those between."""
    dense = [unit for unit in network.units if unit.layer.type == "InnerProduct"]
    return dense[-1] if dense and dense[-1].layer.name not in ("fc6", "fc7") else None


def _renaming(model: keras.Model) -> Callable[[str], str | None]:
    layers = {layer.name for layer in model.layers}
    if "conv2_block1_1_conv" in layers:
        return _in_resnet
    return _in_vgg if "block1_conv1" in layers else _in_alexnet


def _in_alexnet(name: str) -> str | None:
    return name if re.fullmatch(r"conv\d|fc[67]", name) else None


def _in_vgg(name: str) -> str | None:
    if name in ("fc6", "fc7"):
        return {"fc6": "fc1", "fc7": "fc2"}[name]
    match = re.fullmatch(r"conv(\d)_(\d)", name)
    return f"block{match[1]}_conv{match[2]}" if match else None


def _in_resnet(name: str) -> str | None:
    if name == "conv1":
        return "conv1_conv"
    match = re.fullmatch(r"res(\d)([a-z])(\d{0,3})_branch(1|2[abc])", name)
    if not match:
        return None
    stage, letter, number, branch = match.groups()
    unit = int(number) + 1 if number else ord(letter) - ord("a") + 1
    return f"conv{stage}_block{unit}_{BOTTLENECK_PARTS[branch]}_conv"


# Tensors.


def _flattened(model: keras.Model) -> dict[str, tuple[int, ...]]:
    """Returns the (channels, height, width) of the flattened map, by the dense layer after it."""
    for number, layer in enumerate(model.layers):
        if isinstance(layer, keras.layers.Flatten):
            dense = (x for x in model.layers[number:] if isinstance(x, keras.layers.Dense))
            height, width, channels = layer.input.shape[1:]
            return {x.name: (channels, height, width) for x in [*dense][:1]}
    return {}


def _tensors(
    unit: Unit, name: str, model: keras.Model, flattened: dict[str, tuple[int, ...]]
) -> Tensors:
    """Returns a unit's tensors by the names of variables here."""
    layer = next((x for x in model.layers if x.name == name), None)
    kernel, *bias = unit.layer.blobs
    dense = unit.layer.type == "InnerProduct" or isinstance(layer, keras.layers.Dense)
    tensors = {
        f"{name}/kernel": _dense(unit, kernel, flattened.get(name))
        if dense
        else _convolution(unit, kernel)
    }
    takes_bias = layer is None or layer.use_bias
    if bias and (takes_bias or unit.norm is None):
        tensors[f"{name}/bias"] = _vector(unit, bias[0])
    elif takes_bias and layer is not None:
        tensors[f"{name}/bias"] = constant(0.0, layer.bias.shape)
    if unit.norm is not None:
        folded = bias[0] if bias and not takes_bias else None
        norm = f"{name.removesuffix('_conv')}_bn"
        epsilon = next((x.epsilon for x in model.layers if x.name == norm), EPSILON)
        for variable, tensor in _normalization(unit, folded, epsilon).items():
            tensors[f"{norm}/{variable}"] = tensor
    return tensors


def _convolution(unit: Unit, blob: Blob) -> StoredTensor:
    if len(blob.shape) != 4:
        raise _wrong_shape(unit, blob, "(out, in, height, width)")
    return moved(blob, blob.shape)


def _dense(unit: Unit, blob: Blob, flattened: tuple[int, ...] | None) -> StoredTensor:
    """Returns a dense layer's kernel; a convolution over the whole map has the same weights."""
    shape = _without_ones(blob.shape, 2)
    if len(shape) == 4 and shape[1:] == flattened:
        return moved(blob, shape, (math.prod(shape[1:]), shape[0]))
    if len(shape) == 4 and shape[2:] == (1, 1):
        shape = shape[:2]
    if len(shape) != 2:
        raise _wrong_shape(unit, blob, "(out, in)")
    units, inputs = shape
    columns = flattened if flattened and math.prod(flattened) == inputs else (inputs, 1, 1)
    return moved(blob, (units, *columns), (inputs, units))


def _vector(unit: Unit, blob: Blob) -> StoredTensor:
    shape = _without_ones(blob.shape, 1)
    if len(shape) != 1:
        raise _wrong_shape(unit, blob, "(out,)")
    return StoredTensor(shape, blob.dtype, blob.read)


def _normalization(unit: Unit, bias: Blob | None, epsilon: float) -> Tensors:
    """Returns the tensors of a batch normalisation, from a BatchNorm and perhaps a Scale.

    Args:
        unit: The convolution with both.
        bias: The convolution's bias, if it is to be subtracted from the mean.
        epsilon: Epsilon of the normalisation here.
    """
    norm = unit.norm
    assert norm is not None
    mean, variance, factor = norm.blobs
    if math.prod(factor.shape) != 1:
        raise _wrong_shape(unit, factor, "(1,)")
    shapes = {_vector(unit, blob).shape for blob in (mean, variance, *([bias] if bias else []))}
    if len(shapes) > 1:
        raise UserError(f"the blobs of its layer {norm.name!r} must have one shape")
    shift = norm.settings.get("epsilon", EPSILON) - epsilon

    def statistic(blob: Blob, shift: Callable[[], Any]) -> StoredTensor:
        def read() -> np.ndarray:
            divisor = float(factor.read()[0])
            if not math.isfinite(divisor):
                raise UserError(f"the scale factor of its layer {norm.name!r} must be finite")
            # Values that are not finite are refused when they are assigned.
            with np.errstate(all="ignore"):
                values = blob.read().astype("float64")
                # As Caffe has it: a factor of 0 is that of a network that has seen no images.
                values = values / divisor if divisor else np.zeros_like(values)
                return (values + shift()).astype(blob.dtype)

        return StoredTensor(*shapes, blob.dtype, read)

    gamma, *beta = unit.scale.blobs if unit.scale else (None,)
    return {
        "moving_mean": statistic(mean, lambda: -bias.read().astype("float64") if bias else 0.0),
        "moving_variance": statistic(variance, lambda: shift),
        "gamma": _vector(unit, gamma) if gamma else constant(1.0, *shapes),
        "beta": _vector(unit, beta[0]) if beta else constant(0.0, *shapes),
    }


def _wrong_shape(unit: Unit, blob: Blob, expected: str) -> UserError:
    return UserError(
        f"a blob of its layer {unit.layer.name!r} must have the shape {expected}. Received: "
        f"{blob.shape}"
    )
