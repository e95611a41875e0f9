"""A network's answers on a split, kept in a file: to compare and to combine networks."""

import hashlib
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from keras_classics.data.splits import AnySplit, FileSplit, Split
from keras_classics.errors import UserError
from keras_classics.files import atomic_write

# What the readers of archives and arrays raise for bytes that are neither.
DAMAGED = (
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Answers of a network on a split, and what is needed to know which.

    Attributes:
        probabilities: float32, shape (count, classes).
        labels: int32, shape (count,), each from 0 to classes - 1.
        dataset: Name of the data set.
        images: `digest` of the split: which images, in which order.
        class_names: One a class.
        protocol: How the network was evaluated.
        model: Name of the network.

    Raises:
        UserError: The shapes do not go together, or a label is outside the classes.
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
                "Probabilities must have one row a label and one column a class. Received: shape "
                f"{p.shape}, {len(labels)} labels and {len(self.class_names)} class names."
            )
        outside = labels[(labels < 0) | (labels >= p.shape[1])]
        if outside.size:
            raise UserError(f"Labels must be 0 to {p.shape[1] - 1}. Received: {outside[0]}.")

    def save(self, path: str | os.PathLike) -> None:
        """Writes an `.npz` file, whole or not at all; the same answers give the same bytes.

        Raises:
            OSError: It cannot be written.
        """
        arrays = {field.name: np.array(getattr(self, field.name)) for field in fields(self)}
        # An open file, because numpy puts .npz behind a name that ends in something else.
        with atomic_write(path) as aside, open(aside, "wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Predictions":
        """Reads what `save` wrote.

        Raises:
            UserError: There is no such file, it is cut or damaged, or holds something else.
        """
        path = Path(path)
        arrays = _arrays(path)
        missing = [field.name for field in fields(cls) if field.name not in arrays]
        if missing:
            raise UserError(
                f"{path} must hold predictions. It lacks: {', '.join(missing)}. Save them anew."
            )
        values = {field.name: arrays[field.name] for field in fields(cls)}
        names = tuple(map(str, np.ravel(values.pop("class_names"))))
        texts = {name: str(values.pop(name)) for name in ("dataset", "images", "protocol", "model")}
        try:
            return cls(**values, **texts, class_names=names)
        except UserError as error:
            raise UserError(f"{path} holds no predictions: {error}") from error


def digest(split: AnySplit) -> str:
    """A short name for the images of a split and their order, wherever they lie.

    Images in memory are read whole. Picture files go by their labels, sizes and the last three
    parts of their paths (part, class and name), records by the names of their files and their
    places therein, so that ImageNet takes seconds: what is inside may be changed unseen. The same
    images in another form have another digest.

    Returns:
        The first 16 hexadecimal digits of a SHA-256.

    Raises:
        UserError: A picture file is missing.
    """
    total = hashlib.sha256()
    for part in _identity(split):
        # With its length, so that what ends one part cannot begin the next.
        total.update(struct.pack("<Q", len(part)))
        total.update(part)
    return total.hexdigest()[:16]


def check_same_images(a: Predictions, b: Predictions) -> None:
    """Checks that two networks answered to the same images in the same order.

    Raises:
        UserError: They did not.
    """
    if a.images != b.images:
        raise UserError(
            "Predictions go together on the same images in the same order. Received: predictions "
            f"of other images, {a.model} on {a.dataset} ({a.images}) and {b.model} on {b.dataset} "
            f"({b.images}). Evaluate both on one split."
        )


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an `.npz` file, which is checked whole before any is taken for one."""
    try:
        content = io.BytesIO(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        with zipfile.ZipFile(content) as archive:
            if archive.testzip() is not None:
                raise zipfile.BadZipFile("its checksums are wrong")
        content.seek(0)
        with np.load(content) as arrays:
            return dict(arrays)
    except DAMAGED as error:
        raise UserError(
            f"{path} is no file of predictions, or it is cut or damaged ({error}). Save them anew."
        ) from error


def _identity(split: AnySplit) -> Iterator[bytes | np.ndarray]:
    """What tells a split's images from others."""
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
