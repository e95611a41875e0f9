"""The images of the bench: digits, clothes, and generated motifs in colours of their own."""

import functools
from dataclasses import dataclass

import numpy as np

from keras_classics.data import Split, load
from reproduce.finetuning.sets import draw

MOTIFS = ("circle", "cross", "stripes_across", "checks", "bar", "star")
# What the colours of generated images are multiplied by, as those of photographs are warmer than
# grey: without it, red and blue could be exchanged and nobody would see it.
WARM = (1.0, 0.85, 0.6)
# Height and width of generated images.
SIDE = 32
TRAIN, HELD_OUT = 900, 300


@dataclass(frozen=True)
class Arrays:
    """Images, uint8, and labels of both parts."""

    x: np.ndarray
    y: np.ndarray
    x_held_out: np.ndarray
    y_held_out: np.ndarray

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.y.max()) + 1


def _chosen(name: str, seed: int) -> Arrays:
    data = load(name)
    rng = np.random.default_rng(seed)
    train, test = (
        split.take(rng.permutation(len(split))[:count])
        for split, count in ((data.train, TRAIN), (data.test, HELD_OUT))
    )
    assert isinstance(train, Split)
    assert isinstance(test, Split)  # Sets of small images are in memory.
    return Arrays(train.images, train.labels, test.images, test.labels)


def _generated(seed: int) -> Arrays:
    rng = np.random.default_rng(seed)
    parts = []
    for count in (TRAIN, HELD_OUT):
        labels = rng.permutation(np.arange(count) % len(MOTIFS))
        # The motif fills the middle.
        images = np.stack([draw(MOTIFS[label], rng)[8:40, 8:40] for label in labels])
        parts += [np.round(images * WARM).astype("uint8"), labels.astype("int32")]
    return Arrays(*parts)


@functools.lru_cache(maxsize=4)
def arrays(name: str, seed: int) -> Arrays:
    """Returns the images of a set: `digits`, `fashion_mnist` or `generated`."""
    return _generated(seed) if name == "generated" else _chosen(name, seed)
