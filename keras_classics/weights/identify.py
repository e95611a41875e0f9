"""Identifies files of weights: their format by name, and the network's version by content."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_classics.errors import UserError
from keras_classics.weights import hdf5, keras_applications, timm, torchvision
from keras_classics.weights.assign import Slots, Tensors, named_slots
from keras_classics.weights.metadata import FileMetadata


@dataclass(frozen=True)
class Format:
    """A file format for weights.

    Attributes:
        read: Reads the tensors of a file, for a model.
        metadata: Returns what a file says of its network, or None.
        slots: Returns the slot in a model for each tensor name of the format.
        top: Prefixes of the names of tensors between the features and the scores.
        scores: Prefixes of the names of tensors of the last layer, which computes the scores.
    """

    read: Callable[[Path, keras.Model], Tensors]
    metadata: Callable[[Path], FileMetadata | None]
    slots: Callable[[keras.Model], Slots]
    top: tuple[str, ...]
    scores: tuple[str, ...]


KERAS = Format(
    read=lambda path, model: keras_applications.folded(hdf5.read(path, model), model),
    metadata=hdf5.read_metadata,
    slots=named_slots,
    top=("c5/", "f6/", "fc1/", "fc2/", "fc6/", "fc7/", "layers/dense"),
    scores=("predictions/", "distances/"),
)
TORCH = Format(
    read=lambda path, model: timm.as_torchvision(torchvision.read(path)),
    metadata=torchvision.read_metadata,
    slots=torchvision.slots,
    top=("classifier.",),
    scores=("classifier.6.", "fc."),
)
FORMATS = {
    ".weights.h5": KERAS,
    ".keras": KERAS,
    ".h5": KERAS,
    ".safetensors": TORCH,
    ".pth": TORCH,
}


def format_of(path: Path) -> Format:
    """Returns the format of a file by the end of its name.

    Raises:
        UserError: If no format has this ending.
    """
    for ending, file_format in FORMATS.items():
        if path.name.endswith(ending):
            return file_format
    raise UserError(
        f"weights must be None, the name of a record, or a file that ends in {', '.join(FORMATS)}. "
        f"Received: {str(path)!r}."
    )


def read_metadata(path: Path) -> FileMetadata | None:
    """Returns what a file of weights says of its network; None if it says nothing or is missing.

    Raises:
        UserError: If the file is damaged.
    """
    if not path.is_file():
        return None  # Loading it raises the error.
    try:
        return format_of(path).metadata(path)
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
    if not path.is_file() or model not in torchvision.BOTTLENECKS:
        return {}
    if format_of(path) is TORCH and read_metadata(path) is None:
        return torchvision.builder_arguments(model)
    with contextlib.suppress(UserError):  # Loading the file will raise the error again.
        if "post_bn" in hdf5.layer_names(path):
            return keras_applications.builder_arguments(model, second_version=True)
    return {}
