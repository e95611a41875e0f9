"""The recipe of the full-length training, and its images."""

import dataclasses
from pathlib import Path

import numpy as np

from keras_classics.data.formats.idx import MNIST_FORMAT
from keras_classics.data.formats.small_images import read_format
from keras_classics.training import Recipe, recipes
from keras_classics.training.recipes.resnet import variant
from reproduce.full_length.training import Data

# The paper's, on Fashion-MNIST, with the preprocessing that the networks here have for it.
FULL_LENGTH = dataclasses.replace(
    recipes.RESNET_CIFAR10_PAPER,
    name="full_length",
    dataset="fashion_mnist",
    preprocessing=recipes.RESNET20_FASHION_MNIST.preprocessing,
    preprocessing_arguments=recipes.RESNET20_FASHION_MNIST.preprocessing_arguments,
    augmentation=recipes.RESNET20_FASHION_MNIST.augmentation,
    paper=None,
)


def recipe_of(network: str) -> Recipe:
    """Returns the recipe of a network, such as plain56."""
    kind, depth = network[:-2], network[-2:]
    return variant(FULL_LENGTH, depth, "none" if kind == "plain" else "A")


def fashion_mnist(folder: Path) -> Data:
    """Reads Fashion-MNIST from its four IDX files.

    Raises:
        UserError: A file is missing or damaged.
    """
    found = read_format(folder, [MNIST_FORMAT])
    found.check(folder, shape=(28, 28, 1), classes={"label": 10})
    train, test = (
        (columns["image"], columns["label"])
        for columns in (found.splits[part] for part in ("train", "test"))
    )
    return Data(train, test, classes=10)


def generated_images() -> Data:
    """Returns a few random images with labels, for --smoke."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (20, 28, 28, 1), dtype="uint8")
    labels = np.arange(20) % 10
    return Data((images[:12], labels[:12]), (images[12:], labels[12:]), classes=10)
