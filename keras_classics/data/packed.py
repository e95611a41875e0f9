"""Splits whose images lie in archives, tables and TFRecord files, with random access to each."""

import hashlib
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import tensorflow as tf

from keras_classics.data import image_files
from keras_classics.data.splits import DAMAGED, EncodedSplit, FileSplit, identity_of_files
from keras_classics.errors import UserError

# A record of the TFRecord format: length, its checksum, the content, its checksum.
HEAD, TAIL = 12, 4
# Bytes of a file that are read at once, as TensorFlow chooses it, which it says if it must.
BUFFER = 2**18
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
        arrays = {n: value[indices] for n, value in values.items() if isinstance(value, np.ndarray)}
        return replace(self, **arrays)

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

    names: np.ndarray
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


@dataclass(frozen=True)
class RecordSplit(Packed):
    """Encoded images in TFRecord files.

    TensorFlow reads such files only from the start. This class stores where each record lies and
    reads its bytes from there, so `(seed, epoch)` decides the order, not the files.

    Attributes:
        own_labels: Labels in place of those in the records, int32, shape (count,), or None.
        shape: Shape of all images, or None if they differ.
    """

    own_labels: np.ndarray | None = None
    shape: tuple[int, int, int] | None = None

    @classmethod
    def of(cls, builder, part: str) -> "RecordSplit":
        """Indexes the records of a prepared data set of TensorFlow Datasets.

        Args:
            builder: Its builder.
            part: Name of the split.

        Raises:
            UserError: If it is stored in another format, or a file is missing or cut short.
        """
        files = [str(path) for path in builder.info.splits[part].filepaths]
        if builder.info.file_format.value != "tfrecord":
            raise UserError(
                f"{builder.info.full_name} is stored as {builder.info.file_format.value}; images "
                "can be read one by one only from tfrecord. Prepare it with "
                "tfds.builder(NAME, file_format='tfrecord')."
            )
        # Threads, because most of the time is spent waiting for the disk.
        with ThreadPoolExecutor(16) as pool:
            places = list(pool.map(_records_of, files))
        counts = [len(offsets) for offsets, _ in places]
        expected = builder.info.splits[part].num_examples
        if sum(counts) != expected:
            raise UserError(
                f"The {part} split of {builder.info.full_name} should hold {expected:,} records "
                f"and holds {sum(counts):,}. Prepare the data set again."
            )
        shape = builder.info.features["image"].shape
        return cls(
            tuple(files),
            np.repeat(np.arange(len(files), dtype="int32"), counts),
            np.concatenate([offsets for offsets, _ in places]),
            np.concatenate([lengths for _, lengths in places]),
            shape=None if None in shape else shape,
        )

    @property
    def multilabel(self) -> bool:
        """See `AnySplit`; known without a look into the records."""
        return False

    @cached_property
    def labels(self) -> np.ndarray:
        """Labels of the images, int32, shape (count,): all records are read for them.

        Raises:
            UserError: If a record is damaged.
        """
        if self.own_labels is not None:
            return self.own_labels
        with ThreadPoolExecutor(16) as pool:
            rows = list(pool.map(self._image_and_label, range(len(self))))
        return np.array([label for _, label in rows], "int32")

    def opener(self) -> Callable[[Any], tuple[tf.Tensor, tf.Tensor]]:
        """See `EncodedSplit`."""
        if self.own_labels is None:
            return lambda fetched: _image_and_label(fetched[0])
        labels = tf.constant(self.own_labels)
        return lambda fetched: (_image_and_label(fetched[0])[0], labels[fetched[1]])

    def in_order(self) -> tf.data.Dataset:
        """Returns each image's bytes and its label, in order; whole files are read at once."""
        if not self._is_whole():
            return super().in_order()
        rows = tf.data.TFRecordDataset(list(self.files), buffer_size=BUFFER).map(_image_and_label)
        if self.own_labels is None:
            return rows
        labels = tf.data.Dataset.from_tensor_slices(self.own_labels)
        return tf.data.Dataset.zip(rows, labels).map(lambda row, label: (row[0], label))

    def _is_whole(self) -> bool:
        """Returns whether these are all records of the files, in their order."""
        if not len(self):
            return False
        ends = self.offsets + self.lengths + TAIL
        starts = self.offsets - HEAD
        same = self.numbers[1:] == self.numbers[:-1]
        follows = np.where(same, starts[1:] == ends[:-1], starts[1:] == 0)
        last = np.append(~same, True)
        sizes = [os.path.getsize(self.files[number]) for number in self.numbers[last]]
        return bool(
            starts[0] == 0
            and follows.all()
            and (np.diff(self.numbers) >= 0).all()
            and len(set(self.numbers.tolist())) == len(self.files)
            and (ends[last] == sizes).all()
        )

    def relabelled(self, labels: np.ndarray) -> Self:
        """Returns the same images with other labels, int32, shape (count,)."""
        return replace(self, own_labels=labels)

    def read(self, index: int) -> tuple[str, bytes]:
        """Returns a name for a record, and its image's bytes.

        Raises:
            UserError: If the record is damaged.
        """
        return self.name(index), self._image_and_label(index)[0]

    def identity(self) -> Iterator[Any]:
        """Yields the names of the files, and where the records lie in them."""
        yield b"RecordSplit"
        for path in self.files:
            yield os.fsencode(Path(path).name)
        yield self.numbers.astype("<i4").tobytes()
        yield self.offsets.astype("<i8").tobytes()
        yield self.lengths.astype("<i8").tobytes()

    def name(self, index: int) -> str:
        """Returns a name for a record: that of its file, and where it is."""
        path, offset = self.files[self.numbers[index]], self.offsets[index]
        return f"{path}, record at byte {offset - HEAD}"

    def _image_and_label(self, index: int) -> tuple[bytes, int]:
        try:
            encoded, label = _image_and_label(self._content(index))
        except DAMAGED as error:
            raise UserError(f"{self.name(index)}, is damaged. {self.way_out}") from error
        return encoded.numpy(), int(label)


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


def _image_and_label(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    features = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
    }
    row = tf.io.parse_single_example(record, features)
    return row["image"], tf.cast(row["label"], tf.int32)


def _records_of(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns offsets and lengths of the contents of a TFRecord file."""
    offsets, lengths = [], []
    end = 0
    try:
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            while end < size:
                file.seek(end)
                head = file.read(8)
                length = struct.unpack("<Q", head)[0] if len(head) == 8 else size
                offsets.append(end + HEAD)
                lengths.append(length)
                end += HEAD + length + TAIL
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    if end != size:
        raise UserError(f"{path} is cut short: its last record goes beyond its end.")
    return np.array(offsets, "int64"), np.array(lengths, "int64")
