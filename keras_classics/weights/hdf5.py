"""Keras's own files: `.weights.h5` and `.keras` of Keras 3, and `.h5` of Keras 1 and 2.

Keras 3 numbers the layers of each class: `conv2d`, `conv2d_1`, ... Earlier versions store the
layers' names. Both are read to tensors named `layer/variable`; numbers are resolved with a network.
"""

import contextlib
import dataclasses
import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import h5py
import keras
import numpy as np

from keras_classics.errors import UserError
from keras_classics.files import atomic_write, refuse_escaping_members
from keras_classics.weights.assign import Tensors, weights_of
from keras_classics.weights.computation import is_own, of_config
from keras_classics.weights.metadata import (
    ENTRY,
    MAX_BYTES,
    FileMetadata,
    digest,
    from_text,
    metadata_of,
)

# Names of a layer's variables, in the order of files from before 2017, by how many there are.
ORDERS = {
    2: ("kernel", "bias"),
    4: ("gamma", "beta", "moving_mean", "moving_variance"),
}

# Another name of the last layer in published files.
RENAMED = {"probs": "predictions"}


def read(path: Path, model: keras.Model) -> Tensors:
    """Reads a file of Keras.

    Args:
        path: A `.weights.h5`, `.h5` or `.keras` file.
        model: The network whose layers the numbers in Keras 3 files refer to.

    Returns:
        Tensors named `layer/variable`. A tensor without a layer in the network is named by its path
        in the file.

    Raises:
        UserError: If it is no such file, or it is truncated or damaged.
    """
    with _opened(path) as file:
        try:
            group = file.get("model_weights", file)
            if "layer_names" in group.attrs:
                return _read_named(group)
            if "layers" in group:
                return _read_numbered(group["layers"], model)
        except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
            raise UserError(f"it is truncated or damaged ({error})") from error
    raise UserError("it is an HDF5 file without Keras weights")


def layer_names(path: Path) -> list[str]:
    """Returns the names of the layers in a file of Keras 1 or 2; empty for other files."""
    with _opened(path) as file:
        return [_text(n) for n in file.get("model_weights", file).attrs.get("layer_names", [])]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    content: Path | io.BytesIO = path
    if path.suffix == ".keras":
        content = io.BytesIO(_member(path, "model.weights.h5"))
    try:
        file = h5py.File(content, "r")
    except (OSError, RuntimeError) as error:
        raise UserError(f"it is not an intact HDF5 file ({error})") from error
    with file:
        yield file


def _member(path: Path, name: str) -> bytes:
    """Returns a file in a `.keras` archive, without writing to the disk."""
    try:
        refuse_escaping_members(path)
        with zipfile.ZipFile(path) as archive:
            return archive.read(name)
    except (zipfile.BadZipFile, KeyError, EOFError, OSError, NotImplementedError) as error:
        raise UserError(f"it is not an intact .keras archive ({error})") from error


def _read_named(group: h5py.Group) -> Tensors:
    tensors = {}
    for layer in map(_text, group.attrs["layer_names"]):
        names = list(map(_text, group[layer].attrs["weight_names"]))
        variables = [name.split("/")[-1].split(":")[0] for name in names]
        if not set(variables) <= {v for order in ORDERS.values() for v in order}:
            variables = list(ORDERS.get(len(names), variables))
        for name, variable in zip(names, variables, strict=True):
            tensors[f"{RENAMED.get(layer, layer)}/{variable}"] = group[layer][name][()]
    return tensors


def _read_numbered(layers: h5py.Group, model: keras.Model) -> Tensors:
    names = _numbered_layers(model)
    tensors = {}

    def read_one(name_in_file: str, entry: h5py.Dataset | h5py.Group) -> None:
        layer, _, variable = name_in_file.partition("/")
        if not isinstance(entry, h5py.Dataset) or variable.startswith("seed_generator/"):
            return
        number = variable.removeprefix("vars/")
        name = f"layers/{name_in_file}"
        if layer in names and number.isdigit():
            variables = [v.name for v in weights_of(names[layer])]
            # Some files have a bias where the network has none.
            variables = ["kernel", "bias"] if variables == ["kernel"] else variables
            if int(number) < len(variables):
                name = f"{names[layer].name}/{variables[int(number)]}"
        tensors[name] = entry[()]

    layers.visititems(read_one)
    return tensors


def _numbered_layers(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """Returns a model's layers by the names that Keras 3 gives them in a file."""
    counts: Counter[str] = Counter()
    layers: dict[str, keras.layers.Layer] = {}
    for layer in model.layers:
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<!^)(?=[A-Z][a-z])", "_", type(layer).__name__)
        kind = kind.lower()
        layers[f"{kind}_{counts[kind]}" if counts[kind] else kind] = layer
        counts[kind] += 1
    return layers


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


def read_metadata(path: Path) -> FileMetadata | None:
    """Returns what a file says of its network: by this package's entry, or Keras's configuration.

    Raises:
        UserError: If the file or the entry is damaged.
    """
    if path.suffix == ".keras":
        return _of_config(_member(path, "config.json"))
    with _opened(path) as file:
        if ENTRY in file:
            return from_text(_entry(file))
        return _of_config(file.attrs.get("model_config"))


def _entry(file: h5py.File) -> bytes:
    entry = file[ENTRY]
    if not isinstance(entry, h5py.Dataset) or entry.dtype != np.uint8 or entry.size > MAX_BYTES:
        raise UserError(f"its entry {ENTRY!r} is damaged")
    return entry[()].tobytes()


def _of_config(text: bytes | str | None) -> FileMetadata | None:
    """Returns the metadata that Keras's configuration of a graph of layers implies, or None."""
    try:
        config = json.loads(text or "{}")["config"]
        computation = of_config(config)
        return FileMetadata(computation, exact=is_own(config)) if computation else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def write(model: keras.Model, path: Path, metadata: FileMetadata | None = None) -> None:
    """Writes a network's weights to a `.weights.h5` file.

    Args:
        model: The network.
        path: The file.
        metadata: What the file says of the network, by default what the network itself shows.
    """
    with atomic_write(path) as aside:
        model.save_weights(aside)
        with h5py.File(aside, "r+") as file:
            digests = {name: digest(dataset[()]) for name, dataset in _datasets(file).items()}
            text = dataclasses.replace(metadata or metadata_of(model), digests=digests).to_text()
            file.create_dataset(ENTRY, data=np.frombuffer(text.encode(), np.uint8))


def _datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Returns the tensors of a file by their paths."""
    found: dict[str, h5py.Dataset] = {}

    def add(name: str, entry: h5py.Dataset | h5py.Group) -> None:
        if isinstance(entry, h5py.Dataset):
            found[name] = entry

    file.visititems(add)
    return found
