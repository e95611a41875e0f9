"""Keras's own files: `.weights.h5` and `.keras` of Keras 3, and `.h5` of Keras 1 and 2.

Keras 3 numbers the layers of each class: `conv2d`, `conv2d_1`, ... Earlier versions store the
layers' names. Both are read to tensors named `layer/variable`; numbers are resolved with a network.

A file reads itself alone, as in Keras: links and datasets that lead elsewhere are refused.
"""

import contextlib
import dataclasses
import io
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import keras
import ml_dtypes
import numpy as np

from keras_classics.errors import UserError
from keras_classics.files import atomic_write
from keras_classics.weights.assign import named_slots, weights_of
from keras_classics.weights.computation import is_own, of_config
from keras_classics.weights.formats import archives, contents, layer_order
from keras_classics.weights.formats.heaps import check_heaps
from keras_classics.weights.formats.parts import numbered_names, part_of, parts_of
from keras_classics.weights.metadata import (
    ENTRY,
    MAX_BYTES,
    FileMetadata,
    from_text,
    metadata_of,
)
from keras_classics.weights.stored import (
    MOST_VARIABLES,
    SPARE_BYTES,
    FileContent,
    StoredTensor,
    Tensors,
    aligned_array,
    checksum,
    parsing,
    unpacking_allowance,
)

KIND = "HDF5 file"

# Names of a layer's variables, in the order of files from before 2017, by how many there are.
ORDERS = {
    2: ("kernel", "bias"),
    4: ("gamma", "beta", "moving_mean", "moving_variance"),
}

# Another name of the last layer in published files.
RENAMED = {"probs": "predictions"}

# Groups and tensors in a file, per layer of the network; Keras writes at most ten.
ENTRIES_PER_LAYER = 50

# Largest configuration of a network, which takes 20 times as much memory; ResNet-1202's has 4 MB.
CONFIG_BYTES = 6_000_000

# Largest list of names, and largest chunk of a tensor that is smaller than it.
NAMES_BYTES = 1 << 20
CHUNK_BYTES = 1 << 20

# Filters that can be bounded before they run: they keep the size, or are gzip's, see `_unpacks`.
FILTERS = (h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_FLETCHER32)


@contextlib.contextmanager
def opened(path: Path, model: keras.Model, part: str = "") -> Iterator[FileContent]:
    """Opens a file of Keras.

    Args:
        path: A `.weights.h5`, `.h5` or `.keras` file.
        model: The network whose layers the numbers in Keras 3 files refer to.
        part: Names a layer of the file's network that is a network of its own.

    Returns:
        Tensors named `layer/variable`, which can be read while the file is open. A tensor without a
        layer in the network is named by its path in the file.

    Raises:
        UserError: If it is no such file, it is truncated or damaged, or refers to other files.
    """
    with contextlib.ExitStack() as stack:
        source: Path | io.BytesIO = path
        if _is_archive(path):
            with parsing(".keras archive"):
                source = archives.read_member(path, "model.weights.h5", unpacking_allowance(model))
        with parsing(KIND):
            file = stack.enter_context(h5py.File(source, "r"))
            tensors = _tensors(file, model, path, part)
        slots = named_slots(model)
        if not part and not slots.keys() <= tensors.keys():
            inner = list(parts_of(_config(path)))
            if inner:
                raise UserError(
                    f"its network has {', '.join(inner)} as a layer. Name it, as in "
                    f"weights='FILE#{inner[0]}'"
                )
            own = layer_order.by_order(tensors, model)
            if own is not None:
                tensors = {name: tensors[theirs] for name, theirs in own.items()}
                first = next(iter(own))
                note = f"the layers are taken in their order, {own[first]} as {first} and so on"
                yield FileContent(tensors, own, notes=[note])
                return
        yield FileContent(tensors, notes=[f"the network is the layer {part!r}"] if part else [])


def _is_archive(path: Path) -> bool:
    return contents.kind_of(path) == contents.ARCHIVE


def layer_names(path: Path) -> list[str]:
    """Returns the names of the layers in a file of Keras 1 or 2; empty for other files."""
    if _is_archive(path):
        return []
    with parsing(KIND), h5py.File(path, "r") as file:
        group = _named_layers(file)
        return [] if group is None else _names(group, "layer_names")


def _tensors(file: h5py.File, model: keras.Model, path: Path, part: str) -> Tensors:
    group = _named_layers(file)
    if group is not None:
        if part:
            part_of(_config(path), part)
        return _read_named(group, part)
    if _has(file, "layers"):
        checksums = from_text(_entry(file)).checksums if _has(file, ENTRY) else {}
        layers = part_of(_config(path), part).group if part else "layers"
        return _read_numbered(_group(file, layers), model, checksums)
    raise UserError("it is an HDF5 file without Keras weights")


def _named_layers(file: h5py.File) -> h5py.Group | None:
    """Returns the group of a file of Keras 1 or 2 that lists its layers."""
    group = _group(file, "model_weights") if _has(file, "model_weights") else file
    return group if "layer_names" in group.attrs else None


def _has(group: h5py.Group, name: str) -> bool:
    return group.id.links.exists(name.encode("utf-8", "surrogateescape"))


def _member(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    """Returns a member of a group, if it is in the same file."""
    if name in ("", ".") or not _has(group, name):
        raise UserError(f"it has no {name!r} in {group.name!r}")
    if group.id.links.get_info(name.encode("utf-8", "surrogateescape")).type != h5py.h5l.TYPE_HARD:
        raise UserError(f"it must not contain links, but {name!r} in {group.name!r} is one")
    member = group[name]
    if isinstance(member, h5py.Dataset):
        if member.external:
            raise UserError(f"its tensor {member.name!r} must not be in another file")
        if member.is_virtual:
            raise UserError(f"its tensor {member.name!r} must not be virtual")
    return member


def _group(parent: h5py.Group, path: str) -> h5py.Group:
    for name in path.split("/"):
        parent = _member(parent, name)
        if not isinstance(parent, h5py.Group):
            raise UserError(f"its {path!r} must be a group of HDF5")
    return parent


def _attribute(group: h5py.Group, name: str) -> Any:
    """Returns an attribute of a group."""
    if group.attrs.get_id(name).dtype.hasobject:
        check_heaps(group.file.filename)
    return group.attrs[name]


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """Returns a list of names, which is an attribute of a group."""
    stored = group.attrs.get_id(attribute)
    size = math.prod(stored.shape or ()) * stored.dtype.itemsize
    if size > NAMES_BYTES:
        raise UserError(f"its {attribute} has {size:,} bytes, more than {NAMES_BYTES:,}")
    names = np.atleast_1d(_attribute(group, attribute)).tolist()
    names = [name.decode() if isinstance(name, bytes) else name for name in names]
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise UserError(f"its {attribute} must be different names")
    return names


def _read_named(group: h5py.Group, part: str = "") -> Tensors:
    tensors: Tensors = {}
    for layer in [part.partition("/")[0]] if part else _names(group, "layer_names"):
        layer_group = _group(group, layer)
        names = _names(layer_group, "weight_names")
        variables = [name.split("/")[-1].split(":")[0] for name in names]
        if not set(variables) <= {v for order in ORDERS.values() for v in order}:
            variables = list(ORDERS.get(len(names), variables))
        for path, variable in zip(names, variables, strict=True):
            parent, _, name = path.rpartition("/")
            dataset = _member(_group(layer_group, parent) if parent else layer_group, name)
            # A network that is a layer lists the paths of its layers' weights.
            inner = parent.rpartition("/")[2] if part else layer
            tensor = f"{RENAMED.get(inner, inner)}/{variable}"
            _add(tensors, f"{layer}/{path}" if tensor in tensors else tensor, dataset)
    return tensors


def _read_numbered(layers: h5py.Group, model: keras.Model, checksums: Mapping[str, int]) -> Tensors:
    names = _numbered_layers(model)
    tensors: Tensors = {}
    for path, dataset in _datasets(layers, ENTRIES_PER_LAYER * (len(names) + 1)):
        layer, _, variable = path.partition("/")
        if variable.startswith("seed_generator/"):
            continue
        number = variable.removeprefix("vars/")
        name = f"layers/{path}"
        if layer in names and number.isdigit():
            variables = [v.name for v in weights_of(names[layer])]
            # Some files have a bias where the network has none.
            variables = ["kernel", "bias"] if variables == ["kernel"] else variables
            if int(number) < len(variables):
                name = f"{names[layer].name}/{variables[int(number)]}"
        _add(tensors, name, dataset, checksums.get(f"layers/{path}"))
    return tensors


def _datasets(group: h5py.Group, most: int) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yields the datasets in a group and in the groups below it, with their paths."""
    pending, count = [("", group)], 0
    while pending:
        prefix, group = pending.pop()
        count += len(group)
        if count > most:
            raise UserError(f"it must have at most {most:,} groups and tensors, but has more")
        for name in group:
            member = _member(group, name)
            if isinstance(member, h5py.Group):
                pending.append((f"{prefix}{name}/", member))
            elif isinstance(member, h5py.Dataset):
                yield prefix + name, member


def _numbered_layers(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """Returns a model's layers by the names that Keras 3 gives them in a file."""
    names = numbered_names([type(layer).__name__ for layer in model.layers])
    return dict(zip(names, model.layers, strict=True))


def _add(
    tensors: Tensors,
    name: str,
    dataset: h5py.Group | h5py.Dataset,
    expected: int | None = None,
) -> None:
    if not isinstance(dataset, h5py.Dataset):
        raise UserError(f"its {name!r} must be a tensor")
    if name in tensors:
        raise UserError(f"it has the tensor {name!r} twice")
    # HDF5 has no bfloat16: Keras stores two bytes, and only for these the type as an attribute.
    halves = dataset.dtype.kind == "V" and dataset.dtype.itemsize == 2
    bfloat16 = halves and "dtype" in dataset.attrs
    shared = dataset.dtype.kind == "f" and bool(dataset.size)

    def read() -> np.ndarray:
        with parsing(KIND):
            _check_chunks(dataset)
            if bfloat16:
                return np.array(dataset, ml_dtypes.bfloat16)
            if not shared:
                return dataset[()]
            array = aligned_array(dataset.shape, dataset.dtype)
            dataset.read_direct(array)
            return array

    dtype = "bfloat16" if bfloat16 else dataset.dtype.name
    tensors[name] = StoredTensor(dataset.shape or (), dtype, read, expected, exclusive=shared)


def _check_chunks(dataset: h5py.Dataset) -> None:
    """Refuses a dataset whose chunks take more memory than its shape says."""
    if dataset.chunks is None:
        return
    chunk = math.prod(dataset.chunks) * dataset.dtype.itemsize
    if chunk > max(dataset.nbytes, CHUNK_BYTES):
        raise UserError(
            f"its tensor {dataset.name!r} is in chunks of {chunk:,} bytes, more than it has"
        )
    settings = dataset.id.get_create_plist()
    filters = [settings.get_filter(i)[0] for i in range(settings.get_nfilters())]
    if filters != [f for f in FILTERS if f in filters]:
        raise UserError(
            f"its tensor {dataset.name!r} is compressed in a way that is not supported. Use gzip, "
            "or no compression"
        )
    if h5py.h5z.FILTER_DEFLATE in filters:
        dataset.id.chunk_iter(lambda stored: _unpacks(dataset, stored.chunk_offset, chunk))


def _unpacks(dataset: h5py.Dataset, offset: tuple[int, ...], size: int) -> None:
    """Refuses a chunk that gzip would unpack to more than its size, however large."""
    _, packed = dataset.id.read_direct_chunk(offset)
    if len(zlib.decompressobj().decompress(packed, size + 1)) > size:
        raise UserError(f"its tensor {dataset.name!r} unpacks to more than its size")


def list_shapes(path: Path, part: str = "") -> dict[str, tuple[int, ...]]:
    """Returns the shapes of a file's tensors, by `layer/variable` or their paths in the file.

    Args:
        path: The file.
        part: See `opened`.

    Raises:
        UserError: As `opened` does.
    """
    source: Path | io.BytesIO = path
    if _is_archive(path):
        with parsing(".keras archive"):
            source = archives.read_member(path, "model.weights.h5", unpacking_allowance(None))
    with parsing(KIND), h5py.File(source, "r") as file:
        group = _named_layers(file)
        if group is not None:
            return {name: tensor.shape for name, tensor in _read_named(group, part).items()}
        if not _has(file, "layers"):
            raise UserError("it is an HDF5 file without Keras weights")
        path_of_layers = part_of(_config(path), part).group if part else "layers"
        found = _datasets(_group(file, path_of_layers), MOST_VARIABLES)
        return {f"layers/{name}": dataset.shape or () for name, dataset in found}


def list_parts(path: Path) -> list[str]:
    """Returns the names of the layers of a saved network that are networks of their own."""
    return list(parts_of(_config(path)))


def read_metadata(path: Path, part: str = "") -> FileMetadata | None:
    """Returns what a file says of its network: by this package's entry, or Keras's configuration.

    Raises:
        UserError: If the file or the entry is damaged.
    """
    if not _is_archive(path):
        with parsing(KIND), h5py.File(path, "r") as file:
            if _has(file, ENTRY):
                return from_text(_entry(file))
    config = _config(path)
    return _of_config(part_of(config, part).config if part else config)


def written_here(path: Path) -> bool:
    """Returns whether this package wrote an HDF5 file, or Keras a network with layers of it.

    Raises:
        UserError: If the file is damaged.
    """
    with parsing(KIND), h5py.File(path, "r") as file:
        if _has(file, ENTRY):
            return True
    return "keras_classics" in json.dumps(_config(path))


def _config(path: Path) -> Mapping[str, Any]:
    """Returns the configuration of the network that Keras wrote into a file; empty without one."""
    text: bytes | str | None
    if _is_archive(path):
        with parsing(".keras archive"):
            text = archives.read_member(path, "config.json", SPARE_BYTES).getvalue()
    else:
        with parsing(KIND), h5py.File(path, "r") as file:
            text = _attribute(file, "model_config") if "model_config" in file.attrs else None
    if len(text or "") > CONFIG_BYTES:
        raise UserError(f"its configuration must have at most {CONFIG_BYTES:,} bytes")
    try:
        config = json.loads(text or "{}")["config"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return config if isinstance(config, Mapping) else {}


def _entry(file: h5py.File) -> bytes:
    entry = _member(file, ENTRY)
    if not isinstance(entry, h5py.Dataset) or entry.dtype != np.uint8 or entry.size > MAX_BYTES:
        raise UserError(f"its entry {ENTRY!r} is damaged")
    _check_chunks(entry)
    return entry[()].tobytes()


def _of_config(config: Mapping[str, Any]) -> FileMetadata | None:
    """Returns the metadata that Keras's configuration of a graph of layers implies, or None."""
    try:
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
            datasets = _datasets(file, ENTRIES_PER_LAYER * (len(model.layers) + 1))
            checksums = {name: checksum(dataset[()]) for name, dataset in datasets}
            said = dataclasses.replace(metadata or metadata_of(model), checksums=checksums)
            text = said.to_text()
            file.create_dataset(ENTRY, data=np.frombuffer(text.encode(), np.uint8))
