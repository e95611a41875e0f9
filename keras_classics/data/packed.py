"""Splits whose images lie in archives and tables, with random access to each.

`records` has those in TFRecord files.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import tensorflow as tf

from keras_classics.data import image_files
from keras_classics.data.file_names import FileNames
from keras_classics.data.splits import EncodedSplit, FileSplit, identity_of_files
from keras_classics.errors import UserError

# Images that one call of Python reads.
TOGETHER = 16

# Images in memory up to this size are copied into a tensor, which threads read at the same time; of
# more, Python reads one at a time.
TENSOR_BYTES = 2**30


@dataclass(frozen=True)
class Packed(EncodedSplit):
    """Images at ranges of bytes in files.

    Attributes:
        files: Paths of the files.
        numbers: File of each range, int32.
        offsets: Where it starts, int64.
        lengths: Its bytes, int64.
    """

    files: tuple[str, ...]
    numbers: np.ndarray
    offsets: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, indices: np.ndarray) -> Self:
        """Returns the images at some indices, in that order."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        of_images = {n: v for n, v in values.items() if isinstance(v, np.ndarray | FileNames)}
        return replace(self, **{name: value[indices] for name, value in of_images.items()})

    def _content(self, index: int) -> bytes:
        # Opened each time: ImageNet has more files than a process may hold open.
        with open(self.files[self.numbers[index]], "rb", buffering=0) as file:
            file.seek(self.offsets[index])
            return file.read(self.lengths[index])

    def reader(self) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
        """Returns a function from an index to the file's bytes and its label, for a graph."""
        opened = self.opener()
        return lambda index: opened((self._contents_in_graph(index[tf.newaxis])[0], index))

    def fetched(self, rows: tf.data.Dataset) -> tf.data.Dataset:
        """Replaces the index with which each row begins by the bytes at it, and the index.

        A call of Python takes 0.2 ms of one core, whatever it does, so it reads several images.
        """

        def fetch(indices: tf.Tensor, *others: tf.Tensor) -> tuple:
            return ((self._contents_in_graph(indices), indices), *others)

        together = rows.batch(TOGETHER).map(
            fetch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
        return together.unbatch()

    def _contents_in_graph(self, indices: tf.Tensor) -> tf.Tensor:
        """Returns the bytes of images, for a graph; nothing of those that cannot be read."""

        def read(indices: np.ndarray) -> np.ndarray:
            contents = np.empty(len(indices), object)
            for place, index in enumerate(indices):
                try:
                    contents[place] = self._content(index)
                except (OSError, UserError):
                    # No image file: it is noticed, and named, when its turn comes.
                    contents[place] = b""
            return contents

        contents = tf.numpy_function(read, [indices], tf.string, stateful=False)
        return tf.ensure_shape(contents, (None,))


@dataclass(frozen=True)
class ArchiveSplit(Packed):
    """Image files in a tar or zip archive, which is not unpacked.

    Attributes:
        names: Path of each image in the archive.
        sizes: Bytes of each image, int64: more than `lengths` if it is compressed.
        deflated: Whether each image is compressed, bool.
        labels: int32, shape (count,).
        exif: Whether images are turned as their EXIF orientation says, see `FileSplit`.
    """

    way_out: ClassVar[str] = FileSplit.way_out

    names: FileNames
    sizes: np.ndarray
    deflated: np.ndarray
    labels: np.ndarray
    exif: bool = False

    def opener(self) -> Callable[[Any], tuple[tf.Tensor, tf.Tensor]]:
        """See `EncodedSplit`."""
        labels = tf.constant(self.labels)
        return lambda fetched: (fetched[0], labels[fetched[1]])

    def read(self, index: int) -> tuple[str, bytes]:
        """Returns a name for an image, that of its archive first, and its bytes."""
        return self.name(index), self._content(index)

    def name(self, index: int) -> str:
        """Returns a name for an image: that of its archive, and that in it."""
        return str(Path(self.files[self.numbers[index]], self.names[index]))

    def identity(self) -> Iterator[Any]:
        """Yields labels, names and sizes, the same as for the files unpacked."""
        return identity_of_files(self.names, self.sizes.tolist(), self.labels)

    def _content(self, index: int) -> bytes:
        content = super()._content(index)
        if self.deflated[index]:
            content = inflated(content, int(self.sizes[index]), self.name(index))
        return image_files.upright(content) if self.exif else content


@dataclass(frozen=True)
class BytesSplit(Packed):
    """Image files in memory, in the rows of tables.

    Attributes:
        buffers: Bytes of some rows of each of `files`, uint8: `offsets` and `lengths` are in them.
        rows: Row of each image in its file, int64.
        labels: int32, shape (count,).
        exif: Whether images are turned as their EXIF orientation says, see `FileSplit`.
    """

    way_out: ClassVar[str] = "Write the table again without this row."

    buffers: tuple[np.ndarray, ...]
    rows: np.ndarray
    labels: np.ndarray
    exif: bool = False

    @property
    def _fits_tensor(self) -> bool:
        return int(self.lengths.sum()) <= TENSOR_BYTES

    def reader(self) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
        """Returns a function from an index to the file's bytes and its label, for a graph."""
        if not self._fits_tensor:
            return super().reader()
        labels = tf.constant(self.labels)
        contents = [self._content(index) for index in range(len(self))]
        images = tf.constant(contents, tf.string, (len(self),))
        return lambda index: (images[index], labels[index])

    def fetched(self, rows: tf.data.Dataset) -> tf.data.Dataset:
        """See `EncodedSplit`."""
        return rows if self._fits_tensor else super().fetched(rows)

    def opener(self) -> Callable[[Any], tuple[tf.Tensor, tf.Tensor]]:
        """See `EncodedSplit`."""
        if self._fits_tensor:
            return self.reader()
        labels = tf.constant(self.labels)
        return lambda fetched: (fetched[0], labels[fetched[1]])

    def name(self, index: int) -> str:
        """Returns a name for an image: that of its table, and its row."""
        return f"{self.files[self.numbers[index]]}, row {self.rows[index]:,}"

    def read(self, index: int) -> tuple[str, bytes]:
        """Returns a name for an image, that of its table first, and its bytes."""
        return self.name(index), self._content(index)

    def identity(self) -> Iterator[Any]:
        """Yields labels and all bytes."""
        yield b"BytesSplit"
        yield self.labels.astype("<i4").tobytes()
        for index in range(len(self)):
            yield self._stored(index)

    def contents_as_names(self) -> Iterator[str]:
        """Yields a name for each image that is the same wherever it is stored."""
        return (hashlib.sha256(self._stored(index)).hexdigest() for index in range(len(self)))

    def _stored(self, index: int) -> np.ndarray:
        start = self.offsets[index]
        return self.buffers[self.numbers[index]][start : start + self.lengths[index]]

    def _content(self, index: int) -> bytes:
        content = self._stored(index).tobytes()
        return image_files.upright(content) if self.exif else content


def inflated(content: bytes, size: int, name: str) -> bytes:
    """Returns what a compressed member of a zip archive holds.

    Args:
        content: Its bytes in the archive.
        size: Bytes that the archive says it has.
        name: Its name, for the error.

    Raises:
        UserError: If it does not hold that many.
    """
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        # One byte more shows what is larger than it says, without unpacking all of it.
        found = unpacker.decompress(content, size + 1)
    except zlib.error as error:
        raise UserError(f"{name} is damaged: {error}.") from error
    if len(found) != size:
        raise UserError(f"{name} is damaged: it does not hold the {size:,} bytes that it says.")
    return found


def first_inflated(content: bytes, count: int) -> bytes:
    """Returns the first bytes that a compressed member holds, given its own first bytes."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, count)
    except zlib.error:
        return b""
