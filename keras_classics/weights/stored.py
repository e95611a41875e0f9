"""Tensors of a file: names, shapes and types first, and the values only when they are needed.

So a file's shapes are compared with a network's before memory is allocated for values.
"""

import contextlib
import functools
import math
import textwrap
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import keras
import numpy as np

from keras_classics.errors import UserError

# Loading takes at most the size of the file, the model twice, and 100 MB. Of these 100 MB, half is
# for the unpacked members of an archive.
SPARE_BYTES = 50_000_000

# Most bytes and variables of a network of which nothing is known yet, while its file is listed.
LARGEST_BYTES, MOST_VARIABLES = 600_000_000, 8_000

FLOATS = ("float16", "bfloat16", "float32", "float64")

# Bytes to whose multiples TensorFlow aligns its tensors.
ALIGNMENT = 64

# Characters of a parser's message that are repeated in ours.
MESSAGE_WIDTH = 200


@dataclass(frozen=True)
class StoredTensor:
    """A tensor of a file.

    Attributes:
        shape: Its shape.
        dtype: Name of its type, such as "float32".
        read: Returns its values.
        checksum: What `checksum` returns for these values, if the file says it.
        exclusive: Whether `read` returns memory of `aligned_array` that nobody else has.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]
    checksum: int | None = None
    exclusive: bool = False


Tensors = dict[str, StoredTensor]


@dataclass
class FileContent:
    """What a file holds for a network.

    Attributes:
        tensors: Its tensors, by the names of the format.
        own_names: Names of tensors in the file, where they differ.
        prefix: What stands before the other names in the file.
        notes: What was done to find them, in phrases for the log.
        others: Other networks of the same names in the file, as the part after `#` names them.
    """

    tensors: Tensors
    own_names: Mapping[str, str] = field(default_factory=dict)
    prefix: str = ""
    notes: Sequence[str] = ()
    others: Sequence[str] = ()

    @classmethod
    def of(
        cls, found: Iterable[tuple[str, "StoredTensor", str]], notes: Sequence[str] = ()
    ) -> "FileContent":
        """Returns what layers of a file hold.

        Args:
            found: Tensors, each with its name in the format before it and that in the file behind.
            notes: See above.

        Raises:
            UserError: If two have the same name in the format.
        """
        tensors, own_names = {}, {}
        for name, tensor, own_name in found:
            if name in tensors:
                raise UserError(f"it has two layers for {name!r}")
            tensors[name], own_names[name] = tensor, own_name
        return cls(tensors, own_names, notes=notes)

    def own_name(self, name: str) -> str:
        """Returns the name that a tensor has, or would have, in the file."""
        return self.own_names.get(name, self.prefix + name)


def checksum(values: np.ndarray) -> int:
    """Returns the CRC-32 of a tensor's shape and values, as they lie in a file."""
    # zlib takes only memory in the order of the axes.
    flat = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    return zlib.crc32(flat, zlib.crc32(repr(tuple(values.shape)).encode()))


def aligned_array(shape: tuple[int, ...], dtype: np.typing.DTypeLike) -> np.ndarray:
    """Returns an array whose memory a tensor of TensorFlow can take over; its values are unset."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def is_aligned(array: np.ndarray) -> bool:
    """Returns whether an array begins where `aligned_array` lets it begin."""
    return array.ctypes.data % ALIGNMENT == 0


def in_memory(arrays: Mapping[str, np.ndarray]) -> Tensors:
    """Returns arrays as tensors that need no file."""
    return {
        name: StoredTensor(array.shape, array.dtype.name, functools.partial(np.asarray, array))
        for name, array in arrays.items()
    }


def check_type(name: str, tensor: StoredTensor) -> None:
    """Raises a `UserError` if a tensor's values are not of a type of the `FLOATS`."""
    if tensor.dtype not in FLOATS:
        known = ", ".join(FLOATS) if "F" in tensor.dtype.upper() else "floating-point"
        raise UserError(f"its tensor {name!r} is of type {tensor.dtype}, not {known}")


@contextlib.contextmanager
def parsing(kind: str) -> Iterator[None]:
    """Raises a `UserError` for whatever a parser raises: wrong bytes lead to any exception.

    Nothing but calls of parsers belongs inside, because it would hide mistakes of this package.

    Args:
        kind: What the file should be.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = textwrap.shorten(str(error), MESSAGE_WIDTH) or type(error).__name__
        raise UserError(f"it is not an intact {kind} ({reason})") from error


def unpacking_allowance(model: keras.Model | None) -> int:
    """Returns by how many bytes unpacked weights may be larger than their archive."""
    if model is None:
        return LARGEST_BYTES + SPARE_BYTES
    size = sum(math.prod(v.shape) * np.dtype(v.dtype).itemsize for v in model.variables)
    return size + SPARE_BYTES
