"""The papers' augmentations, one class each.

An augmentation changes images by random numbers that it is given, `draws` of them an image,
uniform in [0, 1): a function of (seed, epoch, place in the epoch), so a cut run goes on with the
same images on any number of replicas.
"""

from dataclasses import dataclass
from typing import ClassVar

import tensorflow as tf


@dataclass(frozen=True)
class AffineDistortion:
    """Shifts, scales, squeezes and shears, as LeCun et al. 1998 distort MNIST (section III-C).

    Squeezing makes an image narrower and higher, or wider and lower. The paper names these four
    and gives no amounts: those here are ours. Bilinear, about the middle of the image.

    Attributes:
        shift: Pixels at most, along both axes.
        scale: Logarithm of the size at most.
        squeeze: Logarithm of width and of 1 / height at most.
        shear: Horizontal pixels a row at most.
        fill: Value of what comes in from outside.
    """

    shift: float = 2.0
    scale: float = 0.1
    squeeze: float = 0.1
    shear: float = 0.15
    fill: float = -0.1

    draws: ClassVar[int] = 5

    def __call__(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Distorts each image in its own way.

        Args:
            images: float32, shape (count, height, width, channels).
            draws: Shape (count, 5), values 0 to 1.

        Returns:
            Images of the same shape.
        """
        amounts = [self.shift, self.shift, self.scale, self.squeeze, self.shear]
        right, down, scale, squeeze, shear = tf.unstack((2 * draws - 1) * amounts, axis=1)
        # Where in the image each place of the result comes from.
        across = tf.exp(-scale - squeeze)
        along = tf.exp(-scale + squeeze)
        height, width = images.shape[1:3]
        x, y = (width - 1) / 2, (height - 1) / 2
        zero = tf.zeros_like(right)
        rows = [
            across,
            shear,
            x - across * x - shear * y - right,
            zero,
            along,
            y - along * y - down,
        ]
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=tf.stack([*rows, zero, zero], axis=1),
            output_shape=(height, width),
            fill_value=self.fill,
            interpolation="BILINEAR",
            fill_mode="CONSTANT",
        )


@dataclass(frozen=True)
class CropFlip:
    """Pads, crops to the old size at a random place, and flips every second image.

    He et al. 2015, section 4.2: 4 pixels on each side of CIFAR's 32x32; left becomes right.

    Attributes:
        padding: Pixels on each side.
        fill: Value of what comes in from outside.
    """

    padding: int = 4
    fill: float = 0.0

    draws: ClassVar[int] = 3

    def __call__(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Crops and flips each image in its own way.

        Args:
            images: float32, shape (count, height, width, channels).
            draws: Shape (count, 3), values 0 to 1, 1 excluded.

        Returns:
            Images of the same shape.
        """
        right, down = tf.unstack(
            tf.floor(draws[:, :2] * (2 * self.padding + 1)) - self.padding, axis=1
        )
        flips = draws[:, 2] < 0.5
        height, width = images.shape[1:3]
        one, zero = tf.ones_like(right), tf.zeros_like(right)
        across = tf.where(flips, -one, one)
        start = tf.where(flips, width - 1 - right, right)
        # Whole pixels, so the nearest one is the one.
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=tf.stack([across, zero, start, zero, one, down, zero, zero], axis=1),
            output_shape=(height, width),
            fill_value=self.fill,
            interpolation="NEAREST",
            fill_mode="CONSTANT",
        )


Augmentation = AffineDistortion | CropFlip
