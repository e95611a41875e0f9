"""Files in MNIST's format, IDX."""

import functools
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np

from keras_classics import files
from keras_classics.data.formats.members import Member
from keras_classics.data.formats.small_images import Format, SmallImages
from keras_classics.errors import UserError

# http://yann.lecun.com/exdb/mnist: the third byte of an IDX file is its type, the fourth the
# number of its axes. All data sets in MNIST's format are unsigned bytes.
UNSIGNED_BYTE = 8

# Most values of an IDX file: twice those of EMNIST, the largest set in MNIST's format of
# TensorFlow Datasets.
IDX_BYTES = 2**30

# MNIST's images have three axes, and their colour would be a fourth.
MOST_AXES = 4

KINDS = ("images-idx3-ubyte", "labels-idx1-ubyte")


def read_idx(path: Path) -> np.ndarray:
    """Reads an IDX file of unsigned bytes, plain or compressed by gzip.

    Memory is taken only for what the file's header says, and no more than `IDX_BYTES`.

    Returns:
        uint8, of the shape that the file's header gives.

    Raises:
        UserError: If the file cannot be read or is not IDX, or its values are more than the limit
            or not as many as its header says.
    """
    return _read_array(Member(str(path), files.read_bytes(path, IDX_BYTES)))


def _read_array(member: Member) -> np.ndarray:
    with member.opened() as file:
        return _values(member.name, file)


def _values(path: str, file: IO[bytes]) -> np.ndarray:
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


def idx_format(prefixes: Mapping[str, str]) -> Format:
    """Returns the format of a set of four IDX files.

    Args:
        prefixes: By split, how the names of its two files begin: `train-`, or `t10k-`.
    """
    parts = {
        part: (f"{prefix}{KINDS[0]}", f"{prefix}{KINDS[1]}") for part, prefix in prefixes.items()
    }
    names = tuple(name for names in parts.values() for name in names)
    # As some sites have them.
    others = {name.replace("-idx", ".idx"): name for name in names}
    return Format("IDX files", names, functools.partial(_read, parts), others=others)


def _read(parts: Mapping[str, tuple[str, str]], members: Mapping[str, Member]) -> SmallImages:
    splits = {}
    for part, names in parts.items():
        images, labels = (_read_array(members[name]) for name in names)
        images_path, labels_path = (members[name].name for name in names)
        if images.ndim != 3:
            raise UserError(
                f"{images_path} must hold images, of three axes. Received: {images.shape}."
            )
        if labels.ndim != 1 or len(images) != len(labels):
            raise UserError(
                f"{images_path} holds {len(images):,} images, but {labels_path} labels of shape "
                f"{labels.shape}."
            )
        splits[part] = {"image": images[..., np.newaxis], "label": labels.astype("int64")}
    return SmallImages(splits)


MNIST_FORMAT = idx_format({"train": "train-", "test": "t10k-"})
