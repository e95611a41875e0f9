"""Images and labels in an `.npz` file, as keras.datasets stores them."""

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from keras_classics.data.formats.members import kind_of
from keras_classics.data.formats.small_images import SmallImages
from keras_classics.data.splits import MEMORY_LIMIT, MOST_CLASSES, Split
from keras_classics.errors import UserError, short_reason
from keras_classics.files import user_path

PARTS = {"train": ("x_train", "y_train"), "test": ("x_test", "y_test")}

CLASS_NAMES = "class_names"


def is_npz(path: Path) -> bool:
    """Returns whether a file is an archive of arrays alone, or by its name should be one."""
    if kind_of(path) != "zip":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # Wrong bytes lead to any.
        return path.suffix.lower() == ".npz"
    return bool(names) and all(name.endswith(".npy") for name in names)


def read_npz(path: Path, parts: Sequence[str] = tuple(PARTS)) -> SmallImages:
    """Reads the images and labels of some splits from an `.npz` file.

    Args:
        path: The file, with `x_train`, `y_train`, `x_test` and `y_test`: images, uint8, of shape
            (count, height, width) or (count, height, width, channels), grey or of three colours,
            and labels, whole numbers from 0 on. `class_names` may name the classes.
        parts: Some of `train` and `test`.

    Returns:
        The splits, and the names of the classes if the file has them.

    Raises:
        UserError: If the file is damaged, or an array is missing or of another form.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _Arrays(archive).read(parts)
    except UserError as error:
        raise UserError(
            f"{path} must hold images as keras.datasets stores them: {error}."
        ) from error
    except MemoryError:
        raise
    except Exception as error:
        # Wrong bytes lead to any exception of zipfile, zlib and NumPy.
        raise UserError(
            f"{path} cannot be read: {short_reason(error)}. It is damaged or not an .npz file; "
            "write it again with np.savez."
        ) from error


class _Arrays:
    """The arrays of an open archive. Of each, its head is checked before its values are read."""

    def __init__(self, archive: zipfile.ZipFile):
        self.archive = archive
        names = archive.namelist()
        if len(set(names)) < len(names):
            raise UserError("two of its arrays have one name")

    def read(self, parts: Sequence[str]) -> SmallImages:
        """Returns the splits. The classes are those of both splits, also if only one is read."""
        splits = {part: self._split(*PARTS[part]) for part in parts}
        others = (
            {"label": self._labels(name)}
            for part, (_, name) in PARTS.items()
            if part not in parts and self._has(name)
        )
        labels = [columns["label"] for columns in (*splits.values(), *others)]
        count = max((int(values.max()) + 1 for values in labels if values.size), default=0)
        if not self._has(CLASS_NAMES):
            return SmallImages(splits, num_classes=count)
        names = self._class_names()
        if len(names) < count:
            raise UserError(
                f"{CLASS_NAMES} must have a name for each of {count} classes. Received: "
                f"{len(names)}"
            )
        return SmallImages(splits, {"label": names}, num_classes=len(names))

    def _has(self, name: str) -> bool:
        return f"{name}.npy" in self.archive.namelist()

    def _split(self, images_name: str, labels_name: str) -> dict[str, np.ndarray]:
        with self._opened(images_name) as file:
            shape, fortran, dtype = self._head(images_name, file)
            if dtype != np.uint8:
                raise UserError(_not_uint8(images_name, dtype))
            if len(shape) not in (3, 4) or (len(shape) == 4 and shape[-1] not in (1, 3)):
                raise UserError(
                    f"{images_name} must have the shape (count, height, width), or with 1 or 3 "
                    f"channels at its end. Received: {shape}"
                )
            images = self._values(images_name, file, shape, fortran, dtype)
        labels = self._labels(labels_name)
        if len(labels) != len(images):
            raise UserError(
                f"{images_name} has {len(images):,} images, but {labels_name} {len(labels):,} "
                "labels"
            )
        return {"image": images.reshape(*shape, 1) if len(shape) == 3 else images, "label": labels}

    def _labels(self, name: str) -> np.ndarray:
        with self._opened(name) as file:
            shape, fortran, dtype = self._head(name, file)
            if dtype.kind not in "iu" or len(shape) not in (1, 2) or shape[1:] not in ((), (1,)):
                raise UserError(
                    f"{name} must be whole numbers of the shape (count,) or (count, 1). Received: "
                    f"{dtype} of {shape}"
                )
            labels = self._values(name, file, shape, fortran, dtype).reshape(-1)
        wrong = labels[(labels < 0) | (labels >= MOST_CLASSES)]
        if wrong.size:
            raise UserError(
                f"{name} must be labels from 0 to {MOST_CLASSES - 1:,}. Received: {wrong[0]}"
            )
        return labels.astype("int64")

    def _class_names(self) -> tuple[str, ...]:
        with self._opened(CLASS_NAMES) as file:
            shape, fortran, dtype = self._head(CLASS_NAMES, file)
            if dtype.kind not in "SU" or len(shape) != 1 or shape[0] > MOST_CLASSES:
                raise UserError(
                    f"{CLASS_NAMES} must be strings of the shape (classes,). Received: {dtype} of "
                    f"{shape}"
                )
            names = self._values(CLASS_NAMES, file, shape, fortran, dtype)
        return tuple(
            name.decode(errors="backslashreplace") if isinstance(name, bytes) else str(name)
            for name in names
        )

    def _opened(self, name: str) -> IO[bytes]:
        if not self._has(name):
            have = ", ".join(n.removesuffix(".npy") for n in self.archive.namelist()[:9]) or "none"
            raise UserError(f"it has no {name}. Its arrays: {have}")
        return self.archive.open(f"{name}.npy")

    def _head(self, name: str, file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read is None:
            raise UserError(f"{name} is of an unknown version, {version}")
        shape, fortran, dtype = read(file)
        size = math.prod(shape) * dtype.itemsize
        stored = self.archive.getinfo(f"{name}.npy").file_size - file.tell()
        if dtype.hasobject:
            raise UserError(f"{name} holds objects of Python, which are not read")
        if size != stored:
            raise UserError(f"{name} says {size:,} bytes of values and has {stored:,}")
        if size > MEMORY_LIMIT:
            raise UserError(
                f"{name} must have at most {MEMORY_LIMIT:,} bytes. Received: {size:,}. Use "
                "folder:PATH with image files"
            )
        return shape, fortran, dtype

    def _values(
        self, name: str, file: IO[bytes], shape: tuple[int, ...], fortran: bool, dtype: np.dtype
    ) -> np.ndarray:
        # zipfile checks the checksum when it has read the last byte.
        content = file.read()
        return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")


def _not_uint8(name: str, dtype: np.dtype) -> str:
    ways = {
        "f": "Values from 0 to 1 become it by (255 * x).round().astype('uint8')",
        "b": "Multiply it by 255 and store it as uint8",
    }
    way = ways.get(dtype.kind, "If its values are 0 to 255, store it by x.astype('uint8')")
    return f"{name} must be uint8, 0 to 255. Received: {dtype}. {way}"


def load_npz(
    path: str, parts: Sequence[str], *, exif: bool = False, share: float | None = None
) -> tuple[list[Split], tuple[str, ...]]:
    """Loads `npz:PATH`.

    Args:
        path: The file. See `read_npz` for what it holds.
        parts: Some of `train` and `test`.
        exif: False: arrays of pixels have no orientation.
        share: None: the file has both parts.

    Returns:
        The splits, and the name of each label: `class_names`, or their numbers.

    Raises:
        UserError: As for `read_npz`.
    """
    if share is not None:
        raise UserError(
            f"validation_share is for images without parts. Received: {path}, which has x_test. "
            "Leave it out."
        )
    file = user_path(path)
    if not file.is_file():
        raise UserError(f"npz:PATH takes a file that np.savez wrote. {file} is not a file.")
    found = read_npz(file, parts)
    splits = [
        Split(columns["image"], columns["label"].astype("int32"))
        for columns in (found.splits[part] for part in parts)
    ]
    return splits, found.class_names.get("label", tuple(map(str, range(found.num_classes))))
