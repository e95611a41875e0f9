"""Files in MNIST's format, IDX."""

import gzip
import io
import math
import struct
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from keras_classics import files
from keras_classics.errors import UserError

# http://yann.lecun.com/exdb/mnist: the third byte of an IDX file is its type, the fourth the
# number of its axes. All data sets in MNIST's format are unsigned bytes.
UNSIGNED_BYTE = 8

# Most values of an IDX file: twice those of EMNIST, the largest set in MNIST's format of
# TensorFlow Datasets.
IDX_BYTES = 2**30

# MNIST's images have three axes, and their colour would be a fourth.
MOST_AXES = 4

IDX_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def read_idx(path: Path) -> np.ndarray:
    """Reads an IDX file of unsigned bytes, plain or compressed by gzip.

    Memory is taken only for what the file's header says, and no more than `IDX_BYTES`.

    Returns:
        uint8, of the shape that the file's header gives.

    Raises:
        UserError: If the file cannot be read or is not IDX, or its values are more than the limit
            or not as many as its header says.
    """
    content = io.BytesIO(files.read_bytes(path, IDX_BYTES))
    try:
        with gzip.open(content) if path.suffix == ".gz" else content as file:
            return _values(path, file)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}.") from error


def _values(path: Path, file: IO[bytes]) -> np.ndarray:
    start = file.read(4)
    if len(start) < 4 or start[:3] != bytes((0, 0, UNSIGNED_BYTE)):
        raise UserError(f"{path} is not an IDX file of unsigned bytes.")
    axes = start[3]
    if axes > MOST_AXES:
        raise UserError(f"{path} must have at most {MOST_AXES} axes. Received: {axes}.")
    head = file.read(4 * axes)
    if len(head) < 4 * axes:
        raise UserError(
            f"{path} is cut short: its header has {4 + len(head)} of {4 + 4 * axes} bytes."
        )
    shape = struct.unpack(f">{axes}I", head)
    expected = math.prod(shape)
    if expected > IDX_BYTES:
        raise UserError(f"{path} must hold at most {IDX_BYTES:,} values. Received: shape {shape}.")
    values = file.read(expected)
    # The end of the file is read too, because it holds gzip's checksum.
    if len(values) < expected or file.read(1):
        count = f"{len(values):,}" if len(values) < expected else f"more than {expected:,}"
        raise UserError(
            f"{path} holds {count} values, but its header, of shape {shape}, says {expected:,}. "
            "The file is cut short or damaged; download it again."
        )
    return np.frombuffer(values, np.uint8).reshape(shape)


def read_idx_split(
    folder: Path, part: str, shape: tuple[int, int, int] = (28, 28, 1), classes: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """Reads the images and labels of a split from its two files, with or without .gz.

    Args:
        folder: Folder of the files.
        part: One of `IDX_FILES`.
        shape: Height, width and channels that the images must have.
        classes: Labels must be less.

    Returns:
        Images, uint8, (count, height, width, 1), and labels, int64, (count,).

    Raises:
        UserError: If a file is missing or damaged, or images and labels do not match.
    """
    images_path, labels_path = (_find(folder, name) for name in IDX_FILES[part])
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.shape[1:] != shape[:2] or shape[2] != 1:
        raise UserError(f"{images_path} must hold images of {shape}. Received: {images.shape[1:]}.")
    if labels.ndim != 1 or len(images) != len(labels):
        raise UserError(
            f"{images_path} holds {len(images):,} images, but {labels_path} labels of shape "
            f"{labels.shape}."
        )
    if labels.size and labels.max() >= classes:
        raise UserError(
            f"Labels in {labels_path} must be 0 to {classes - 1}. Received: {labels.max()} at "
            f"position {int(np.argmax(labels))}."
        )
    return images[..., np.newaxis], labels.astype("int64")


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise UserError(f"{folder} holds neither {name} nor {name}.gz.")
