"""The forms of a split: images in memory, image files, TFRecord files."""

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
# What TensorFlow raises for a record that it cannot parse. Its message quotes the bytes, which
# Python may fail to decode as text.
DAMAGED = (tf.errors.InvalidArgumentError, UnicodeDecodeError)


class _Limited:
    """Methods shared by all split classes."""

    def limited(self, count: int | None) -> "AnySplit":
        """Returns a random choice of `count` images, or all of them for None.

        The choice depends only on the sizes, and a larger one contains a smaller one.
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

    def take(self, indices: np.ndarray) -> "Split":
        """Returns the images at some indices, in that order."""
        return Split(self.images[indices], self.labels[indices])

    def image(self, index: int) -> np.ndarray:
        """Returns one image, uint8, shape (height, width, channels)."""
        return self.images[index]


class _Encoded(_Limited):
    """Methods shared by the splits whose images are decoded when needed."""

    def image(self, index: int) -> np.ndarray:
        """Returns one image, uint8, shape (height, width, 3)."""
        return image_files.decode(self.read(index)[1]).numpy()


@dataclass(frozen=True)
class FileSplit(_Encoded):
    """Image files, read when needed.

    Attributes:
        paths: Path of each image.
        labels: int32, shape (count,).
        exif: Whether images are turned as their EXIF orientation says. Those that have one are
            decoded whole for it, and handed on as PNG files.
    """

    paths: np.ndarray
    labels: np.ndarray
    exif: bool = False

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> "FileSplit":
        """Returns the files at some indices, in that order."""
        return replace(self, paths=self.paths[indices], labels=self.labels[indices])

    def reader(self) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
        """Returns a function from an index to the file's bytes and its label, for a graph."""
        # As bytes, because not every file name is UTF-8.
        paths = tf.constant([os.fsencode(path) for path in self.paths], tf.string)
        labels = tf.constant(self.labels)

        def read(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            encoded = tf.io.read_file(paths[index])
            if self.exif:
                encoded = tf.numpy_function(image_files.upright, [encoded], tf.string, False)
                encoded = tf.ensure_shape(encoded, ())
            return encoded, labels[index]

        return read

    def read(self, index: int) -> tuple[str, bytes]:
        """Returns a file's name and bytes."""
        path = Path(self.paths[index])
        encoded = path.read_bytes()
        return str(path), image_files.upright(encoded) if self.exif else encoded


@dataclass(frozen=True)
class RecordSplit(_Encoded):
    """Encoded images in TFRecord files, with random access to each.

    TensorFlow reads such files only from the start. This class stores where each record lies and
    reads its bytes from there, so `(seed, epoch)` decides the order, not the files.

    Attributes:
        files: Paths of the files.
        numbers: File of each record, int32.
        offsets: Offset of each record's content in its file, int64.
        lengths: Length of the content, int64.
    """

    files: tuple[str, ...]
    numbers: np.ndarray
    offsets: np.ndarray
    lengths: np.ndarray

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
        return cls(
            tuple(files),
            np.repeat(np.arange(len(files), dtype="int32"), counts),
            np.concatenate([offsets for offsets, _ in places]),
            np.concatenate([lengths for _, lengths in places]),
        )

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, indices: np.ndarray) -> "RecordSplit":
        """Returns the records at some indices, in that order."""
        return replace(
            self,
            numbers=self.numbers[indices],
            offsets=self.offsets[indices],
            lengths=self.lengths[indices],
        )

    def reader(self) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
        """Returns a function from an index to the image's bytes and its label, for a graph."""

        def content(index: int) -> bytes:
            try:
                return self._content(index)
            except OSError as error:
                # TensorFlow turns a ValueError into an InvalidArgumentError, a fault of the data.
                raise ValueError(str(error)) from error

        def read(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            record = tf.numpy_function(content, [index], tf.string, stateful=False)
            return _image_and_label(tf.ensure_shape(record, ()))

        return read

    def read(self, index: int) -> tuple[str, bytes]:
        """Returns a name for a record, and its image's bytes.

        Raises:
            UserError: If the record is damaged.
        """
        path, offset = self.files[self.numbers[index]], self.offsets[index]
        name = f"{path}, record at byte {offset - HEAD}"
        try:
            encoded, _ = _image_and_label(self._content(index))
        except DAMAGED as error:
            raise UserError(f"{name}, is damaged. Prepare the data set again.") from error
        return name, encoded.numpy()

    def _content(self, index: int) -> bytes:
        # Opened each time: ImageNet has more files than a process may hold open.
        with open(self.files[self.numbers[index]], "rb", buffering=0) as file:
            file.seek(self.offsets[index])
            return file.read(self.lengths[index])


EncodedSplit = FileSplit | RecordSplit
AnySplit = Split | EncodedSplit


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
