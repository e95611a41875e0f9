"""`.safetensors` files: a header that lists the tensors, then their values."""

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_classics.errors import UserError, require
from keras_classics.weights.formats.state_dicts import Entry
from keras_classics.weights.metadata import ENTRY, FileMetadata, from_text
from keras_classics.weights.stored import StoredTensor, parsing

KIND = "safetensors file"

# Names of types in safetensors, such as "F32".
TYPES = {"BF16": "bfloat16", "BOOL": "bool"} | {
    f"{letter}{bits}": f"{name}{bits}"
    for letter, name in (("F", "float"), ("I", "int"), ("U", "uint"), ("C", "complex"))
    for bits in (8, 16, 32, 64)
}

# Largest list of tensors, which takes 20 times as much memory.
HEADER_BYTES = 4_000_000


@contextlib.contextmanager
def opened(path: Path, share: int = 1) -> Iterator[dict[str, Entry]]:
    """Opens a `.safetensors` file.

    Args:
        path: The file.
        share: Number of files that share the largest size of a header.

    Returns:
        The tensors, which can be read while the file is open.

    Raises:
        UserError: If it is no such file, or the extra `torch` is missing.
    """
    with contextlib.ExitStack() as stack:
        with parsing(KIND):
            file = stack.enter_context(_safe_open(path, share))
            metadata = _metadata(file)
            checksums = {} if metadata is None else metadata.checksums
            entries = {n: _entry(file, n, checksums.get(n)) for n in file.keys()}  # noqa: SIM118
        yield entries


def read_metadata(path: Path) -> FileMetadata | None:
    """Returns what a file says of its network.

    Raises:
        UserError: If the file or this package's entry is damaged.
    """
    with parsing(KIND), _safe_open(path) as file:
        return _metadata(file)


def _safe_open(path: Path, share: int = 1) -> Any:
    """Opens a file, if the list of its tensors is not too long."""
    with open(path, "rb") as content:
        (length,) = struct.unpack("<Q", content.read(8))
    if length > HEADER_BYTES // share:
        raise UserError(
            f"it is not an intact {KIND} (its header has {length:,} bytes, more than "
            f"{HEADER_BYTES // share:,})"
        )
    return require("safetensors", "torch").safe_open(path, framework="np")


def _metadata(file: Any) -> FileMetadata | None:
    entry = (file.metadata() or {}).get(ENTRY)
    return None if entry is None else from_text(entry)


def _entry(file: Any, name: str, expected: int | None) -> Entry:
    tensor = file.get_slice(name)

    def read() -> np.ndarray:
        with parsing(KIND):
            return file.get_tensor(name)

    shape, dtype = tuple(tensor.get_shape()), tensor.get_dtype()
    stored = StoredTensor(shape, TYPES.get(dtype, dtype), read, expected)
    return Entry(shape, "", lambda: stored)
