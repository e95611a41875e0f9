"""Names the image that cannot be read, where TensorFlow says only that one cannot."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from keras_classics.data import image_files
from keras_classics.data.splits import DAMAGED, AnySplit, EncodedSplit, FileSplit, Split
from keras_classics.errors import UserError

# What TensorFlow raises if an image cannot be decoded, is missing, or may not be read.
UNREADABLE = (
    *DAMAGED,
    tf.errors.FailedPreconditionError,
    tf.errors.NotFoundError,
    tf.errors.PermissionDeniedError,
    tf.errors.UnknownError,
)


@contextmanager
def naming_unreadable(split: AnySplit, indices: Callable[[], Iterable[int]]) -> Iterator[None]:
    """Turns TensorFlow's error about an unreadable image into one that names the image.

    Args:
        split: Where the images come from.
        indices: Returns the images that may be meant, in the order in which they are read.

    Raises:
        UserError: If an image cannot be read.
    """
    try:
        yield
    except UNREADABLE as error:
        if isinstance(split, Split):
            raise
        raise unreadable(split, indices()) from error


def unreadable(split: EncodedSplit, indices: Iterable[int]) -> UserError:
    """Returns the error for some images of which one cannot be read; it names the first."""
    for index in indices:
        fault = fault_at(split, index)
        if fault is not None and fault.fatal:
            break
    else:
        return UserError("An image could not be read, and now it can. Repeat the command.")
    return UserError(f"{fault.path} cannot be used: {fault.fault}. {split.way_out}")


def faults(split: EncodedSplit) -> Iterator[image_files.Fault]:
    """Decodes all images of a split, on all cores, and yields what is wrong with them."""
    if isinstance(split, FileSplit):
        yield from image_files.faults([Path(path) for path in split.paths])
        return
    with ThreadPoolExecutor() as pool:
        yield from filter(None, pool.map(lambda index: fault_at(split, index), range(len(split))))


def fault_at(split: EncodedSplit, index: int) -> image_files.Fault | None:
    """Returns what is wrong with one image of a split, or None."""
    try:
        name, encoded = split.read(index)
    except OSError as error:
        why = f"cannot be read ({error.strerror})"
        return image_files.Fault(Path(error.filename), why, fatal=True)
    return image_files.fault_of(encoded, name)
