"""Comparing what was exported with the model that it came from."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from keras_classics.errors import VerificationError

FLOAT32_BOUND = 1e-4
# As many test images as programs compare on.
COMPARED_IMAGES = 256


@dataclass(frozen=True)
class Agreement:
    """How well an exported network agrees with its model.

    Attributes:
        images: Number of images compared.
        max_difference: Largest difference of a probability, relative to the largest probability
            of its image.
        same_prediction: Share of images with the same most probable class.
    """

    images: int
    max_difference: float
    same_prediction: float


def agreement(
    model: keras.Model,
    preprocessing: keras.layers.Layer,
    images: np.ndarray | None,
    exported: Callable[[np.ndarray], np.ndarray],
) -> Agreement:
    """Compares an exported float32 network with its model.

    Args:
        model: The model.
        preprocessing: The layer from uint8 images to what the model takes.
        images: uint8, shape (count, height, width, channels), or None for 32 images of noise.
        exported: From uint8 images to probabilities of shape (count, classes).

    Raises:
        VerificationError: A probability differs by more than 1e-4 of the largest of its image, or
            a most probable class does.
    """
    if images is None:
        shape = (32, *model.input_shape[1:])
        images = np.random.default_rng(0).integers(0, 256, shape, dtype="uint8")
    expected = np.asarray(model(preprocessing(tf.constant(images)), training=False))
    got = exported(images)
    difference = np.abs(got - expected).max(axis=1) / expected.max(axis=1)
    same = got.argmax(axis=1) == expected.argmax(axis=1)
    result = Agreement(len(images), float(difference.max()), float(same.mean()))
    if not (result.max_difference <= FLOAT32_BOUND and same.all()):
        raise VerificationError(
            f"The export disagrees with {model.name} on {len(images)} images: largest relative "
            f"difference {result.max_difference:.2g} (allowed {FLOAT32_BOUND:g}), same prediction "
            f"on {100 * result.same_prediction:.2f} %. Nothing was left in place."
        )
    return result
