"""Files that torch's users exchange: `.safetensors`, and `.pth` in both of torch's formats.

Code in a `.pth` file is never executed.
"""

import contextlib
import os
import pickletools
import struct
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np

from keras_classics.errors import UserError, require
from keras_classics.weights import archives
from keras_classics.weights.metadata import ENTRY, FileMetadata, from_text
from keras_classics.weights.stored import (
    MESSAGE_WIDTH,
    StoredTensor,
    Tensors,
    parsing,
    unpacking_allowance,
)

KIND, SAFETENSORS = "torch file", "safetensors file"

# Names of types in safetensors, such as "F32".
TYPES = {"BF16": "bfloat16", "BOOL": "bool"} | {
    f"{letter}{bits}": f"{name}{bits}"
    for letter, name in (("F", "float"), ("I", "int"), ("U", "uint"), ("C", "complex"))
    for bits in (8, 16, 32, 64)
}

# Largest list of tensors in a .safetensors file, which takes 20 times as much memory.
HEADER_BYTES = 4_000_000

# Largest pickle in a .pth file, at all and per variable; every byte may be an object of Python.
PICKLE_BYTES, PICKLE_BYTES_PER_VARIABLE = 100_000, 500

# torch's first format: a number, the version, the system, the content, the names of the storages.
PICKLES = 5

ZIP_START = b"PK\3\4"


@contextlib.contextmanager
def opened(path: Path, model: keras.Model) -> Iterator[Tensors]:
    """Opens a `.pth` or `.safetensors` file.

    torch's counter of batches, `num_batches_tracked`, is not needed and ignored.

    Args:
        path: The file.
        model: The network, with which the sizes in the file are compared.

    Returns:
        The tensors, which can be read while the file is open.

    Raises:
        UserError: If it is no such file, it contains more than tensors, or the extra `torch` is
            missing.
    """
    reader = _safetensors(path) if path.suffix == ".safetensors" else _pth(path, model)
    with reader as tensors:
        yield {n: t for n, t in tensors.items() if not n.endswith(".num_batches_tracked")}


@contextlib.contextmanager
def _safetensors(path: Path) -> Iterator[Tensors]:
    with contextlib.ExitStack() as stack:
        with parsing(SAFETENSORS):
            file = stack.enter_context(_safe_open(path))
            metadata = _metadata(file)
            checksums = {} if metadata is None else metadata.checksums
            names = file.keys()
            tensors = {n: _from_safetensors(file, n, checksums.get(n)) for n in names}
        yield tensors


def _safe_open(path: Path) -> Any:
    """Opens a `.safetensors` file, if the list of its tensors is not too long."""
    with open(path, "rb") as content:
        (length,) = struct.unpack("<Q", content.read(8))
    if length > HEADER_BYTES:
        raise UserError(
            f"it is not an intact {SAFETENSORS} (its header has {length:,} bytes, more than "
            f"{HEADER_BYTES:,})"
        )
    return require("safetensors", "torch").safe_open(path, framework="np")


def read_metadata(path: Path) -> FileMetadata | None:
    """Returns what a `.safetensors` file says of its network; a `.pth` file says nothing.

    Raises:
        UserError: If the file or this package's entry is damaged.
    """
    if path.suffix != ".safetensors":
        return None
    with parsing(SAFETENSORS), _safe_open(path) as file:
        return _metadata(file)


def _metadata(file: Any) -> FileMetadata | None:
    entry = (file.metadata() or {}).get(ENTRY)
    return None if entry is None else from_text(entry)


def _from_safetensors(file: Any, name: str, expected: int | None) -> StoredTensor:
    tensor = file.get_slice(name)

    def read() -> np.ndarray:
        with parsing(SAFETENSORS):
            return file.get_tensor(name)

    dtype = tensor.get_dtype()
    return StoredTensor(tuple(tensor.get_shape()), TYPES.get(dtype, dtype), read, expected)


@contextlib.contextmanager
def _pth(path: Path, model: keras.Model) -> Iterator[Tensors]:
    torch = require("torch", "torch")
    with parsing(KIND):
        data_start = _check_pth(path, model)
        content = _load(torch, path)
    if not isinstance(content, dict):
        raise UserError("it is not a state_dict, a mapping from names to tensors")
    for name, tensor in content.items():
        _check_entry(torch, name, tensor)
    if data_start is not None:
        _check_storages(content, os.path.getsize(path) - data_start)
    yield {name: _from_torch(torch, tensor) for name, tensor in content.items()}


def _check_pth(path: Path, model: keras.Model) -> int | None:
    """Checks sizes and checksums before torch reads a file.

    Returns:
        Where the tensors begin in a file of torch's first format, or None.
    """
    most = PICKLE_BYTES + PICKLE_BYTES_PER_VARIABLE * len(model.variables)
    with open(path, "rb") as file:
        if file.read(len(ZIP_START)) != ZIP_START:
            file.seek(0)
            for _ in range(PICKLES):
                for _ in pickletools.genops(file):
                    _check_pickle(file.tell(), most)
            return file.tell()
    with archives.opened(path) as archive:
        members = archive.infolist()
        for member in members:
            if member.filename.endswith("data.pkl"):
                _check_pickle(member.file_size, most)
        archives.check_sizes(members, archive, unpacking_allowance(model))
        archives.check_checksums(archive)
    return None


def _check_pickle(size: int, most: int) -> None:
    if size > most:
        raise UserError(f"its list of tensors must have at most {most:,} bytes for this model")


def _load(torch: ModuleType, path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if "weights_only" in str(error) or "WeightsUnpickler" in str(error):
            reason = str(error).split("WeightsUnpickler error:")[-1].strip().split("\n")[0]
            raise UserError(
                "it contains code or objects besides tensors, which are not executed. Save only "
                f"the state_dict() ({textwrap.shorten(reason, MESSAGE_WIDTH)})"
            ) from error
        raise


def _check_entry(torch: ModuleType, name: Any, tensor: Any) -> None:
    """Raises a `UserError` if an entry of a state_dict is no tensor whose values are in memory."""
    if not isinstance(name, str):
        raise UserError(f"the names in a state_dict are text. Received: {name!r:.80}")
    if not torch.is_tensor(tensor):
        raise UserError(f"its entry {name!r} must be a tensor. Received: {type(tensor).__name__}")
    if tensor.is_nested or tensor.layout != torch.strided:
        raise UserError(f"its tensor {name!r} must be dense. Received: nested or sparse values")
    if tensor.is_meta:
        raise UserError(f"its tensor {name!r} has no values. Received: one of the device meta")


def _check_storages(content: dict[str, Any], size: int) -> None:
    """Refuses tensors that torch left uninitialised, because the file does not list their values.

    In torch's first format, each storage follows as the count of its elements and the elements.
    """
    storages = {
        tensor.untyped_storage()._cdata: tensor.untyped_storage() for tensor in content.values()
    }
    if sum(8 + storage.nbytes() for storage in storages.values()) != size:
        raise UserError(
            "it is not an intact torch file (it does not have the values of its tensors)"
        )


def _from_torch(torch: ModuleType, tensor: Any) -> StoredTensor:
    def read() -> np.ndarray:
        with parsing(KIND):
            # NumPy has no bfloat16.
            values = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
            return values.detach().resolve_neg().numpy()

    return StoredTensor(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), read)
