"""Which part of an image training sees: the papers' random crops, one class each."""

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

from keras_classics.backend import tf
from keras_classics.data.colour import PCAColour
from keras_classics.errors import UserError

PCA_COLOUR = PCAColour()


class RandomCrop(Protocol):
    """A random part of an image, decoded from its file by `crops_on_decode.decode_crop`.

    Attributes:
        size: Side of the output image.
        colour: Shift of the colour, or None.
        num_random: Random numbers per image that the crop takes. The third decides whether the
            output is mirrored. The random numbers of the colour come after them.
    """

    size: int
    colour: PCAColour | None
    num_random: int

    def box(self, height: "tf.Tensor", width: "tf.Tensor", random: "tf.Tensor") -> "tf.Tensor":
        """Returns top, left, height and width of the part, float32, in the image's pixels."""


@dataclass(frozen=True)
class AlexNetCrop:
    """A random square of the central 256x256, mirrored at random, its colour shifted.

    Krizhevsky et al. 2012, section 4.1: the short side becomes 256, the central square is kept, and
    the crop is any square of `size` inside it. The paper counts 32 x 32 positions and mirror
    images; its program draws from 33 x 33. So does this class, for each image, where the program
    draws once for 32 images.

    Attributes:
        size: Side of the output image.
        whole: Side of the central square.
        colour: Shift of the colour, or None.
    """

    size: int = 224
    whole: int = 256
    colour: PCAColour | None = PCA_COLOUR

    num_random: ClassVar[int] = 3

    def __post_init__(self):
        if self.size > self.whole:
            raise UserError(
                f"AlexNetCrop takes size <= whole. Received: size={self.size}, whole={self.whole}."
            )

    def box(self, height: "tf.Tensor", width: "tf.Tensor", random: "tf.Tensor") -> "tf.Tensor":
        """Returns top, left, height and width of the part. See `RandomCrop`."""
        short = tf.minimum(height, width)
        offsets = tf.floor(random[:2] * (self.whole - self.size + 1)) / self.whole * short
        side = self.size / self.whole * short
        return tf.stack(
            [(height - short) / 2 + offsets[0], (width - short) / 2 + offsets[1], side, side]
        )


@dataclass(frozen=True)
class ScaleJitter:
    """Resizes the short side to a random length; crops a random square, mirrored at random.

    Simonyan and Zisserman 2015, section 3.1: S from [256, 512], or fixed at 256 or 384. He et al.
    2015, section 3.4: from [256, 480].

    Attributes:
        low: Shortest length of the short side.
        high: Longest; the two may be equal.
        size: Side of the output image.
        colour: Shift of the colour, or None.
    """

    low: int
    high: int
    size: int = 224
    colour: PCAColour | None = PCA_COLOUR

    num_random: ClassVar[int] = 4

    def __post_init__(self):
        if not self.size <= self.low <= self.high:
            raise UserError(
                "ScaleJitter takes size <= low <= high. "
                f"Received: size={self.size}, low={self.low}, high={self.high}."
            )

    def box(self, height: "tf.Tensor", width: "tf.Tensor", random: "tf.Tensor") -> "tf.Tensor":
        """Returns top, left, height and width of the part. See `RandomCrop`."""
        length = self.low + tf.floor(random[3] * (self.high - self.low + 1))
        side = self.size / length * tf.minimum(height, width)
        return tf.stack([random[0] * (height - side), random[1] * (width - side), side, side])


@dataclass(frozen=True)
class RandomResizedCrop:
    """A part of random size and shape, resized to a square, mirrored at random.

    Szegedy et al. 2015, section 6, as torchvision trains: ten attempts at an area and an aspect
    ratio whose logarithm is uniform. If none fits into the image: its largest central part whose
    aspect ratio is within bounds.

    Attributes:
        size: Side of the output image.
        area: Smallest and largest fraction of the image's area.
        shape: Smallest and largest width over height.
        colour: Shift of the colour, or None.
    """

    size: int = 224
    area: tuple[float, float] = (0.08, 1.0)
    shape: tuple[float, float] = (3 / 4, 4 / 3)
    colour: PCAColour | None = None

    tries: ClassVar[int] = 10
    num_random: ClassVar[int] = 3 + 2 * tries

    def box(self, height: "tf.Tensor", width: "tf.Tensor", random: "tf.Tensor") -> "tf.Tensor":
        """Returns top, left, height and width of the part. See `RandomCrop`."""
        low, high = self.shape
        areas, shapes = tf.unstack(tf.reshape(random[3 : self.num_random], (2, self.tries)))
        areas = (self.area[0] + areas * (self.area[1] - self.area[0])) * height * width
        shapes = tf.exp(math.log(low) + shapes * math.log(high / low))
        # The fallback comes after the attempts.
        bounded = tf.clip_by_value(width / height, low, high)
        most = tf.minimum(height, width / bounded)
        heights = tf.concat([tf.sqrt(areas / shapes), [most]], 0)
        widths = tf.concat([tf.sqrt(areas * shapes), [most * bounded]], 0)
        fits = (heights <= height) & (widths <= width)
        chosen = tf.argmax(tf.concat([fits[:-1], [True]], 0))
        sides = tf.minimum(tf.stack([heights[chosen], widths[chosen]]), [height, width])
        free = [height, width] - sides
        offsets = tf.where(chosen == self.tries, 0.5, random[:2]) * free
        return tf.concat([offsets, sides], 0)


RANDOM_CROPS = (AlexNetCrop, ScaleJitter, RandomResizedCrop)


def num_random_of(crop: RandomCrop) -> int:
    """Returns how many random numbers a crop and its colour shift take per image."""
    return crop.num_random + (0 if crop.colour is None else crop.colour.num_random)
