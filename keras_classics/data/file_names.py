"""Names of many files, as bytes in one buffer."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np


@dataclass(frozen=True, eq=False)
class FileNames(Sequence[str]):
    """Names or paths of files: a fifth of the memory of an array of strings.

    Attributes:
        prefix: What all of them begin with.
        encoded: The rest of each, one after the other, as the file system has them.
        starts: Where each starts, int64.
        lengths: Bytes of each, int32.
    """

    prefix: bytes
    encoded: bytes
    starts: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, names: Iterable[str | os.PathLike]) -> "FileNames":
        """Returns some names, in their order."""
        if isinstance(names, FileNames):
            return names
        encoded = [os.fsencode(name) for name in names]
        lengths = np.fromiter(map(len, encoded), "int32", len(encoded))
        ends = np.cumsum(lengths, dtype="int64")
        return cls(b"", b"".join(encoded), ends - lengths, lengths)

    @classmethod
    def joined(cls, parts: Sequence["FileNames"]) -> "FileNames":
        """Returns the names of all parts, which have no prefix."""
        if not parts:
            return cls.of(())
        sizes = [len(part.encoded) for part in parts]
        first = np.cumsum([0, *sizes[:-1]])
        starts = [part.starts + start for part, start in zip(parts, first, strict=True)]
        return cls(
            b"",
            b"".join(part.encoded for part in parts),
            np.concatenate(starts),
            np.concatenate([part.lengths for part in parts]),
        )

    def below(self, prefix: str) -> "FileNames":
        """Returns the names with something before each."""
        return replace(self, prefix=os.fsencode(prefix) + self.prefix)

    def _at(self, indices: np.ndarray) -> "FileNames":
        """Returns the names at some indices, in that order."""
        taken = replace(self, starts=self.starts[indices], lengths=self.lengths[indices])
        # Most names share the buffer; a few of many have their own.
        if 2 * int(taken.lengths.sum()) > len(self.encoded):
            return taken
        return replace(FileNames.of(iter(replace(taken, prefix=b""))), prefix=self.prefix)

    def __len__(self) -> int:
        return len(self.starts)

    @overload
    def __getitem__(self, key: int) -> str: ...
    @overload
    def __getitem__(self, key: slice | np.ndarray) -> "FileNames": ...
    def __getitem__(self, key: int | slice | np.ndarray) -> "str | FileNames":
        if isinstance(key, slice | np.ndarray):
            return self._at(np.arange(len(self))[key])
        start = self.starts[key]
        return os.fsdecode(self.prefix + self.encoded[start : start + self.lengths[key]])
