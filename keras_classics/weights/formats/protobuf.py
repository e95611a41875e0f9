"""Protobuf's wire format, read from a file without its messages' descriptions.

A field is a varint, the number and kind of the field, and its value. Long values are not read, only
found, so a file may be larger than memory. Every length is compared with what is around it.
"""

import contextlib
import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_classics.errors import UserError
from keras_classics.weights.formats.blobs import Run

# Kinds of fields in the wire format.
VARINT, BITS64, BYTES, BITS32 = 0, 1, 2, 5

# A network of a thousand layers has some ten thousand fields; each takes time.
MAX_FIELDS = 500_000
MAX_NAME_BYTES = 1_000

# Values that are read at once; 4 MB of float32.
BLOCK = 1 << 20


@contextlib.contextmanager
def opened(path: Path, kind: str) -> Iterator["Message"]:
    """Opens a file that is one message.

    Args:
        path: The file.
        kind: What it should be, for messages.

    Raises:
        UserError: If it is empty.
    """
    with open(path, "rb") as file:
        if not file.read(1):
            raise damaged(kind, "it is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            yield Message(path, content, 0, len(content), Fields(kind))


def damaged(kind: str, reason: str) -> UserError:
    """Returns the error for bytes that are not as they should be."""
    return UserError(f"it is not an intact {kind} ({reason})")


class Fields:
    """Counts the fields of a file, and refuses a file that has too many."""

    def __init__(self, kind: str) -> None:
        self.kind, self.count = kind, 0

    def add(self) -> None:
        self.count += 1
        if self.count > MAX_FIELDS:
            raise damaged(self.kind, f"it has more than {MAX_FIELDS:,} fields")


class Message:
    """A message in the file: bytes from `start` to `end`."""

    def __init__(self, path: Path, content: mmap.mmap, start: int, end: int, count: Fields):
        self.path, self.content, self.start, self.end, self.count = path, content, start, end, count

    def damaged(self, reason: str) -> UserError:
        """Returns the error for bytes that are not as they should be."""
        return damaged(self.count.kind, reason)

    def inner(self, value: Any) -> "Message":
        """Returns the message that is the value of a field."""
        if not isinstance(value, tuple):
            raise self.damaged("a field is a number where a message belongs")
        return Message(self.path, self.content, *value, self.count)

    def text(self, value: Any) -> str:
        """Returns the text that is the value of a field."""
        message = self.inner(value)
        if message.end - message.start > MAX_NAME_BYTES:
            raise self.damaged("a name is too long")
        try:
            text = self.content[message.start : message.end].decode()
        except UnicodeDecodeError as error:
            raise self.damaged("a name is no text") from error
        if not text.isprintable():
            raise self.damaged("a name is no text")
        return text

    def fields(self, tagged: tuple[int, ...] = ()) -> Iterator[tuple[int, Any]]:
        """Yields number and value of each field.

        A varint's value is an int, and that of a message or text its start and end. A number of 32
        or 64 bits is a float. Those of a field in `tagged` are one `Run`, with their tags.
        """
        position = self.start
        while position < self.end:
            self.count.add()
            start = position
            key, position = self._varint(position)
            number, kind = key >> 3, key & 7
            value: Any
            if kind == VARINT:
                value, position = self._varint(position)
            elif kind == BYTES:
                length, position = self._varint(position)
                value = (position, position + length)
                position += length
            elif kind in (BITS32, BITS64):
                size = 4 if kind == BITS32 else 8
                if number in tagged and position == start + 1:
                    run = self._tagged_run(start, key, size)
                    value, position = run, start + run.count * (size + 1)
                else:
                    position += size
                    if position <= self.end:
                        format_ = "<f" if size == 4 else "<d"
                        (value,) = struct.unpack_from(format_, self.content, position - size)
            else:
                raise self.damaged(f"a field of the kind {kind}")
            if position > self.end:
                raise self.damaged("a field is longer than what it is in")
            if not number:
                raise self.damaged("a field of the number 0")
            yield number, value

    def integers(self) -> list[int]:
        """Returns the integers of a packed list."""
        values, position = [], self.start
        while position < self.end:
            self.count.add()
            value, position = self._varint(position)
            values.append(value)
        return values

    def _varint(self, position: int) -> tuple[int, int]:
        value = shift = 0
        while position < self.end and shift < 70:
            byte = self.content[position]
            value |= (byte & 127) << shift
            position, shift = position + 1, shift + 7
            if byte < 128:
                return value, position
        raise self.damaged("a number does not end")

    def _tagged_run(self, start: int, tag: int, size: int) -> Run:
        """Returns the values from a place on that have the same tag before each."""
        step, count, block = size + 1, 0, 64
        most = (self.end - start) // step
        with open(self.path, "rb") as file:
            file.seek(start)
            while count < most:
                part = np.fromfile(file, np.uint8, min(block, most - count) * step)
                tags = part.reshape(-1, step)[:, 0]
                same = len(tags) if (tags == tag).all() else int((tags != tag).argmax())
                count += same
                if same < len(tags) or not same:
                    break
                block = min(2 * block, BLOCK)
        # If the message ends within the first value, the caller finds that out.
        return Run(start, max(count, 1), size, tagged=True)
