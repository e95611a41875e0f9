"""A set of JPEG files of ImageNet's shape, where ImageNet itself is not to be had.

What is measured on it - how fast files are read, decoded and trained on, that a training learns and
goes on after a cut - depends on the form of the files and on classes that can be told apart, not on
what the pictures show. Accuracies on it say nothing about a network.

The pictures are cut from the two photographs that come with scikit-learn. A class is one quarter of
one of them in one turn of its hues; a picture is a random crop of it, mirrored or not, brighter or
darker, with so much grain that a file of 500x375 is about as large as ImageNet's, near 100 kB.
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
PARTS = ("train", "validation")
QUALITY = 90
# Deviation of the grain's brightness, of 255: what it adds to a file is most of its size.
GRAIN = 15.0
# ImageNet's pictures lie, stand, or are of another size, in about these shares.
LYING, STANDING = 0.65, 0.2
# Which arguments a finished set was made with. It lies beside the parts, where no reader looks.
ARGUMENTS = "arguments.json"


@dataclass(frozen=True)
class _Picture:
    """One picture to write. `key` is the seed of all that is random about it."""

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
    """Writes a set, whole or not at all, unless it is there already.

    Args:
        folder: Where to; FOLDER/{train,validation}/CLASS/NAME.jpg come into it.
        classes: Number of classes; they are named n00, n01 and so on.
        train: Pictures of each class to train on.
        validation: Pictures of each class to evaluate on.
        seed: The same seed gives the same bytes.
        size: Width and height of a lying picture. A fifth of the pictures stand, and some are up
            to a third smaller or larger.

    Returns:
        The folder.

    Raises:
        UserError: The folder is there and holds something else.
    """
    folder = Path(folder)
    counts = {"train": train, "validation": validation}
    arguments = {"classes": classes, **counts, "seed": seed, "size": list(size)}
    if folder.exists():
        if _read(folder / ARGUMENTS) != arguments:
            raise UserError(
                f"{folder} is there and holds something else than the pictures of {arguments}. "
                "Remove it, or take another folder."
            )
        return folder
    with files.atomic_write(folder) as aside, ThreadPoolExecutor() as threads:
        for index, motif in enumerate(_motifs(classes)):
            pictures = list(_pictures(aside, index, classes, counts, seed))
            for path in {picture.path.parent for picture in pictures}:
                path.mkdir(parents=True)
            # In a list, because it is here that an exception of a thread comes out.
            list(threads.map(lambda p, motif=motif: _write(p, motif, size), pictures))
        (aside / ARGUMENTS).write_text(json.dumps(arguments))
    return folder


def _read(path: Path) -> dict | None:
    return json.loads(path.read_text()) if path.is_file() else None


def _pictures(
    folder: Path, index: int, classes: int, counts: dict[str, int], seed: int
) -> Iterator[_Picture]:
    """The pictures of one class."""
    name = f"n{index:0{max(2, len(str(classes - 1)))}}"
    for part, part_name in enumerate(PARTS):
        for i in range(counts[part_name]):
            yield _Picture(folder / part_name / name / f"{name}_{i:05}.jpg", (seed, part, index, i))


def _motifs(classes: int) -> Iterator[np.ndarray]:
    """What each class shows: uint8, a quarter of a photograph with its hues turned."""
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
    """Turns the colours about the grey axis, by 0 to 1 times round; brightness stays."""
    angle = 2 * math.pi * turn
    third, side = (1 - math.cos(angle)) / 3, math.sin(angle) / math.sqrt(3)
    # The rotation by `angle` about (1, 1, 1).
    rotation = math.cos(angle) * np.eye(3) + third
    rotation += side * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    return np.clip(np.round(image @ rotation.T), 0, 255).astype("uint8")


def _write(picture: _Picture, motif: np.ndarray, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(picture.key)
    width, height = _draw_size(rng, size)
    image = tf.image.resize(_crop(rng, motif, width / height), (height, width)).numpy()
    image = (image - 128) * rng.uniform(0.75, 1.0) + rng.uniform(113, 143)
    image += GRAIN * rng.standard_normal((height, width, 1), "float32")
    pixels = np.clip(image, 0, 255).astype("uint8")
    picture.path.write_bytes(tf.io.encode_jpeg(pixels, quality=QUALITY).numpy())


def _draw_size(rng: np.random.Generator, size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of a picture."""
    width, height = size
    draw = rng.uniform()
    if draw < LYING:
        return width, height
    if draw < LYING + STANDING:
        return height, width
    factors = rng.uniform(2 / 3, 4 / 3, 2)
    return max(1, round(width * factors[0])), max(1, round(height * factors[1]))


def _crop(rng: np.random.Generator, motif: np.ndarray, aspect: float) -> np.ndarray:
    """A piece of the motif, of an aspect (width by height) and of 0.6 to 1 of what fits."""
    scale = rng.uniform(0.6, 1.0)
    height = min(motif.shape[0], motif.shape[1] / aspect) * scale
    height, width = max(1, int(height)), max(1, int(height * aspect))
    top = rng.integers(motif.shape[0] - height + 1)
    left = rng.integers(motif.shape[1] - width + 1)
    piece = motif[top : top + height, left : left + width]
    return piece[:, ::-1] if rng.uniform() < 0.5 else piece
