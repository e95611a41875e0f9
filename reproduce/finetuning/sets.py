"""Small sets of images: generated shapes and textures, and parts of Fashion-MNIST and digits."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_classics import files
from keras_classics.data import ImageData, Split, load

# Height and width of generated images.
SIDE = 48
# Test images of each class; of digits there are fewer.
GENERATED_TEST, TEST = 30, 100
# Seed of the test images, which are the same for all seeds of a set.
TEST_SEED = 10**6

# Whether a point belongs to a motif: functions of the coordinates (right, down), the radius and the
# angle. A motif lies about the origin and reaches to about 1.
Motif = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _within(u: np.ndarray, v: np.ndarray, side: float = 1.0) -> np.ndarray:
    return np.maximum(abs(u), abs(v)) < side


def _arrow(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """An arrow to the right: its shaft and its head."""
    shaft = (abs(v) < 0.2) & (u > -1) & (u < 0.2)
    return shaft | ((u > 0.1) & (abs(v) < 0.9 - u))


MOTIFS: Mapping[str, Motif] = {
    "circle": lambda u, v, r, a: r < 1,
    "square": lambda u, v, r, a: _within(u, v, 0.85),
    "triangle": lambda u, v, r, a: (v < 0.7) & (v > 1.9 * abs(u) - 1),
    "cross": lambda u, v, r, a: ((abs(u) < 0.28) | (abs(v) < 0.28)) & _within(u, v),
    "ring": lambda u, v, r, a: (r < 1) & (r > 0.6),
    "star": lambda u, v, r, a: r < 0.55 + 0.4 * np.cos(5 * a),
    "crescent": lambda u, v, r, a: (r < 1) & (np.hypot(u - 0.5, v) > 0.8),
    "bar": lambda u, v, r, a: (abs(v) < 0.25) & (abs(u) < 1),
    "stripes_across": lambda u, v, r, a: (np.sin(9 * v) > 0) & _within(u, v),
    "stripes_down": lambda u, v, r, a: (np.sin(9 * u) > 0) & _within(u, v),
    "stripes_slanted": lambda u, v, r, a: (np.sin(7 * (u + v)) > 0) & _within(u, v),
    "letter_l": lambda u, v, r, a: ((u < -0.4) | (v > 0.5)) & _within(u, v, 0.95),
    "letter_t": lambda u, v, r, a: ((abs(u) < 0.25) | (v < -0.5)) & _within(u, v, 0.95),
    "letter_x": lambda u, v, r, a: (np.minimum(abs(u - v), abs(u + v)) < 0.35) & _within(u, v),
    "letter_h": lambda u, v, r, a: ((abs(u) > 0.45) | (abs(v) < 0.25)) & _within(u, v, 0.95),
    "oval": lambda u, v, r, a: np.hypot(u, 1.5 * v) < 1,
    "rectangle": lambda u, v, r, a: (abs(u) < 0.95) & (abs(v) < 0.6),
    "diamond": lambda u, v, r, a: abs(u) + 1.3 * abs(v) < 1.05,
    "right": lambda u, v, r, a: _arrow(u, v),
    "left": lambda u, v, r, a: _arrow(-u, v),
    "down": lambda u, v, r, a: _arrow(v, u),
    "up": lambda u, v, r, a: _arrow(-v, u),
    "checks": lambda u, v, r, a: (np.sin(6 * u) * np.sin(6 * v) > 0) & _within(u, v, 1.2),
    "dots": lambda u, v, r, a: (np.cos(8 * u) + np.cos(8 * v) > 0.9) & _within(u, v, 1.2),
    "rings": lambda u, v, r, a: (np.sin(11 * r) > 0) & (r < 1.2),
    "waves": lambda u, v, r, a: (np.sin(8 * v + 2.5 * np.sin(4 * u)) > 0) & _within(u, v, 1.2),
    "spokes": lambda u, v, r, a: (np.sin(6 * a) > 0) & (r < 1.2),
    "clover": lambda u, v, r, a: r < 0.8 + 0.15 * np.sin(3 * a),
}


@dataclass(frozen=True)
class SmallSet:
    """A set of images, and the network that is fine-tuned on it.

    Attributes:
        classes: Motifs, or the labels of a data set.
        each: Training images of each class.
        network: Name of the network.
        weights: Its weights, which have not seen the set's images.
        dataset: The data set that the images are taken from, or None for generated ones.
    """

    classes: tuple
    each: int
    network: str
    weights: str
    dataset: str | None = None

    @property
    def images(self) -> int:
        """Number of training images."""
        return self.each * len(self.classes)


def _generated(each: int, *classes: str) -> SmallSet:
    return SmallSet(classes, each, "resnet20", "fashion_mnist")


def _fashion(each: int, *classes: int) -> SmallSet:
    return SmallSet(classes, each, "lenet5", "digits", "fashion_mnist")


def _digits(each: int) -> SmallSet:
    return SmallSet(tuple(range(10)), each, "lenet5", "fashion_mnist", "digits")


# The sets that chose the defaults, and those that the defaults are tested on. They share no class.
SEARCH = {
    "outlines": _generated(20, "oval", "rectangle", "diamond"),
    "stripes": _generated(20, "stripes_across", "stripes_down", "stripes_slanted"),
    "letters": _generated(30, "letter_l", "letter_t", "letter_x", "letter_h"),
    "arrows": _generated(50, "right", "left", "up", "down"),
    "shirt_pullover_sandal": _fashion(25, 0, 2, 5),
    "shirt_pullover_sandal_sneaker": _fashion(60, 0, 2, 5, 7),
    "digits_10": _digits(10),
    "digits_30": _digits(30),
}
TESTED = {
    "shapes": _generated(20, "circle", "square", "triangle"),
    "signs": _generated(30, "cross", "ring", "star", "crescent", "bar"),
    "textures": _generated(50, "checks", "dots", "rings", "waves", "spokes", "clover"),
    "trouser_bag_boot": _fashion(20, 1, 8, 9),
    "trouser_coat_bag_boot": _fashion(40, 1, 4, 8, 9),
    "trouser_dress_coat_bag_boot": _fashion(60, 1, 3, 4, 8, 9),
}


def write_set(folder: Path, small: SmallSet, seed: int, data_dir: str | None) -> Path:
    """Writes a set as PNG files, FOLDER/{train,validation}/CLASS/NUMBER.png, unless it exists.

    Args:
        folder: The folder.
        small: The set.
        seed: Seed of the training images. The test images are the same for all seeds.
        data_dir: Folder of TensorFlow Datasets.

    Returns:
        The folder.
    """
    if folder.exists():
        return folder
    with files.atomic_write(folder) as aside:
        if small.dataset is None:
            counts = {"train": (small.each, seed), "validation": (GENERATED_TEST, TEST_SEED)}
            for part, (count, part_seed) in counts.items():
                _write_generated(aside / part, small.classes, count, part_seed)
        else:
            data = load(small.dataset, data_dir)
            _write_chosen(aside / "train", data, data.train, small, small.each, seed)
            _write_chosen(aside / "validation", data, data.test, small, TEST, TEST_SEED)
    return folder


def _write_generated(folder: Path, motifs: tuple, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for motif in motifs:
        _write(folder / motif, [draw(motif, rng) for _ in range(count)])


def draw(motif: str, rng: np.random.Generator) -> np.ndarray:
    """Draws a motif in a colour of its own on another, shifted, turned, scaled, with noise.

    Returns:
        uint8, shape (48, 48, 3).
    """
    down, right = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    right, down = right - rng.uniform(-0.12, 0.12), down - rng.uniform(-0.12, 0.12)
    turn, size = rng.uniform(-0.2, 0.2), rng.uniform(0.24, 0.38)
    u = (right * np.cos(turn) + down * np.sin(turn)) / size
    v = (down * np.cos(turn) - right * np.sin(turn)) / size
    inside = MOTIFS[motif](u, v, np.hypot(u, v), np.arctan2(v, u))
    ground, colour = rng.uniform(0, 255, 3), rng.uniform(0, 255, 3)
    while abs(ground.mean() - colour.mean()) < 60:
        ground, colour = rng.uniform(0, 255, 3), rng.uniform(0, 255, 3)
    image = np.where(inside[..., np.newaxis], colour, ground)
    return np.clip(image + rng.normal(0, 8, (SIDE, SIDE, 1)), 0, 255).astype("uint8")


def _write_chosen(
    folder: Path, data: ImageData, split: Split, small: SmallSet, count: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    for label in small.classes:
        name = data.class_names[label].replace("/", "_")
        chosen = rng.permutation(np.flatnonzero(split.labels == label))[:count]
        _write(folder / name, [split.image(index) for index in chosen])


def _write(folder: Path, images: list[np.ndarray]) -> None:
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        (folder / f"{number:03}.png").write_bytes(tf.io.encode_png(image).numpy())
