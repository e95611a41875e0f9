"""The forms of a split: images in memory, and image files.

`packed` has those in archives and tables, `records` those in TFRecord files.
"""

import os
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import tensorflow as tf

from keras_classics.data import image_files
from keras_classics.data.file_names import FileNames
from keras_classics.errors import UserError

# Largest data set that is held in memory, in bytes.
MEMORY_LIMIT = 8 * 2**30

# Most classes of a data set whose files do not name them.
MOST_CLASSES = 2**16

# What TensorFlow raises for a record that it cannot parse. Its message quotes the bytes, which
# Python may fail to decode as text.
DAMAGED = (tf.errors.InvalidArgumentError, UnicodeDecodeError)


class AnySplit(ABC):
    """Labelled images, in an order.

    Attributes:
        labels: int32, shape (count,); of images with any number of labels shape (count, classes),
            1 where a class applies, else 0.
    """

    labels: np.ndarray

    @property
    def multilabel(self) -> bool:
        """Whether images have any number of labels."""
        return self.labels.ndim == 2

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def take(self, indices: np.ndarray) -> Self:
        """Returns the images at some indices, in that order."""

    @abstractmethod
    def image(self, index: int) -> np.ndarray:
        """Returns one image, uint8, shape (height, width, channels)."""

    @abstractmethod
    def identity(self) -> Iterator[Any]:
        """Yields what identifies the images and their order: bytes, and arrays of uint8."""

    def relabelled(self, labels: np.ndarray) -> Self:
        """Returns the same images with other labels, int32, shape (count,)."""
        return replace(self, labels=labels)  # type: ignore[type-var]

    def limited(self, count: int | None) -> Self:
        """Returns a random choice of `count` images, or all of them for None.

        The choice depends only on the sizes, and a larger one contains a smaller one.
        """
        if count is None or count >= len(self):
            return self
        return self.take(np.sort(np.random.default_rng(0).permutation(len(self))[:count]))


@dataclass(frozen=True)
class Split(AnySplit):
    """Images in memory.

    Attributes:
        images: uint8, shape (count, height, width, channels).
        labels: See `AnySplit`.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> Self:
        """Returns the images at some indices, in that order."""
        return replace(self, images=self.images[indices], labels=self.labels[indices])

    def image(self, index: int) -> np.ndarray:
        """Returns one image, uint8, shape (height, width, channels)."""
        return self.images[index]

    def identity(self) -> Iterator[Any]:
        """Yields all pixels and labels."""
        yield b"Split"
        yield str(self.images.shape).encode()
        yield np.ascontiguousarray(self.images).reshape(-1)
        yield self.labels.astype("<i4").tobytes()


class EncodedSplit(AnySplit):
    """Images that are decoded when needed.

    Attributes:
        way_out: What to do about an image that cannot be read.
    """

    way_out: ClassVar[str] = "Prepare the data set again."

    @abstractmethod
    def reader(self) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
        """Returns a function from an index to the image file's bytes and its label, for a graph."""

    def fetched(self, rows: tf.data.Dataset) -> tf.data.Dataset:
        """Replaces the index with which each row begins by what `opener` takes.

        Forms that are read by Python do it for many rows in one call.
        """
        return rows

    def opener(self) -> Callable[[Any], tuple[tf.Tensor, tf.Tensor]]:
        """Returns a function from what `fetched` makes of an index to what `reader` returns."""
        return self.reader()

    def in_order(self) -> tf.data.Dataset:
        """Returns each image file's bytes and its label, in order."""
        rows = self.fetched(tf.data.Dataset.range(len(self)))
        return rows.map(self.opener(), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    @abstractmethod
    def name(self, index: int) -> str:
        """Returns a name for an image, by which a user finds it."""

    @abstractmethod
    def read(self, index: int) -> tuple[str, bytes]:
        """Returns the name of an image, and the bytes of its file."""

    def image(self, index: int) -> np.ndarray:
        """Returns one image, uint8, shape (height, width, 3)."""
        return image_files.decode(self.read(index)[1]).numpy()


@dataclass(frozen=True)
class FileSplit(EncodedSplit):
    """Image files, read when needed.

    Attributes:
        paths: Path of each image. Any other paths are taken too, and become `FileNames`.
        labels: See `AnySplit`.
        exif: Whether images are turned as their EXIF orientation says. Those that have one are
            decoded whole for it, and handed on as PNG files.
    """

    way_out = (
        "Repair or remove it: 'keras-classics check_images PATH' lists all such files, and "
        "--max_bad_images=N leaves them out of a training that crops while it decodes."
    )

    paths: FileNames
    labels: np.ndarray
    exif: bool = False

    def __post_init__(self):
        object.__setattr__(self, "paths", FileNames.of(self.paths))

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> Self:
        """Returns the files at some indices, in that order."""
        return replace(self, paths=self.paths[indices], labels=self.labels[indices])

    def reader(self) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
        """Returns a function from an index to the file's bytes and its label, for a graph."""
        names = self.paths
        # One string of all names: a tensor of them takes three times the memory.
        with tf.device("CPU"):
            joined, labels = tf.constant(names.encoded), tf.constant(self.labels)
            starts, lengths = tf.constant(names.starts), tf.constant(names.lengths)

        def read(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            length = tf.cast(lengths[index], tf.int64)
            name = tf.strings.substr(joined, starts[index], length)
            encoded = tf.io.read_file(tf.strings.join([names.prefix, name]))
            if self.exif:
                encoded = tf.numpy_function(image_files.upright, [encoded], tf.string, False)
                encoded = tf.ensure_shape(encoded, ())
            return encoded, labels[index]

        return read

    def name(self, index: int) -> str:
        """Returns the path of a file."""
        return self.paths[index]

    def read(self, index: int) -> tuple[str, bytes]:
        """Returns a file's path and bytes."""
        encoded = Path(self.name(index)).read_bytes()
        return self.name(index), image_files.upright(encoded) if self.exif else encoded

    def identity(self) -> Iterator[Any]:
        """Yields labels, and the names and sizes of the files."""
        sizes = (_size(path) for path in self.paths)
        return identity_of_files(self.paths, sizes, self.labels)


def identity_of_files(
    paths: Iterable[str], sizes: Iterable[int], labels: np.ndarray
) -> Iterator[bytes]:
    """Yields what identifies image files wherever they are, in a folder or an archive.

    Args:
        paths: Path of each; its last three parts count: part, class and name.
        sizes: Bytes of each.
        labels: Label of each.
    """
    yield b"FileSplit"
    yield labels.astype("<i4").tobytes()
    for path, size in zip(paths, sizes, strict=True):
        yield os.fsencode("/".join(Path(path).parts[-3:]))
        yield struct.pack("<Q", size)


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
