"""Generates JPEG files of ImageNet's sizes, for machines without ImageNet.

They serve to measure how fast files are read, decoded and trained on, and to test that training
learns and resumes. These depend on the format of the files and on classes that differ, not on what
the images show. Accuracies on them say nothing about a network.

The images are crops of the two photographs that come with scikit-learn. A class is one quarter of
one of them with its hues rotated; an image is a random crop of it, flipped or not, brighter or
darker, with so much noise that a file of 500x375 is about as large as ImageNet's, near 100 kB.
"""

import json
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_classics import files
from keras_classics.errors import UserError, require

PHOTOGRAPHS = ("china.jpg", "flower.jpg")
QUARTERS = 4
SPLITS = ("train", "validation")
QUALITY = 90
# Standard deviation of the noise, of 255. It makes up most of the size of a file.
NOISE = 15.0
# Fractions of landscape and of portrait images in ImageNet, about; the rest has other sizes.
LANDSCAPE, PORTRAIT = 0.65, 0.2
# File with the arguments of a finished data set.
ARGUMENTS = "arguments.json"


@dataclass(frozen=True)
class _Image:
    """An image to write. `key` is the seed of its randomness."""

    path: Path
    key: tuple[int, ...]


def generate(
    folder: str | Path,
    classes: int,
    train: int,
    validation: int,
    seed: int = 0,
    size: tuple[int, int] = (500, 375),
) -> Path:
    """Writes a data set, whole or not at all, unless it exists already.

    Args:
        folder: The folder; the files are FOLDER/{train,validation}/CLASS/NAME.jpg.
        classes: Number of classes; they are named n00, n01 and so on.
        train: Training images of each class.
        validation: Validation images of each class.
        seed: The same seed gives the same bytes.
        size: Width and height of a landscape image. A fifth of the images are portrait, and some
            are up to a third smaller or larger.

    Returns:
        The folder.

    Raises:
        UserError: The folder exists and holds something else.
    """
    folder = Path(folder)
    counts = {"train": train, "validation": validation}
    arguments = {"classes": classes, **counts, "seed": seed, "size": list(size)}
    if folder.exists():
        if _read(folder / ARGUMENTS) != arguments:
            raise UserError(
                f"{folder} already exists and does not hold the images of {arguments}. Remove it, "
                "or use another folder."
            )
        return folder
    with files.atomic_write(folder) as aside, ThreadPoolExecutor() as threads:
        for index, motif in enumerate(_motifs(classes)):
            images = list(_images(aside, index, classes, counts, seed))
            for path in {image.path.parent for image in images}:
                path.mkdir(parents=True)
            # The list raises the exceptions of the threads.
            list(threads.map(lambda image, motif=motif: _write(image, motif, size), images))
        (aside / ARGUMENTS).write_text(json.dumps(arguments))
    return folder


def _read(path: Path) -> dict | None:
    return json.loads(path.read_text()) if path.is_file() else None


def _images(
    folder: Path, index: int, classes: int, counts: dict[str, int], seed: int
) -> Iterator[_Image]:
    """The images of one class."""
    name = f"n{index:0{max(2, len(str(classes - 1)))}}"
    for split, split_name in enumerate(SPLITS):
        for i in range(counts[split_name]):
            yield _Image(folder / split_name / name / f"{name}_{i:05}.jpg", (seed, split, index, i))


def _motifs(classes: int) -> Iterator[np.ndarray]:
    """The motif of each class: uint8, a quarter of a photograph with its hues rotated."""
    load = require("sklearn.datasets", "train").load_sample_image
    photographs = [load(name) for name in PHOTOGRAPHS]
    turns = math.ceil(classes / (len(photographs) * QUARTERS))
    for index in range(classes):
        rest, which = divmod(index, len(photographs))
        turn, quarter = divmod(rest, QUARTERS)
        photograph = photographs[which]
        height, width = photograph.shape[0] // 2, photograph.shape[1] // 2
        top, left = height * (quarter // 2), width * (quarter % 2)
        yield _turn_hue(photograph[top : top + height, left : left + width], turn / turns)


def _turn_hue(image: np.ndarray, turn: float) -> np.ndarray:
    """Rotates the colours about the grey axis, by 0 to 1 turns; brightness stays."""
    angle = 2 * math.pi * turn
    third, side = (1 - math.cos(angle)) / 3, math.sin(angle) / math.sqrt(3)
    # The rotation by `angle` about (1, 1, 1).
    rotation = math.cos(angle) * np.eye(3) + third
    rotation += side * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    return np.clip(np.round(image @ rotation.T), 0, 255).astype("uint8")


def _write(file: _Image, motif: np.ndarray, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(file.key)
    width, height = _draw_size(rng, size)
    image = tf.image.resize(_crop(rng, motif, width / height), (height, width)).numpy()
    image = (image - 128) * rng.uniform(0.75, 1.0) + rng.uniform(113, 143)
    image += NOISE * rng.standard_normal((height, width, 1), "float32")
    pixels = np.clip(image, 0, 255).astype("uint8")
    file.path.write_bytes(tf.io.encode_jpeg(pixels, quality=QUALITY).numpy())


def _draw_size(rng: np.random.Generator, size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of an image."""
    width, height = size
    draw = rng.uniform()
    if draw < LANDSCAPE:
        return width, height
    if draw < LANDSCAPE + PORTRAIT:
        return height, width
    factors = rng.uniform(2 / 3, 4 / 3, 2)
    return max(1, round(width * factors[0])), max(1, round(height * factors[1]))


def _crop(rng: np.random.Generator, motif: np.ndarray, aspect: float) -> np.ndarray:
    """A crop of the motif with an aspect (width by height), 0.6 to 1 of the largest one."""
    scale = rng.uniform(0.6, 1.0)
    height = min(motif.shape[0], motif.shape[1] / aspect) * scale
    height, width = max(1, int(height)), max(1, int(height * aspect))
    top = rng.integers(motif.shape[0] - height + 1)
    left = rng.integers(motif.shape[1] - width + 1)
    piece = motif[top : top + height, left : left + width]
    return piece[:, ::-1] if rng.uniform() < 0.5 else piece
