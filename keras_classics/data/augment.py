"""The papers' augmentations, one class each.

An augmentation changes images by random numbers that it is given, `num_random` of them an image,
uniform in [0, 1): a function of (seed, epoch, place in the epoch), so a cut run goes on with the
same images on any number of replicas.

There are two kinds. The first changes images of one size that lie in memory, as the network takes
them. The second, a `RandomCrop`, cuts its part out of a picture file while decoding it.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import tensorflow as tf

from keras_classics.data import image_files
from keras_classics.errors import UserError


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

    num_random: ClassVar[int] = 5

    def __call__(self, images: tf.Tensor, random: tf.Tensor) -> tf.Tensor:
        """Distorts each image in its own way.

        Args:
            images: float32, shape (count, height, width, channels).
            random: Shape (count, 5), values 0 to 1.

        Returns:
            Images of the same shape.
        """
        amounts = [self.shift, self.shift, self.scale, self.squeeze, self.shear]
        right, down, scale, squeeze, shear = tf.unstack((2 * random - 1) * amounts, axis=1)
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

    num_random: ClassVar[int] = 3

    def __call__(self, images: tf.Tensor, random: tf.Tensor) -> tf.Tensor:
        """Crops and flips each image in its own way.

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
        # Whole pixels, so the nearest one is the one.
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=tf.stack([across, zero, start, zero, one, down, zero, zero], axis=1),
            output_shape=(height, width),
            fill_value=self.fill,
            interpolation="NEAREST",
            fill_mode="CONSTANT",
        )


# Standard deviations of ImageNet's pixels, 0..255, along their principal directions, as
# cuda-convnet2 stores them with its mean image.
DEVIATIONS = (121.78, 37.09, 19.72)
# The directions, a column each, over red, green and blue, and the variances along them of pixels in
# 0..1, as fb.resnet.torch publishes them and most code has copied.
DIRECTIONS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)
VARIANCES = (0.2175, 0.0188, 0.0045)


@dataclass(frozen=True)
class PCAColour:
    """Shifts an image's colour along the principal directions of ImageNet's pixels.

    Krizhevsky et al. 2012, section 4.1: to every pixel, sum over i of direction_i alpha_i
    lambda_i, alpha_i normal with deviation 0.1, drawn once an image. What lambda_i is, there are
    three readings, and one deviation along the first direction is by each, of 255 levels:

    - `"code"`: the standard deviation, as the authors' program has it; 12.2 levels. It then
      divides the image by 1.1, which is left out here.
    - `"torch"`: the variance of pixels in 0..1, then on pixels in 0..1; 5.5 levels.
    - `"paper"`: to the letter, the eigenvalue of the covariance, a variance, of pixels in 0..255;
      1,483 levels, which leaves nothing of an image.

    Attributes:
        deviation: Standard deviation of alpha.
        scale: The reading; the default is the one that the paper's figures come from.
        until: Passes after which the shift ends, or None for never.
    """

    deviation: float = 0.1
    scale: Literal["code", "torch", "paper"] = "code"
    until: int | None = None

    num_random: ClassVar[int] = 3

    def __call__(self, random: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        """Returns what is added to red, green and blue of each image.

        Args:
            random: Shape (..., 3), values 0 to 1, 1 excluded.
            epoch: Passes done, a scalar.

        Returns:
            float32 of the same shape, in levels of 255.
        """
        lambdas = {
            "code": DEVIATIONS,
            "torch": tuple(255 * variance for variance in VARIANCES),
            "paper": tuple(deviation**2 for deviation in DEVIATIONS),
        }[self.scale]
        # Half a step of the numbers' grid away from 0, where the normal's inverse is infinite.
        alphas = self.deviation * tf.math.ndtri(random + 2.0**-24)
        shifts = tf.linalg.matvec(tf.constant(DIRECTIONS), alphas * tf.constant(lambdas))
        if self.until is None:
            return shifts
        return tf.where(epoch < self.until, shifts, 0.0)


@dataclass(frozen=True)
class GreyShift:
    """Makes an image brighter or darker: what `PCAColour` is of grey pixels, which have one value.

    Ours after Krizhevsky et al. 2012, section 4.1. To every pixel of an image, in all of its
    channels, alpha times the standard deviation of the pixels is added.

    Attributes:
        pixels: Standard deviation of the pixels, in levels of 255.
        deviation: Standard deviation of alpha.
    """

    pixels: float
    deviation: float = 0.1

    num_random: ClassVar[int] = 1

    def __call__(self, random: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        """Returns what is added to each channel of each image, in levels of 255.

        Args:
            random: Shape (..., 1), values 0 to 1, 1 excluded.
            epoch: Passes done, which change nothing.

        Returns:
            float32 of the same shape.
        """
        return self.pixels * self.deviation * tf.math.ndtri(random + 2.0**-24)


@dataclass(frozen=True)
class WithColour:
    """An augmentation of images in memory, and after it a shift of their colour.

    The images are of 0..255, or that minus a mean: the shift is in these levels.

    Attributes:
        first: What comes before.
        colour: The shift, which goes on to the end of the run.

    Raises:
        UserError: The shift is to end.
    """

    first: AffineDistortion | CropFlip
    colour: PCAColour | GreyShift

    def __post_init__(self):
        if getattr(self.colour, "until", None) is not None:
            raise UserError(
                "Of images in memory the colour is shifted to the end. "
                f"Received: until={self.colour.until}. Take until=None."
            )

    @property
    def num_random(self) -> int:
        """Random numbers an image."""
        return self.first.num_random + self.colour.num_random

    def __call__(self, images: tf.Tensor, random: tf.Tensor) -> tf.Tensor:
        """Changes each image in its own way.

        Args:
            images: float32, shape (count, height, width, channels).
            random: Shape (count, `num_random`), values 0 to 1, 1 excluded.

        Returns:
            Images of the same shape.
        """
        images = self.first(images, random[:, : self.first.num_random])
        shifts = self.colour(random[:, self.first.num_random :], tf.constant(0, tf.int64))
        return images + shifts[:, tf.newaxis, tf.newaxis]


class RandomCrop(Protocol):
    """An augmentation that cuts its part out of a picture file while decoding it.

    Attributes:
        size: Side of what comes out.
        colour: Shift of the colour, or None.
        num_random: Random numbers an image that the part takes; those of the colour come after.
    """

    size: int
    colour: PCAColour | None
    num_random: int

    def box(self, height: tf.Tensor, width: tf.Tensor, random: tf.Tensor) -> tf.Tensor:
        """Returns top, left, height and width of the part, float32, in the picture's pixels."""


@dataclass(frozen=True)
class AlexNetCrop:
    """A random square of the central 256x256, mirrored at random, its colour shifted.

    Krizhevsky et al. 2012, section 4.1: the short side becomes 256, the middle square is kept, and
    from it every square of `size` may come. The paper counts 32 x 32 places and mirror images;
    its program draws from 33 x 33, and so does this, for each image, where the program draws
    once for 32 images.

    Attributes:
        size: Side of what comes out.
        whole: Side of the middle square.
        colour: Shift of the colour, or None.
    """

    size: int = 224
    whole: int = 256
    colour: PCAColour | None = PCAColour()

    num_random: ClassVar[int] = 3

    def __post_init__(self):
        if self.size > self.whole:
            raise UserError(
                f"AlexNetCrop takes size <= whole. Received: size={self.size}, whole={self.whole}."
            )

    def box(self, height: tf.Tensor, width: tf.Tensor, random: tf.Tensor) -> tf.Tensor:
        """Returns top, left, height and width of the part. See `RandomCrop`."""
        short = tf.minimum(height, width)
        places = tf.floor(random[:2] * (self.whole - self.size + 1)) / self.whole * short
        side = self.size / self.whole * short
        return tf.stack(
            [(height - short) / 2 + places[0], (width - short) / 2 + places[1], side, side]
        )


@dataclass(frozen=True)
class ScaleJitter:
    """The short side becomes a random length; a random square of that, mirrored at random.

    Simonyan and Zisserman 2015, section 3.1: S from [256, 512], or fixed at 256 or 384. He et al.
    2015, section 3.4: from [256, 480].

    Attributes:
        low: Shortest length of the short side.
        high: Longest; the two may be equal.
        size: Side of what comes out.
        colour: Shift of the colour, or None.
    """

    low: int
    high: int
    size: int = 224
    colour: PCAColour | None = PCAColour()

    num_random: ClassVar[int] = 4

    def __post_init__(self):
        if not self.size <= self.low <= self.high:
            raise UserError(
                "ScaleJitter takes size <= low <= high. "
                f"Received: size={self.size}, low={self.low}, high={self.high}."
            )

    def box(self, height: tf.Tensor, width: tf.Tensor, random: tf.Tensor) -> tf.Tensor:
        """Returns top, left, height and width of the part. See `RandomCrop`."""
        length = self.low + tf.floor(random[3] * (self.high - self.low + 1))
        side = self.size / length * tf.minimum(height, width)
        return tf.stack([random[0] * (height - side), random[1] * (width - side), side, side])


@dataclass(frozen=True)
class RandomResizedCrop:
    """A part of random size and shape, brought to a square, mirrored at random.

    Szegedy et al. 2015, section 6, as torchvision trains: ten tries of an area and a shape whose
    logarithm is uniform; where none fits into the picture, its largest part of a shape within
    bounds, in the middle.

    Attributes:
        size: Side of what comes out.
        area: Smallest and largest share of the picture's area.
        shape: Smallest and largest width over height.
        colour: Shift of the colour, or None.
    """

    size: int = 224
    area: tuple[float, float] = (0.08, 1.0)
    shape: tuple[float, float] = (3 / 4, 4 / 3)
    colour: PCAColour | None = None

    tries: ClassVar[int] = 10
    num_random: ClassVar[int] = 3 + 2 * tries

    def box(self, height: tf.Tensor, width: tf.Tensor, random: tf.Tensor) -> tf.Tensor:
        """Returns top, left, height and width of the part. See `RandomCrop`."""
        low, high = self.shape
        areas, shapes = tf.unstack(tf.reshape(random[3 : self.num_random], (2, self.tries)))
        areas = (self.area[0] + areas * (self.area[1] - self.area[0])) * height * width
        shapes = tf.exp(math.log(low) + shapes * math.log(high / low))
        # Behind the tries, what is taken when none fits.
        bounded = tf.clip_by_value(width / height, low, high)
        most = tf.minimum(height, width / bounded)
        heights = tf.concat([tf.sqrt(areas / shapes), [most]], 0)
        widths = tf.concat([tf.sqrt(areas * shapes), [most * bounded]], 0)
        fits = (heights <= height) & (widths <= width)
        taken = tf.argmax(tf.concat([fits[:-1], [True]], 0))
        part = tf.minimum(tf.stack([heights[taken], widths[taken]]), [height, width])
        free = [height, width] - part
        places = tf.where(taken == self.tries, 0.5, random[:2]) * free
        return tf.concat([places, part], 0)


def decode_crop(crop: RandomCrop, encoded: tf.Tensor, random: tf.Tensor) -> tf.Tensor:
    """Decodes a picture's part and brings it to its size.

    Of a JPEG only the part is decoded, at half, a quarter or an eighth of its size where it is to
    shrink by as much; the decoder then averages over what it merges. The rest is bilinear. Of other
    formats all is decoded, and shrinking averages. The part's corners are at whole pixels, of the
    reduced picture where it is one.

    Args:
        crop: Which part. The third random number decides whether it is mirrored.
        encoded: A picture file, a scalar string.
        random: Random numbers, at least `crop.num_random` of them.

    Returns:
        uint8, shape (size, size, 3).
    """
    sides = crop.size, crop.size
    image = tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.image.resize(_crop_jpeg(crop, encoded, random), sides),
        lambda: tf.image.resize(_crop_decoded(crop, encoded, random), sides, antialias=True),
    )
    image = tf.cast(tf.round(image), tf.uint8)
    return tf.cond(random[2] < 0.5, lambda: tf.reverse(image, [1]), lambda: image)


def _crop_jpeg(crop: RandomCrop, encoded: tf.Tensor, random: tf.Tensor) -> tf.Tensor:
    sides = tf.image.extract_jpeg_shape(encoded)[:2]
    window = _window(crop, sides, random)
    shrinking = tf.reduce_min(window[2:]) // crop.size

    def decode(ratio: int) -> tf.Tensor:
        # The nearest whole pixels of the reduced picture, whose sides are rounded up.
        first = (window[:2] + ratio // 2) // ratio
        last = (window[:2] + window[2:] + ratio // 2) // ratio
        return tf.io.decode_and_crop_jpeg(
            encoded, tf.concat([first, last - first], 0), 3, ratio, dct_method="INTEGER_ACCURATE"
        )

    return tf.switch_case(
        tf.searchsorted([2, 4, 8], [shrinking], side="right")[0],
        [lambda ratio=ratio: decode(ratio) for ratio in (1, 2, 4, 8)],
    )


def _crop_decoded(crop: RandomCrop, encoded: tf.Tensor, random: tf.Tensor) -> tf.Tensor:
    image = image_files.decode(encoded)
    top, left, height, width = tf.unstack(_window(crop, tf.shape(image)[:2], random))
    return image[top : top + height, left : left + width]


def _window(crop: RandomCrop, sides: tf.Tensor, random: tf.Tensor) -> tf.Tensor:
    """The part in whole pixels: int32, top, left, height, width, at least one pixel."""
    height, width = tf.unstack(tf.cast(sides, tf.float32))
    box = crop.box(height, width, random)
    first = tf.cast(tf.round(box[:2]), tf.int32)
    first = tf.clip_by_value(first, 0, sides - 1)
    last = tf.cast(tf.round(box[:2] + box[2:]), tf.int32)
    return tf.concat([first, tf.clip_by_value(last, first + 1, sides) - first], 0)


RANDOM_CROPS = (AlexNetCrop, ScaleJitter, RandomResizedCrop)
Augmentation = (
    AffineDistortion | CropFlip | WithColour | AlexNetCrop | ScaleJitter | RandomResizedCrop
)
