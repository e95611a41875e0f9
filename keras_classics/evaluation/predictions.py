"""Predictions of a network on a split, saved in a file to compare and combine networks."""

import hashlib
import os
import struct
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from keras_classics.data.splits import AnySplit
from keras_classics.errors import UserError
from keras_classics.evaluation.finite import check_finite
from keras_classics.files import atomic_write, read_arrays, read_bytes


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of a network on a split, and what identifies the network and the split.

    Attributes:
        probabilities: float32, shape (count, classes).
        labels: int32, shape (count,), each from 0 to classes - 1; of images with several labels
            shape (count, classes), 0 or 1.
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
        several = labels.ndim == 2 and labels.shape == p.shape
        if (p.ndim, p.dtype) != (2, np.float32) or (labels.ndim, labels.dtype) != (
            1 + several,
            np.int32,
        ):
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
        most = 1 if several else p.shape[1] - 1
        outside = labels[(labels < 0) | (labels > most)]
        if outside.size:
            raise UserError(f"Labels must be 0 to {most}. Received: {outside[0]}.")

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
    positions in them. So ImageNet takes seconds, but changed file contents may go unnoticed. A
    folder and an archive of it have the same digest, the same images in other forms another one.
    The location of the files does not matter.

    Returns:
        The first 16 hexadecimal digits of a SHA-256.

    Raises:
        UserError: If an image file is missing.
    """
    total = hashlib.sha256()
    for part in split.identity():
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
