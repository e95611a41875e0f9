"""The held-out training images by which a probe chooses its setting."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from keras_classics.data.parts import VALIDATION_SHARE, is_held_out
from keras_classics.errors import UserError
from keras_classics.evaluation.finite import check_finite


def held_out_images(names: Sequence[str], share: float = VALIDATION_SHARE) -> np.ndarray:
    """Returns which training images are held out to choose a setting, bool, shape (count,).

    The last three parts of a name decide: part, class and file. So the choice is the same wherever
    the images are, and stays when images are added.

    Args:
        names: Name of each training image.
        share: The fraction to hold out.
    """
    short = ("/".join(Path(name).parts[-3:]) for name in names)
    return np.array([is_held_out(name, share) for name in short], bool)


def checked_training(
    features: ArrayLike, labels: ArrayLike, held_out: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns features, labels and held-out images as arrays, after checking them.

    Raises:
        UserError: If the shapes do not match, features are not finite, there is one class alone, or
            the held-out images leave nothing to choose by.
    """
    features, labels, held = np.asarray(features), np.asarray(labels), np.asarray(held_out, bool)
    count = len(features)
    if features.ndim != 2 or labels.shape != (count,) or held.shape != (count,):
        raise UserError(
            "Features must have the shape (images, channels), and each image one label. Received: "
            f"shapes {features.shape}, {labels.shape} of labels and {held.shape} of held_out."
        )
    check_finite(features, "Features")
    classes = len(np.unique(labels))
    if classes < 2:
        raise UserError(
            f"A classifier needs training images of two classes. Received: {count:,} of {classes}."
        )
    if not held.any() or len(np.unique(labels[~held])) < 2:
        raise UserError(
            "A setting is chosen on held-out training images, which must leave two classes to "
            f"train on. Received: {held.sum():,} of {count:,} held out. Use more images."
        )
    return features, labels, held
