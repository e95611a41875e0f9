"""Images in the TFRecord files of TensorFlow Datasets, with random access to each."""

import os
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import tensorflow as tf

from keras_classics.data.packed import Packed
from keras_classics.data.splits import DAMAGED
from keras_classics.errors import UserError

# A record of the TFRecord format: length, its checksum, the content, its checksum.
HEAD, TAIL = 12, 4
# Bytes of a file that are read at once, as TensorFlow chooses it, which it says if it must.
BUFFER = 2**18


@dataclass(frozen=True)
class RecordSplit(Packed):
    """Encoded images in TFRecord files.

    TensorFlow reads such files only from the start. This class stores where each record lies and
    reads its bytes from there, so `(seed, epoch)` decides the order, not the files.

    Attributes:
        own_labels: Labels in place of those in the records, int32, shape (count,), or None.
        image_shape: Shape of all images, or None if they differ.
    """

    own_labels: np.ndarray | None = None
    image_shape: tuple[int, int, int] | None = None

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
            image_shape=None if None in shape else shape,
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
