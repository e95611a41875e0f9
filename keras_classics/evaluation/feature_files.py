"""Features in files: a `.npy` array that can be memory-mapped, and beside it its index.

`F.npy`    float32, shape (rows, channels)
`F.csv`    a line for each image: its row in `F.npy`, image, part, label, class, or its fault
`F.json`   the network, its weights and the images that the features are of
"""

import csv
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_classics import files
from keras_classics.errors import UserError, short_reason

# Columns of the index. `row` counts from 0; an image with a fault has none.
COLUMNS = ("row", "image", "part", "label", "class", "fault")

# What `F.json` says: of the network, and how the images are found again.
OF_NETWORK = ("model", "weights", "level", "digest")
OF_IMAGES = ("dataset", "data_dir", "validation_share", "limit_train", "limit_test", "upright")


@dataclass(frozen=True, eq=False)
class StoredFeatures:
    """Features of images, memory-mapped from their file, and their index.

    Attributes:
        path: The `.npy` file.
        features: float32, shape (rows, channels).
        all_images: Names of all images, also of those with faults, which have no row.
        numbers: Number of each row's image among all images, int64.
        parts: Part of each row's image, `train` or `test`, or "" of images without parts.
        row_classes: Name of each row's class, or "".
        labels: int32, shape (rows,), or None if not every image has one label.
        about: What the features are of: `OF_NETWORK` and `OF_IMAGES`.
    """

    path: Path
    features: np.ndarray
    all_images: tuple[str, ...]
    numbers: np.ndarray
    parts: np.ndarray
    row_classes: tuple[str, ...]
    labels: np.ndarray | None
    about: dict[str, Any]

    @property
    def images(self) -> tuple[str, ...]:
        """Name of each row's image."""
        return tuple(self.all_images[number] for number in self.numbers)

    @classmethod
    def open(cls, path: str | os.PathLike) -> "StoredFeatures":
        """Opens files that `write_features` wrote.

        Raises:
            UserError: If a file is missing or damaged, or they do not belong together.
        """
        path = Path(path)
        features = _mapped(path)
        about = files.read_json(path.with_suffix(".json"))
        about = about if isinstance(about, dict) else {}
        rows = _indexed(path.with_suffix(".csv"))
        used = [(number, row) for number, row in enumerate(rows) if row["row"]]
        if [row["row"] for _, row in used] != list(map(str, range(len(features)))):
            raise UserError(
                f"{path.with_suffix('.csv')} must be the index of {path}. Received: "
                f"{len(used):,} rows for {len(features):,}. Compute the features again."
            )
        missing = [name for name in (*OF_NETWORK, *OF_IMAGES) if name not in about]
        if missing:
            raise UserError(
                f"{path.with_suffix('.json')} must say what the features are of. It lacks "
                f"{', '.join(missing)}. Compute the features again."
            )
        labels = [row["label"] for _, row in used]
        single = all(label.isascii() and label.isdigit() for label in labels)
        return cls(
            path,
            features,
            tuple(row["image"] for row in rows),
            np.array([number for number, _ in used], "int64"),
            np.array([row["part"] for _, row in used]),
            tuple(row["class"] for _, row in used),
            np.array(labels, "int32") if single else None,
            about,
        )


def write_features(
    path: str | os.PathLike,
    rows: Iterable[tuple[Mapping[str, Any], np.ndarray | None]],
    images: int,
    channels: int,
    about: Mapping[str, Any],
) -> None:
    """Writes features, their index and what they are of, whole or not at all, as they come.

    Args:
        path: The `.npy` file; the others are beside it.
        rows: For each image its line of the index, without `row`, and its features, float32 of
            shape (channels,), or None if it has a fault.
        images: Number of images.
        channels: Number of features.
        about: What the features are of: `OF_NETWORK` and `OF_IMAGES`.
    """
    path = Path(path)
    count = 0
    with files.atomic_write(path) as aside, open(aside, "w+b") as file:
        begin = _write_head(file, images, channels)

        def index() -> Iterator[dict[str, Any]]:
            nonlocal count
            for line, features in rows:
                if features is None:
                    yield dict(line)
                    continue
                file.write(features.astype("<f4").tobytes())
                yield {"row": count, **line}
                count += 1

        files.write_csv(path.with_suffix(".csv"), COLUMNS, index())
        # The format leaves room for a longer number of rows, so the head keeps its length.
        file.seek(0)
        if _write_head(file, count, channels) != begin:
            raise RuntimeError(f"The head of {path} has changed its length.")
        files.write_json(path.with_suffix(".json"), dict(about))


def _write_head(file: Any, rows: int, channels: int) -> int:
    """Writes the head of a `.npy` file and returns its length."""
    head = {"descr": "<f4", "fortran_order": False, "shape": (rows, channels)}
    np.lib.format.write_array_header_1_0(file, head)
    return file.tell()


def _mapped(path: Path) -> np.ndarray:
    try:
        features = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        why = getattr(error, "strerror", None) or short_reason(error)
        raise UserError(f"{path} cannot be read as features: {why}.") from error
    shape = getattr(features, "shape", ())
    if len(shape) != 2 or features.dtype != np.float32 or 0 in shape:
        raise UserError(
            f"{path} must hold features, float32 of shape (images, channels). Received: "
            f"{getattr(features, 'dtype', 'several arrays')} of shape {shape}."
        )
    return features


def _indexed(path: Path) -> list[dict[str, str]]:
    text = files.read_bytes(path).decode("utf-8", "backslashreplace")
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise UserError(f"{path} is not a CSV file: {error}.") from error
    if not rows or set(rows[0]) != set(COLUMNS) or any(None in row.values() for row in rows):
        raise UserError(f"{path} must have the columns {', '.join(COLUMNS)}.")
    return rows
