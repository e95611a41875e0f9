"""The forms in which one part of a data set comes: in memory, as picture files, as records."""

import os
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_classics.data import image_files
from keras_classics.errors import UserError

# A record of the TFRecord format: length, its checksum, the content, its checksum.
HEAD, TAIL = 12, 4
# What TensorFlow raises for a record that it cannot parse. It quotes the bytes, and Python then
# finds that they are no text.
DAMAGED = (tf.errors.InvalidArgumentError, UnicodeDecodeError)


class _Limited:
    """What all forms can."""

    def limited(self, count: int | None) -> "AnySplit":
        """Returns `count` images, drawn once and for all, or all of them for None.

        The draw depends on nothing but the sizes, and a larger one contains a smaller one.
        """
        if count is None or count >= len(self):
            return self
        return self.take(np.sort(np.random.default_rng(0).permutation(len(self))[:count]))


@dataclass(frozen=True)
class Split(_Limited):
    """Images in memory.

    Attributes:
        images: uint8, shape (count, height, width, channels).
        labels: int32, shape (count,).
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, positions: np.ndarray) -> "Split":
        """Returns the images at some positions, in that order."""
        return Split(self.images[positions], self.labels[positions])

    def image(self, position: int) -> np.ndarray:
        """Returns one image, uint8, shape (height, width, channels)."""
        return self.images[position]


class _Encoded(_Limited):
    """What pictures that are decoded when their turn comes can."""

    def image(self, position: int) -> np.ndarray:
        """Returns one picture, uint8, shape (height, width, 3)."""
        return image_files.decode(self.read(position)[1]).numpy()


@dataclass(frozen=True)
class FileSplit(_Encoded):
    """Picture files, read when their turn comes.

    Attributes:
        paths: One an image.
        labels: int32, shape (count,).
    """

    paths: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, positions: np.ndarray) -> "FileSplit":
        """Returns the files at some positions, in that order."""
        return FileSplit(self.paths[positions], self.labels[positions])

    def reader(self) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
        """Returns a function from a position to the file's bytes and its label, in a graph."""
        # As bytes, because not every file name is UTF-8.
        paths = tf.constant([os.fsencode(path) for path in self.paths], tf.string)
        labels = tf.constant(self.labels)
        return lambda position: (tf.io.read_file(paths[position]), labels[position])

    def read(self, position: int) -> tuple[str, bytes]:
        """Returns a file's name and bytes."""
        path = Path(self.paths[position])
        return str(path), path.read_bytes()


@dataclass(frozen=True)
class RecordSplit(_Encoded):
    """Pictures in TFRecord files, in any order: `(seed, epoch)` decides it, not the files.

    TensorFlow reads such files from the start alone. This knows where each record lies, and asks
    the operating system for its bytes.

    Attributes:
        files: Paths of the files.
        numbers: File of each record, int32.
        offsets: Place of each record's content in its file, int64.
        lengths: Length of the content, int64.
    """

    files: tuple[str, ...]
    numbers: np.ndarray
    offsets: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, builder, part: str) -> "RecordSplit":
        """Finds the records of a prepared data set of TensorFlow Datasets.

        Args:
            builder: Its builder.
            part: Name of the split.

        Raises:
            UserError: It is stored in another form, or a file is missing or cut.
        """
        files = [str(path) for path in builder.info.splits[part].filepaths]
        if builder.info.file_format.value != "tfrecord":
            raise UserError(
                f"{builder.info.full_name} is stored as {builder.info.file_format.value}; pictures "
                "can be read one by one from tfrecord alone. Prepare it with "
                "tfds.builder(NAME, file_format='tfrecord')."
            )
        # Most of the time is waiting for the disk.
        with ThreadPoolExecutor(16) as pool:
            places = list(pool.map(_records_of, files))
        counts = [len(offsets) for offsets, _ in places]
        expected = builder.info.splits[part].num_examples
        if sum(counts) != expected:
            raise UserError(
                f"The {part} split of {builder.info.full_name} should hold {expected:,} records "
                f"and holds {sum(counts):,}. Prepare the data set again."
            )
        return cls(
            tuple(files),
            np.repeat(np.arange(len(files), dtype="int32"), counts),
            np.concatenate([offsets for offsets, _ in places]),
            np.concatenate([lengths for _, lengths in places]),
        )

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, positions: np.ndarray) -> "RecordSplit":
        """Returns the records at some positions, in that order."""
        return replace(
            self,
            numbers=self.numbers[positions],
            offsets=self.offsets[positions],
            lengths=self.lengths[positions],
        )

    def reader(self) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
        """Returns a function from a position to the picture's bytes and its label, in a graph."""

        def content(position: int) -> bytes:
            try:
                return self._content(position)
            except OSError as error:
                # As TensorFlow tells a fault of the data from one of the program.
                raise ValueError(str(error)) from error

        def read(position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            record = tf.numpy_function(content, [position], tf.string, stateful=False)
            return _picture_and_label(tf.ensure_shape(record, ()))

        return read

    def read(self, position: int) -> tuple[str, bytes]:
        """Returns a name for a record, and its picture's bytes.

        Raises:
            UserError: The record is damaged.
        """
        path, offset = self.files[self.numbers[position]], self.offsets[position]
        name = f"{path}, record at byte {offset - HEAD}"
        try:
            encoded, _ = _picture_and_label(self._content(position))
        except DAMAGED as error:
            raise UserError(f"{name}, is damaged. Prepare the data set again.") from error
        return name, encoded.numpy()

    def _content(self, position: int) -> bytes:
        # Opened each time: ImageNet has as many files as a process may hold open.
        with open(self.files[self.numbers[position]], "rb", buffering=0) as file:
            return os.pread(file.fileno(), self.lengths[position], self.offsets[position])


EncodedSplit = FileSplit | RecordSplit
AnySplit = Split | EncodedSplit


def _picture_and_label(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    features = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "label": tf.io.FixedLenFeature([], tf.int64),
    }
    row = tf.io.parse_single_example(record, features)
    return row["image"], tf.cast(row["label"], tf.int32)


def _records_of(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Offsets and lengths of the contents in a TFRecord file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    offsets, lengths = [], []
    end = 0
    try:
        size = os.fstat(descriptor).st_size
        while end < size:
            head = os.pread(descriptor, 8, end)
            length = struct.unpack("<Q", head)[0] if len(head) == 8 else size
            offsets.append(end + HEAD)
            lengths.append(length)
            end += HEAD + length + TAIL
    finally:
        os.close(descriptor)
    if end != size:
        raise UserError(f"{path} is cut: its last record goes beyond its end.")
    return np.array(offsets, "int64"), np.array(lengths, "int64")
