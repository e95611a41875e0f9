"""Random shifts of an image's colour."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from keras_classics.backend import tf

# Standard deviations of ImageNet's pixels, 0..255, along their principal directions, as
# cuda-convnet2 stores them with its mean image.
DEVIATIONS = (121.78, 37.09, 19.72)
# The directions, one per column, over red, green and blue, and the variances along them of pixels
# in 0..1, as fb.resnet.torch publishes them and most code has copied.
DIRECTIONS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)
VARIANCES = (0.2175, 0.0188, 0.0045)


@dataclass(frozen=True)
class PCAColour:
    """Shifts an image's colour along the principal directions of ImageNet's pixels.

    Krizhevsky et al. 2012, section 4.1: adds sum over i of direction_i alpha_i lambda_i to every
    pixel, alpha_i normal with deviation 0.1, drawn once per image. There are three readings of
    lambda_i. One deviation along the first direction is, in levels of 0..255:

    - `"code"`: the standard deviation, as in the authors' program; 12.2 levels. The program then
      divides the image by 1.1, which is left out here.
    - `"torch"`: the variance of pixels in 0..1, applied to pixels in 0..1; 5.5 levels.
    - `"paper"`: to the letter, the eigenvalue of the covariance, a variance, of pixels in 0..255;
      1,483 levels, which leaves nothing of an image.

    Attributes:
        deviation: Standard deviation of alpha.
        scale: The reading; the default is the one that the paper's figures come from.
        until: Epochs after which the shift ends, or None for never.
    """

    deviation: float = 0.1
    scale: Literal["code", "torch", "paper"] = "code"
    until: int | None = None

    num_random: ClassVar[int] = 3

    def __call__(self, random: "tf.Tensor", epoch: "tf.Tensor") -> "tf.Tensor":
        """Returns what is added to red, green and blue of each image.

        Args:
            random: Shape (..., 3), values 0 to 1, 1 excluded.
            epoch: Number of finished epochs, a scalar.

        Returns:
            float32 of the same shape, in levels of 0..255.
        """
        lambdas = {
            "code": DEVIATIONS,
            "torch": tuple(255 * variance for variance in VARIANCES),
            "paper": tuple(deviation**2 for deviation in DEVIATIONS),
        }[self.scale]
        # Half a step of the random numbers' grid away from 0, where the normal distribution's
        # inverse is infinite.
        alphas = self.deviation * tf.math.ndtri(random + 2.0**-24)
        shifts = tf.linalg.matvec(tf.constant(DIRECTIONS), alphas * tf.constant(lambdas))
        if self.until is None:
            return shifts
        return tf.where(epoch < self.until, shifts, 0.0)


@dataclass(frozen=True)
class GreyShift:
    """Makes an image brighter or darker: the counterpart of `PCAColour` for grey images.

    Ours after Krizhevsky et al. 2012, section 4.1. Adds alpha times the standard deviation of the
    pixels to every pixel of an image, in all channels.

    Attributes:
        pixels: Standard deviation of the pixels, in levels of 0..255.
        deviation: Standard deviation of alpha.
    """

    pixels: float
    deviation: float = 0.1

    num_random: ClassVar[int] = 1

    def __call__(self, random: "tf.Tensor", epoch: "tf.Tensor") -> "tf.Tensor":
        """Returns what is added to each channel of each image, in levels of 0..255.

        Args:
            random: Shape (..., 1), values 0 to 1, 1 excluded.
            epoch: Number of finished epochs; it has no effect.

        Returns:
            float32 of the same shape.
        """
        return self.pixels * self.deviation * tf.math.ndtri(random + 2.0**-24)
