"""Identifies files of weights: their format by name, and the network's version by content."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras

from keras_classics.errors import UserError
from keras_classics.weights.assign import Slots, named_slots
from keras_classics.weights.formats import (
    caffe,
    checkpoints,
    contents,
    hdf5,
    keras_applications,
    onnx,
    state_dicts,
    tensorflow_files,
    torchvision,
)
from keras_classics.weights.location import locate
from keras_classics.weights.metadata import FileMetadata
from keras_classics.weights.stored import FileContent

Opener = Callable[[Path, keras.Model, str], AbstractContextManager[FileContent]]


@dataclass(frozen=True)
class Format:
    """A file format for weights.

    Attributes:
        opened: Opens a file, for a model, and returns what it holds. Its third argument names a
            part of the file, see `location`.
        metadata: Returns what a file, or its part, says of its network, or None.
        slots: Returns the slot in a model for each tensor name of the format.
        top: Prefixes of the names of tensors between the features and the scores.
        scores: Prefixes of the names of tensors of the last layer, which computes the scores.
    """

    opened: Opener
    metadata: Callable[[Path, str], FileMetadata | None]
    slots: Callable[[keras.Model], Slots]
    top: tuple[str, ...]
    scores: tuple[str, ...]


def _folding_biases(opened: Opener) -> Opener:
    """Returns an opener of files of Keras whose ResNets may have biases, see `folded`."""

    @contextlib.contextmanager
    def opened_and_folded(path: Path, model: keras.Model, part: str) -> Iterator[FileContent]:
        with opened(path, model, part) as content:
            content.tensors = keras_applications.folded(content.tensors, model)
            yield content

    return opened_and_folded


# Modules between a network's features and what it was trained for: other names of the last layer,
# and the heads of self-supervised training.
HEADS = (*state_dicts.HEADS, "projector", "projection_head", "prototypes", "predictor")

KERAS = Format(
    opened=_folding_biases(hdf5.opened),
    metadata=hdf5.read_metadata,
    slots=named_slots,
    top=("c5/", "f6/", "fc1/", "fc2/", "fc6/", "fc7/", "layers/dense"),
    scores=("predictions/", "distances/"),
)
TORCH = Format(
    opened=checkpoints.opened,
    metadata=checkpoints.read_metadata,
    slots=torchvision.slots,
    top=("classifier.", "pre_logits.", *(f"{module}." for module in HEADS)),
    scores=("classifier.6.", "fc."),
)
TENSORFLOW = replace(
    KERAS,
    opened=_folding_biases(tensorflow_files.opened),
    metadata=lambda path, part: None,
)
CAFFE = replace(KERAS, opened=caffe.opened, metadata=caffe.read_metadata)
ONNX = replace(KERAS, opened=onnx.opened, metadata=onnx.read_metadata)
FORMATS = {
    contents.HDF5: KERAS,
    contents.ARCHIVE: KERAS,
    contents.SAFETENSORS: TORCH,
    contents.TORCH: TORCH,
    contents.INDEX: TORCH,
    contents.TENSORFLOW: TENSORFLOW,
    contents.CAFFE: CAFFE,
    contents.ONNX: ONNX,
}


def format_of(path: Path) -> Format:
    """Returns the format of a file, by its content where that says it, or the end of its name.

    Raises:
        UserError: If it is of no known format.
    """
    try:
        kind = contents.kind_of(path)
    except UserError as error:
        raise UserError(f"{path} cannot be loaded: {error}.") from error
    if kind is not None:
        return FORMATS[kind]
    raise UserError(
        "weights must be None, the name of a record, or a file that ends in "
        f"{', '.join(contents.ENDINGS)}. Received: {str(path)!r}."
    )


def read_metadata(path: Path) -> FileMetadata | None:
    """Returns what a file of weights says of its network; None if it says nothing or is missing.

    Args:
        path: The file, with a part after a `#` or without.

    Raises:
        UserError: If the file is damaged.
    """
    found = locate(path)
    if found is None:
        return None  # Loading it raises the error.
    file, part = found
    file_format = format_of(file)
    try:
        return file_format.metadata(file, part)
    except UserError as error:
        raise UserError(f"{path} cannot be read: {error}.") from error


def arguments_for_file(model: str, path: Path) -> dict[str, Any]:
    """Returns the builder's arguments that a file of weights implies.

    The same weights fit several versions of the bottleneck ResNets. For other networks, and for a
    file that cannot be read, the result is empty.

    Args:
        model: Name of the network.
        path: File of weights.
    """
    found = locate(path)
    if found is None or model not in torchvision.BOTTLENECKS:
        return {}
    if format_of(found[0]) is TORCH and read_metadata(path) is None:
        return torchvision.builder_arguments(model)
    with contextlib.suppress(UserError):  # Loading the file will raise the error again.
        if "post_bn" in hdf5.layer_names(found[0]):
            return keras_applications.builder_arguments(model, second_version=True)
    return {}
