"""Imports data sets from local files into the format that TensorFlow Datasets reads."""

import gzip
import io
import math
import struct
import zlib
from pathlib import Path
from typing import IO

import numpy as np
import tensorflow as tf

from keras_classics import files
from keras_classics.data.builders import find_builder, tensorflow_datasets
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


def prepare_from_idx(dataset: str, from_idx: Path, data_dir: str | None = None) -> Path:
    """Converts the four IDX files of a data set in MNIST's format for TensorFlow Datasets.

    Afterwards the data set loads by its name as if TensorFlow Datasets had downloaded it. If it is
    there already, nothing happens.

    Args:
        dataset: Name in TensorFlow Datasets, such as `mnist` or `fashion_mnist`.
        from_idx: Folder of train-images-idx3-ubyte, train-labels-idx1-ubyte and the two of t10k,
            with or without .gz.
        data_dir: Folder of TensorFlow Datasets, by default its own.

    Returns:
        The folder of the prepared data set.

    Raises:
        UserError: If a file is missing or damaged, or images and labels do not match each other or
            the data set. Then nothing is written.
    """
    tfds = tensorflow_datasets()
    builder = find_builder(tfds, dataset, data_dir)
    target = Path(builder.data_dir)
    if target.exists():
        return target
    features = builder.info.features
    if set(features) != {"image", "label"} or None in features["image"].shape:
        raise UserError(f"{dataset} is not in MNIST's format (one image size, one label).")
    splits = {
        part: _read_pair(from_idx, images, labels, features)
        for part, (images, labels) in IDX_FILES.items()
    }
    with files.atomic_write(target) as aside:
        _store(tfds, builder, splits, aside)
    return target


def _read_pair(folder: Path, images: str, labels: str, features) -> tuple[np.ndarray, np.ndarray]:
    images_path, labels_path = _find(folder, images), _find(folder, labels)
    pixels, classes = read_idx(images_path), read_idx(labels_path)
    shape = features["image"].shape
    if pixels.shape[1:] != shape[:2] or shape[2] != 1:
        raise UserError(f"{images_path} must hold images of {shape}. Received: {pixels.shape[1:]}.")
    if classes.ndim != 1 or len(pixels) != len(classes):
        raise UserError(
            f"{images_path} holds {len(pixels):,} images, but {labels_path} labels of shape "
            f"{classes.shape}."
        )
    limit = features["label"].num_classes
    if classes.size and classes.max() >= limit:
        raise UserError(
            f"Labels in {labels_path} must be 0 to {limit - 1}. Received: {classes.max()} at "
            f"position {int(np.argmax(classes))}."
        )
    return pixels[..., np.newaxis], classes.astype("int64")


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise UserError(f"{folder} holds neither {name} nor {name}.gz.")


def _store(tfds, builder, splits: dict, target: Path) -> None:
    """Writes the splits and moves the version's folder, which tfds names, to `target`."""
    target.mkdir()
    written = tfds.dataset_builders.store_as_tfds_dataset(
        name=builder.name,
        version=str(builder.version),
        data_dir=str(target),
        features=builder.info.features,
        split_datasets={
            part: tf.data.Dataset.from_tensor_slices({"image": images, "label": labels})
            for part, (images, labels) in splits.items()
        },
        disable_shuffling=True,
    )
    folder = Path(written.data_dir)
    for path in folder.iterdir():
        path.rename(target / path.name)
    files.remove(target / folder.relative_to(target).parts[0])
