"""From uint8 images to what a network takes: the same layer trains, evaluates and is exported.

Each layer works in two steps, which are there on their own too: `resize` brings images to one size,
`normalize` does the arithmetic.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_classics.errors import UserError

# Sizes are brought to one by TensorFlow's operations alone. On Keras's other backends networks and
# weights do without it.
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
else:
    tf = None


@keras.saving.register_keras_serializable("keras_classics")
class CanvasPreprocessing(keras.layers.Layer):
    """Centres an image on a square canvas of background, as MNIST is fed to LeNet-5.

    The image is scaled, its shape kept, until its longer side is that of the box inside the
    canvas's border; one of that size is taken as it is. Then 0 becomes `background` and 255
    `foreground`. LeCun et al. 1998, section II-B: 28x28 in 32x32, -0.1 and 1.175, which makes the
    mean about 0 and the variance about 1. Runs on TensorFlow.

    Args:
        size: Side of the canvas.
        border: Pixels of background that stay free on each side at the least.
        channels: 1 or 3; where the image has the other, colour becomes grey or grey is copied.
        background: Value of pixel 0 and of the canvas.
        foreground: Value of pixel 255.

    Shapes: uint8 (batch, height, width, 1 or 3) to float32 (batch, size, size, channels).
    """

    def __init__(
        self,
        size: int = 32,
        border: int = 2,
        channels: int = 1,
        background: float = -0.1,
        foreground: float = 1.175,
        **kwargs,
    ):
        super().__init__(trainable=False, dtype="float32", autocast=False, **kwargs)
        self.size = size
        self.border = border
        self.channels = channels
        self.background = background
        self.foreground = foreground

    def resize(self, images: "tf.Tensor") -> "tf.Tensor":
        """Scales images into the box, and centres them in it.

        Args:
            images: Shape (batch, height, width, 1 or 3), values 0..255.

        Returns:
            float32, same range, (batch, box, box, channels), box = size - 2 border.
        """
        images = with_channels(images, self.channels)
        box = self.size - 2 * self.border
        if images.shape[1] == images.shape[2] == box:
            return tf.cast(images, tf.float32)
        sides = tf.shape(images)[1:3]
        scale = box / tf.cast(tf.reduce_max(sides), tf.float32)
        scaled = tf.cast(sides, tf.float32) * scale
        sides = tf.maximum(tf.cast(tf.round(scaled), tf.int32), 1)
        images = tf.image.resize(tf.cast(images, tf.float32), sides, antialias=True)
        before, after = (box - sides) // 2, (box - sides + 1) // 2
        images = tf.pad(images, [[0, 0], [before[0], after[0]], [before[1], after[1]], [0, 0]])
        return tf.ensure_shape(images, (None, box, box, self.channels))

    def normalize(self, images: Any) -> Any:
        """Maps 0..255 to background..foreground."""
        return images * ((self.foreground - self.background) / 255.0) + self.background

    def call(self, images):
        images = self.resize(images)
        images = tf.pad(images, [[0, 0], [self.border] * 2, [self.border] * 2, [0, 0]])
        return self.normalize(images)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.size, self.size, self.channels)

    def get_config(self):
        return {
            "name": self.name,
            "size": self.size,
            "border": self.border,
            "channels": self.channels,
            "background": self.background,
            "foreground": self.foreground,
        }


@keras.saving.register_keras_serializable("keras_classics")
class ImagePreprocessing(keras.layers.Layer):
    """Scales an image's short side, takes its middle square, and normalises each channel.

    Scaling is bilinear and looks at all pixels that it merges (antialias), as Pillow does it for
    torchvision. Values stay fractions where Pillow rounds them to whole numbers, twice: most
    differ by less than 1 of 255, all by less than 2. Runs on TensorFlow.

    Args:
        resize: What the short side becomes, in pixels.
        crop: Side of the square; at most `resize`.
        mean: What is subtracted from each channel of 0..255, in the order that the network takes;
            or from each pixel of the square, nested as (crop, crop, 3).
        std: What it is divided by then.
        bgr: Whether the network takes blue first; images come with red first.

    Shapes: uint8 (batch, height, width, 1 or 3) to float32 (batch, crop, crop, 3).
    """

    def __init__(
        self,
        resize: int = 256,
        crop: int = 224,
        mean: Sequence = (0.0, 0.0, 0.0),
        std: tuple[float, float, float] = (1.0, 1.0, 1.0),
        bgr: bool = False,
        **kwargs,
    ):
        super().__init__(trainable=False, dtype="float32", autocast=False, **kwargs)
        if crop > resize:
            raise UserError(f"crop must be at most resize, {resize}. Received: {crop}.")
        self.short_side = resize
        self.crop = crop
        self.mean = tuple(mean)
        if np.shape(self.mean) not in ((3,), (crop, crop, 3)):
            raise UserError(
                f"mean must hold 3 numbers, or {crop} x {crop} x 3. "
                f"Received: shape {np.shape(self.mean)}."
            )
        self.std = tuple(std)
        self.bgr = bgr

    def resize(self, images: "tf.Tensor") -> "tf.Tensor":
        """Scales images and takes the square in the middle.

        Args:
            images: Shape (batch, height, width, 1 or 3), values 0..255.

        Returns:
            float32, same range, (batch, crop, crop, 3).
        """
        images = scaled(with_channels(images, 3), self.short_side)
        # Halves go to the even side, as in torchvision.
        free = tf.shape(images)[1:3] - self.crop
        top, left = tf.unstack(tf.cast(tf.round(free / 2), tf.int32))
        return tf.image.crop_to_bounding_box(images, top, left, self.crop, self.crop)

    def normalize(self, images: Any) -> Any:
        """Does the arithmetic alone, on images of any size.

        Args:
            images: Array or tensor of shape (..., 3), red first, values 0..255.

        Returns:
            What the network takes, of the same shape; an array for an array.
        """
        if isinstance(images, np.ndarray):
            images = images.astype("float32")
        else:
            images = keras.ops.cast(images, "float32")
        if self.bgr:
            images = images[..., ::-1]
        return (images - np.array(self.mean, "float32")) / np.array(self.std, "float32")

    def call(self, images):
        return self.normalize(self.resize(images))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.crop, self.crop, 3)

    def get_config(self):
        return {
            "name": self.name,
            "resize": self.short_side,
            "crop": self.crop,
            "mean": self.mean,
            "std": self.std,
            "bgr": self.bgr,
        }


def scaled(
    images: "tf.Tensor", short_side: int, method: str = "bilinear", antialias: bool = True
) -> "tf.Tensor":
    """Scales images, their shape kept, until their short side is that long.

    Args:
        images: Shape (batch, height, width, channels).
        short_side: Pixels. Of the long side's, a fraction is cut off, as in torchvision.
        method: One that `tf.image.resize` knows.
        antialias: Whether shrinking looks at all pixels that it merges.

    Returns:
        float32, same range, (batch, height, width, channels).
    """
    sides = tf.shape(images)[1:3]
    sides = short_side * sides // tf.reduce_min(sides)
    return tf.image.resize(tf.cast(images, tf.float32), sides, method, antialias=antialias)


def with_channels(images: "tf.Tensor", channels: int) -> "tf.Tensor":
    """Returns images with 1 or 3 channels, colour made grey or grey copied where they differ.

    Raises:
        UserError: Keras runs on another backend than TensorFlow.
    """
    if tf is None:
        raise UserError(
            "Images are brought to one size by TensorFlow. "
            f"Received: KERAS_BACKEND={keras.backend.backend()}. Take tensorflow."
        )
    if images.shape[-1] == channels:
        return images
    if channels == 1:
        return tf.image.rgb_to_grayscale(images)
    return tf.image.grayscale_to_rgb(images)


# By the name that recipes, results and manifests know them by.
PREPROCESSINGS = {"canvas": CanvasPreprocessing, "image": ImagePreprocessing}
