"""Identifies files of weights: their format by name, and the network's version by content."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_classics.errors import UserError, one_line
from keras_classics.weights import caffe, hdf5, keras_applications, timm, torch_files, torchvision
from keras_classics.weights.assign import Slots, named_slots
from keras_classics.weights.metadata import FileMetadata
from keras_classics.weights.stored import Tensors


@dataclass(frozen=True)
class Format:
    """A file format for weights.

    Attributes:
        opened: Opens a file, for a model, and returns its tensors.
        metadata: Returns what a file says of its network, or None.
        slots: Returns the slot in a model for each tensor name of the format.
        top: Prefixes of the names of tensors between the features and the scores.
        scores: Prefixes of the names of tensors of the last layer, which computes the scores.
    """

    opened: Callable[[Path, keras.Model], AbstractContextManager[Tensors]]
    metadata: Callable[[Path], FileMetadata | None]
    slots: Callable[[keras.Model], Slots]
    top: tuple[str, ...]
    scores: tuple[str, ...]


@contextlib.contextmanager
def _opened_keras(path: Path, model: keras.Model) -> Iterator[Tensors]:
    with hdf5.opened(path, model) as tensors:
        yield keras_applications.folded(tensors, model)


@contextlib.contextmanager
def _opened_torch(path: Path, model: keras.Model) -> Iterator[Tensors]:
    with torch_files.opened(path, model) as tensors:
        yield timm.as_torchvision(tensors)


KERAS = Format(
    opened=_opened_keras,
    metadata=hdf5.read_metadata,
    slots=named_slots,
    top=("c5/", "f6/", "fc1/", "fc2/", "fc6/", "fc7/", "layers/dense"),
    scores=("predictions/", "distances/"),
)
TORCH = Format(
    opened=_opened_torch,
    metadata=torch_files.read_metadata,
    slots=torchvision.slots,
    top=("classifier.",),
    scores=("classifier.6.", "fc."),
)
CAFFE = Format(
    opened=caffe.opened,
    metadata=caffe.read_metadata,
    slots=named_slots,
    top=KERAS.top,
    scores=KERAS.scores,
)
FORMATS = {
    ".weights.h5": KERAS,
    ".keras": KERAS,
    ".h5": KERAS,
    ".safetensors": TORCH,
    ".pth": TORCH,
    ".caffemodel": CAFFE,
}


def is_file(path: Path) -> bool:
    """Returns whether a path is one of a file, and not too long or otherwise no path at all."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


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
    if not is_file(path):
        return None  # Loading it raises the error.
    try:
        return format_of(path).metadata(path)
    except UserError as error:
        raise UserError(one_line(f"{path} cannot be read: {error}.")) from error


def arguments_for_file(model: str, path: Path) -> dict[str, Any]:
    """Returns the builder's arguments that a file of weights implies.

    The same weights fit several versions of the bottleneck ResNets. For other networks, and for a
    file that cannot be read, the result is empty.

    Args:
        model: Name of the network.
        path: File of weights.
    """
    if not is_file(path) or model not in torchvision.BOTTLENECKS:
        return {}
    if format_of(path) is TORCH and read_metadata(path) is None:
        return torchvision.builder_arguments(model)
    with contextlib.suppress(UserError):  # Loading the file will raise the error again.
        if "post_bn" in hdf5.layer_names(path):
            return keras_applications.builder_arguments(model, second_version=True)
    return {}
