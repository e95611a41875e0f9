"""MNIST's IDX files, whole and damaged."""

import gzip
import struct
from pathlib import Path

import numpy as np

# The files of each split: images and labels.
IDX_FILES = {
    part: (f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte")
    for part, prefix in (("train", "train"), ("test", "t10k"))
}


def idx(array: np.ndarray) -> bytes:
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return head + array.astype("uint8").tobytes()


def write_idx_set(folder: Path, train: int, test: int, top_label: int = 9):
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    images, labels = {}, {}
    for part, count in (("train", train), ("test", test)):
        images[part] = random.integers(0, 256, (count, 28, 28), dtype="uint8")
        labels[part] = np.arange(count) % (top_label + 1)
        names = IDX_FILES[part]
        (folder / names[0]).write_bytes(idx(images[part]))
        (folder / f"{names[1]}.gz").write_bytes(gzip.compress(idx(labels[part])))
    return images, labels


def damage_images(folder):
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])


def damage_labels(folder):
    path = folder / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx(np.array([0, 1, 10, 3, 4, 5]))))


def damage_count(folder):
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.zeros(5))))


def damage_shape(folder):
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((6, 27, 28))))


def remove_one(folder):
    (folder / "t10k-images-idx3-ubyte").unlink()
