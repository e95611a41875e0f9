"""Arrays that lie in a file of protobuf, such as Caffe's and ONNX's."""

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_classics.errors import UserError
from keras_classics.weights.stored import StoredTensor, aligned_array

# Values of a blob that are read and moved at once: 16 MB of float32.
BLOCK = 1 << 22


@dataclass(frozen=True)
class Run:
    """Values of a blob that follow one another in the file.

    Attributes:
        offset: Where they begin.
        count: Their number.
        size: Bytes of a value, 4 or 8.
        tagged: Whether each has its tag before it, one byte.
    """

    offset: int
    count: int
    size: int
    tagged: bool


@dataclass(frozen=True)
class Blob:
    """A blob of a layer, whose values lie in the file.

    Attributes:
        path: The file.
        shape: Its shape; that of old files has four axes.
        size: Bytes of a value: 2, 4 or 8.
        runs: Where the values are.
        bfloat16: Whether values of 2 bytes are bfloat16, which are read as float32.
    """

    path: Path
    shape: tuple[int, ...]
    size: int
    runs: tuple[Run, ...]
    bfloat16: bool = False

    @property
    def dtype(self) -> str:
        """Name of the type of its values in the file."""
        return "bfloat16" if self.bfloat16 else f"float{8 * self.size}"

    @property
    def read_dtype(self) -> str:
        """Name of the type of its values when they are read."""
        return "float32" if self.bfloat16 else self.dtype

    def read(self, first: int = 0, count: int | None = None) -> np.ndarray:
        """Returns some of its values, by default all, as a flat array.

        Args:
            first: Number of values to skip.
            count: Number of values.
        """
        left = math.prod(self.shape) - first if count is None else count
        parts = []
        with open(self.path, "rb") as file:
            for run in self.runs:
                skipped = min(first, run.count)
                taken = min(left, run.count - skipped)
                first, left = first - skipped, left - taken
                if taken:
                    parts.append(self._read_run(file, run, skipped, taken))
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([np.empty(0, self.read_dtype), *parts])

    def _read_run(self, file: Any, run: Run, first: int, count: int) -> np.ndarray:
        step = run.size + run.tagged
        file.seek(run.offset + first * step)
        content = np.fromfile(file, np.uint8, count * step)
        if content.size < count * step:
            raise UserError("it became shorter while it was read")
        if run.tagged:
            content = np.ascontiguousarray(content.reshape(count, step)[:, 1:])
        content = content.reshape(-1)
        if self.bfloat16:
            # The upper half of a float32.
            return (content.view("<u2").astype("<u4") << 16).view("<f4")
        return content.view(f"<f{self.size}")


def moved(blob: Blob, shape: tuple[int, ...], to: tuple[int, ...] | None = None) -> StoredTensor:
    """Returns weights (out, in, height, width) as (height, width, in, out), or in another shape."""
    units, *columns = shape
    channels, height, width = columns
    axes = (height, width, channels, units)

    def read() -> np.ndarray:
        # Block by block, because the first dense layer of VGG takes three quarters of its file.
        result = aligned_array(axes, blob.read_dtype)
        size = math.prod(columns)
        step = max(1, BLOCK // max(1, size))
        for first in range(0, units, step):
            count = min(step, units - first)
            rows = blob.read(first * size, count * size).reshape(count, *columns)
            result[..., first : first + count] = rows.transpose(2, 3, 1, 0)
        return result.reshape(to or axes)

    return StoredTensor(to or axes, blob.dtype, read, exclusive=True)


def constant(value: float, shape: tuple[int, ...]) -> StoredTensor:
    """Returns a tensor of one value, which no file has."""
    return StoredTensor(tuple(shape), "float32", functools.partial(np.full, shape, value, "f4"))
