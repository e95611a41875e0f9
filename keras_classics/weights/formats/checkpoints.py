"""Opens the files that torch's users exchange, and finds the network in them."""

import contextlib
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import keras

from keras_classics.errors import UserError
from keras_classics.weights.assign import Slots
from keras_classics.weights.formats import (
    contents,
    safetensors_files,
    shards,
    state_dicts,
    timm,
    torch_files,
    torchvision,
)
from keras_classics.weights.formats.blobs import constant
from keras_classics.weights.formats.state_dicts import Entry
from keras_classics.weights.metadata import FileMetadata
from keras_classics.weights.stored import FileContent, Tensors


@contextlib.contextmanager
def opened(path: Path, model: keras.Model, part: str = "") -> Iterator[FileContent]:
    """Opens a file of `torch.save` or of safetensors, or the index of several.

    Args:
        path: The file.
        model: The network.
        part: Names one of several networks in it.

    Returns:
        Tensors by torchvision's names, which can be read while the file is open.

    Raises:
        UserError: If it is no such file, it contains objects that are not executed, the network is
            nowhere in it, or the extra `torch` is missing.
    """
    slots = torchvision.slots(model)
    with entries_of(path, model) as entries:
        found = state_dicts.select(entries, {name: s.shape for name, s in slots.items()}, part)
        tensors = {name: entries[own].stored() for name, own in found.names.items()}
        names = list(tensors)
        if "classifier.0.weight" in slots:
            tensors = timm.as_torchvision(tensors)
        own = {name: found.names[was] for name, was in zip(tensors, names, strict=True)}
        biases = _without_biases(tensors, slots)
        notes = [*found.notes, *(["its convolutions have no biases"] if biases else [])]
        yield FileContent(tensors | biases, own, found.prefix, notes, found.others)


def _without_biases(tensors: Tensors, slots: Slots) -> Tensors:
    """Returns zeros for a VGG's biases before normalisations, if a file has none of them."""
    numbers = (re.fullmatch(r"features\.(\d+)\.bias", name) for name in slots)
    biases = [m[0] for m in numbers if m and f"features.{int(m[1]) + 1}.running_mean" in slots]
    if not tensors.keys().isdisjoint(biases):
        return {}
    return {name: constant(0.0, slots[name].shape) for name in biases}


def read_metadata(path: Path, part: str = "") -> FileMetadata | None:
    """Returns what a `.safetensors` file says of its network; others say nothing.

    Raises:
        UserError: If the file or this package's entry is damaged.
    """
    if contents.kind_of(path) != contents.SAFETENSORS:
        return None
    return safetensors_files.read_metadata(path)


def entries_of(path: Path, model: keras.Model | None) -> AbstractContextManager[dict[str, Entry]]:
    """Opens a file, or the files of an index, and returns all of its entries by name.

    Args:
        path: The file.
        model: The network, with which sizes in the file are compared; None if it is not known.
    """

    def open_shard(shard: Path, count: int) -> AbstractContextManager[dict[str, Entry]]:
        kind = contents.kind_of(shard)
        if kind == contents.SAFETENSORS:
            return safetensors_files.opened(shard, count)
        if kind == contents.TORCH:
            return torch_files.opened(shard, model, count)
        raise UserError(f"its file {shard.name!r} is neither torch's nor of safetensors")

    if contents.kind_of(path) == contents.INDEX:
        return shards.opened(path, open_shard)
    return open_shard(path, 1)
