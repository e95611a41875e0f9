"""Predictions of a network on a split, saved in a file to compare and combine networks."""

import hashlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from keras_classics.data.splits import AnySplit, FileSplit, Split
from keras_classics.errors import UserError
from keras_classics.evaluation.finite import check_finite
from keras_classics.files import atomic_write, read_arrays, read_bytes


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of a network on a split, and what identifies the network and the split.

    Attributes:
        probabilities: float32, shape (count, classes).
        labels: int32, shape (count,), each from 0 to classes - 1.
        dataset: Name of the data set.
        images: `digest` of the split, which identifies its images and their order.
        class_names: Name of each class.
        protocol: The evaluation protocol.
        model: Name of the network.

    Raises:
        UserError: If there are no images, the shapes do not match, a probability is not a finite
            number, or a label is out of range.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    dataset: str
    images: str
    class_names: tuple[str, ...]
    protocol: str
    model: str

    def __post_init__(self):
        p, labels = self.probabilities, self.labels
        if (p.ndim, p.dtype) != (2, np.float32) or (labels.ndim, labels.dtype) != (1, np.int32):
            raise UserError(
                "Probabilities must be float32 of shape (count, classes) and labels int32 of shape "
                f"(count,). Received: {p.dtype} of {p.shape} and {labels.dtype} of {labels.shape}."
            )
        if p.shape != (len(labels), len(self.class_names)):
            raise UserError(
                "Probabilities must have a row per label and a column per class. Received: shape "
                f"{p.shape}, {len(labels)} labels and {len(self.class_names)} class names."
            )
        if not len(labels):
            raise UserError("Predictions must be of at least one image. Received: none.")
        check_finite(p, "Probabilities")
        outside = labels[(labels < 0) | (labels >= p.shape[1])]
        if outside.size:
            raise UserError(f"Labels must be 0 to {p.shape[1] - 1}. Received: {outside[0]}.")

    def save(self, path: str | os.PathLike) -> None:
        """Writes an `.npz` file atomically; the same predictions give the same bytes.

        Raises:
            OSError: If the file cannot be written.
        """
        arrays: dict[str, Any] = {
            field.name: np.array(getattr(self, field.name)) for field in fields(self)
        }
        # An open file, because np.savez appends .npz to names that do not end in it.
        with atomic_write(path) as aside, open(aside, "wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Predictions":
        """Reads a file that `save` wrote.

        Raises:
            UserError: If there is no such file, it is truncated or damaged, or it contains
                something else.
        """
        path = Path(path)
        arrays = _arrays(path)
        missing = [field.name for field in fields(cls) if field.name not in arrays]
        if missing:
            raise UserError(
                f"{path} must contain predictions. It lacks: {', '.join(missing)}. Save them again."
            )
        values: dict[str, Any] = {field.name: arrays[field.name] for field in fields(cls)}
        names = tuple(map(str, np.ravel(values.pop("class_names"))))
        texts: dict[str, Any] = {
            name: str(values.pop(name)) for name in ("dataset", "images", "protocol", "model")
        }
        try:
            return cls(**values, **texts, class_names=names)
        except UserError as error:
            raise UserError(f"{path} contains no valid predictions: {error}") from error


def digest(split: AnySplit) -> str:
    """Returns a short hash that identifies the images of a split and their order.

    For images in memory it covers every pixel. For image files it covers labels, file sizes and the
    last three parts of the paths (part, class and name), for records the file names and the
    positions in them. So ImageNet takes seconds, but changed file contents may go unnoticed. The
    same images in another form have another digest. The location of the files does not matter.

    Returns:
        The first 16 hexadecimal digits of a SHA-256.

    Raises:
        UserError: If an image file is missing.
    """
    total = hashlib.sha256()
    for part in _identity(split):
        # With its length, so that two splits that join to the same bytes have different digests.
        total.update(struct.pack("<Q", len(part)))
        total.update(part)
    return total.hexdigest()[:16]


def check_same_images(a: Predictions, b: Predictions) -> None:
    """Checks that two predictions are of the same images in the same order.

    Raises:
        UserError: If they are not.
    """
    if a.images != b.images:
        raise UserError(
            "Predictions must be of the same images in the same order. Received: predictions "
            f"of other images, {a.model} on {a.dataset} ({a.images}) and {b.model} on {b.dataset} "
            f"({b.images}). Evaluate both on one split."
        )


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Returns all arrays of an `.npz` file, after checking the whole file."""
    content = read_bytes(path)
    try:
        return read_arrays(content)
    except UserError as error:
        raise UserError(
            f"{path} must be an intact file of predictions. Received: {error}. Save them again."
        ) from error


def _identity(split: AnySplit) -> Iterator[Any]:
    """Yields what identifies the images of a split: bytes, and arrays of uint8."""
    yield type(split).__name__.encode()
    if isinstance(split, Split):
        yield str(split.images.shape).encode()
        yield np.ascontiguousarray(split.images).reshape(-1)
        yield split.labels.astype("<i4").tobytes()
    elif isinstance(split, FileSplit):
        yield split.labels.astype("<i4").tobytes()
        for path in split.paths:
            yield os.fsencode("/".join(Path(path).parts[-3:]))
            yield struct.pack("<Q", _size(path))
    else:
        for path in split.files:
            yield os.fsencode(Path(path).name)
        yield split.numbers.astype("<i4").tobytes()
        yield split.offsets.astype("<i8").tobytes()
        yield split.lengths.astype("<i8").tobytes()


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
