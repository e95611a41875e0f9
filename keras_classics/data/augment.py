"""Augmentation of images in memory: the papers', one class each.

An augmentation changes images by random numbers that it receives: `num_random` per image, uniform
in [0, 1), a function of (seed, epoch, position in the epoch). So an interrupted run resumes with
the same images, on any number of replicas.

The classes here change images of one size, preprocessed as the network takes them. Those of
`random_crops` choose the part of an image file that is decoded.
"""

from dataclasses import dataclass
from typing import ClassVar

from keras_classics.backend import tf
from keras_classics.data.colour import GreyShift, PCAColour
from keras_classics.data.random_crops import AlexNetCrop, RandomResizedCrop, ScaleJitter
from keras_classics.errors import UserError


@dataclass(frozen=True)
class AffineDistortion:
    """Shifts, scales, squeezes and shears, as LeCun et al. 1998 distort MNIST (section III-C).

    Squeezing makes an image narrower and higher, or wider and lower. The paper names these four
    transformations and gives no amounts: those here are ours. Bilinear, about the image's centre.

    Attributes:
        shift: Maximum shift in pixels, along both axes.
        scale: Maximum logarithm of the size.
        squeeze: Maximum logarithm of width and of 1 / height.
        shear: Maximum horizontal shift per row, in pixels.
        fill: Value of pixels from outside the image.
    """

    shift: float = 2.0
    scale: float = 0.1
    squeeze: float = 0.1
    shear: float = 0.15
    fill: float = -0.1

    num_random: ClassVar[int] = 5

    def __call__(self, images: "tf.Tensor", random: "tf.Tensor") -> "tf.Tensor":
        """Distorts each image by its own random numbers.

        Args:
            images: float32, shape (count, height, width, channels).
            random: Shape (count, 5), values 0 to 1.

        Returns:
            Images of the same shape.
        """
        amounts = [self.shift, self.shift, self.scale, self.squeeze, self.shear]
        right, down, scale, squeeze, shear = tf.unstack((2 * random - 1) * amounts, axis=1)
        # Maps each position of the output to a position of the image.
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
    """Pads, crops to the old size at a random position, and flips every second image.

    He et al. 2015, section 4.2: 4 pixels on each side of CIFAR's 32x32; left becomes right.

    Attributes:
        padding: Pixels on each side.
        fill: Value of the padding.
    """

    padding: int = 4
    fill: float = 0.0

    num_random: ClassVar[int] = 3

    def __call__(self, images: "tf.Tensor", random: "tf.Tensor") -> "tf.Tensor":
        """Crops and flips each image by its own random numbers.

        Args:
            images: float32, shape (count, height, width, channels).
            random: Shape (count, 3), values 0 to 1, 1 excluded.

        Returns:
            Images of the same shape.
        """
        right, down = tf.unstack(
            tf.floor(random[:, :2] * (2 * self.padding + 1)) - self.padding, axis=1
        )
        flips = random[:, 2] < 0.5
        height, width = images.shape[1:3]
        one, zero = tf.ones_like(right), tf.zeros_like(right)
        across = tf.where(flips, -one, one)
        start = tf.where(flips, width - 1 - right, right)
        # Shifts are whole pixels, so the nearest pixel is exact.
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=tf.stack([across, zero, start, zero, one, down, zero, zero], axis=1),
            output_shape=(height, width),
            fill_value=self.fill,
            interpolation="NEAREST",
            fill_mode="CONSTANT",
        )


@dataclass(frozen=True)
class WithColour:
    """An augmentation of images in memory, followed by a shift of their colour.

    The images are in 0..255, or that minus a mean: the shift is in these levels.

    Attributes:
        first: The augmentation before the shift.
        colour: The shift, which lasts until the end of the run.

    Raises:
        UserError: If the shift ends during the run.
    """

    first: AffineDistortion | CropFlip
    colour: PCAColour | GreyShift

    def __post_init__(self):
        if getattr(self.colour, "until", None) is not None:
            raise UserError(
                "until is not supported for in-memory images. "
                f"Received: until={self.colour.until}. Use until=None."
            )

    @property
    def num_random(self) -> int:
        """Random numbers per image."""
        return self.first.num_random + self.colour.num_random

    def __call__(self, images: "tf.Tensor", random: "tf.Tensor") -> "tf.Tensor":
        """Changes each image by its own random numbers.

        Args:
            images: float32, shape (count, height, width, channels).
            random: Shape (count, `num_random`), values 0 to 1, 1 excluded.

        Returns:
            Images of the same shape.
        """
        images = self.first(images, random[:, : self.first.num_random])
        shifts = self.colour(random[:, self.first.num_random :], tf.constant(0, tf.int64))
        return images + shifts[:, tf.newaxis, tf.newaxis]


Augmentation = (
    AffineDistortion | CropFlip | WithColour | AlexNetCrop | ScaleJitter | RandomResizedCrop
)
