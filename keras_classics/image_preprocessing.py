"""Preprocessing layers, from uint8 images to the network's input.

The same layer is used in training, in evaluation and in exports. Each layer has two steps, which
can be called separately: `resize` brings images to one size, `normalize` maps their values. What
follows `resize` in a call is `finish`.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_classics.backend import needs_tensorflow, tf
from keras_classics.errors import UserError, unknown_name

# How `ImagePreprocessing` resizes.
INTERPOLATIONS = ("bilinear", "bicubic")


def takes_one_image(step: Callable) -> Callable:
    """Returns a step of a layer that takes one image, too, and then returns one.

    Raises:
        UserError: If the images have neither three nor four axes, or not 1 or 3 channels.
    """

    @functools.wraps(step)
    def checked(layer: keras.layers.Layer, images: Any) -> Any:
        shape = tuple(images.shape)
        if len(shape) not in (3, 4) or shape[-1] not in (1, 3):
            raise UserError(
                "Images have the shape (height, width, 1 or 3), or with a batch before it. "
                f"Received: {shape}."
            )
        return step(layer, images) if len(shape) == 4 else step(layer, images[None])[0]

    return checked


@keras.saving.register_keras_serializable("keras_classics")
class CanvasPreprocessing(keras.layers.Layer):
    """Centres an image on a square canvas of background, as MNIST images for LeNet-5.

    The image is resized, with its aspect ratio kept, until its longer side equals that of the box
    inside the border. Then 0 is mapped to `background` and 255 to `foreground`. LeCun et al. 1998,
    section II-B: 28x28 in 32x32, -0.1 and 1.175. The paper says that this makes the mean about 0
    and the variance about 1; of 5,000 digits of MNIST they are 0.03 and 0.12. Needs TensorFlow.

    Args:
        size: Side of the canvas in pixels.
        border: Smallest number of background pixels on each side.
        channels: 1 or 3. Images with the other number are converted to grey, or grey is copied.
        background: Value of pixel 0 and of the canvas.
        foreground: Value of pixel 255.

    Shapes: uint8 (batch, height, width, 1 or 3) to float32 (batch, size, size, channels). The batch
    may be left out.
    """

    def __init__(
        self,
        size: int = 32,
        border: int = 2,
        channels: int = 1,
        background: float = -0.1,
        foreground: float = 1.175,
        **kwargs: Any,
    ):
        super().__init__(trainable=False, dtype="float32", autocast=False, **kwargs)
        self.size = size
        self.border = border
        self.channels = channels
        self.background = background
        self.foreground = foreground

    @takes_one_image
    def resize(self, images: "tf.Tensor") -> "tf.Tensor":
        """Resizes images to the box inside the border, and centres them in it.

        Args:
            images: Shape (batch, height, width, 1 or 3), or one image; values 0..255.

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
        images = tf.cast(tf.image.resize(images, sides, antialias=True), tf.float32)
        before, after = (box - sides) // 2, (box - sides + 1) // 2
        images = tf.pad(images, [[0, 0], [before[0], after[0]], [before[1], after[1]], [0, 0]])
        return tf.ensure_shape(images, (None, box, box, self.channels))

    def normalize(self, images: Any) -> Any:
        """Maps 0..255 to background..foreground."""
        return images * ((self.foreground - self.background) / 255.0) + self.background

    def finish(self, images: "tf.Tensor") -> "tf.Tensor":
        """Adds the border to a batch of resized images, and maps their values."""
        images = tf.pad(images, [[0, 0], [self.border] * 2, [self.border] * 2, [0, 0]])
        return self.normalize(images)

    @takes_one_image
    def call(self, images: "tf.Tensor") -> "tf.Tensor":
        return self.finish(self.resize(images))

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*input_shape[:-3], self.size, self.size, self.channels)

    def get_config(self) -> dict[str, Any]:
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
    """Resizes an image's short side, crops the central square, and normalises each channel.

    Resizing is antialiased, as in Pillow and torchvision. Pillow rounds to integers twice, this
    layer does not: most values differ by less than 1 of 255, all by less than 2. Needs TensorFlow.

    Args:
        resize: Length of the short side in pixels after resizing.
        crop: Side of the cropped square in pixels; at most `resize`.
        mean: Mean to subtract from values 0..255: one per channel, in the channel order of the
            network, or a mean image, nested as (crop, crop, 3).
        std: Standard deviation of each channel, to divide by.
        bgr: Whether the network takes BGR images; the layer's input is always RGB.
        interpolation: `"bilinear"`, or `"bicubic"`, Keys's cubic with a = -0.5, cut to 0..255
            in each direction.

    Shapes: uint8 (batch, height, width, 1 or 3) to float32 (batch, crop, crop, 3). The batch may be
    left out.
    """

    def __init__(
        self,
        resize: int = 256,
        crop: int = 224,
        mean: Sequence = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
        bgr: bool = False,
        interpolation: str = "bilinear",
        **kwargs: Any,
    ):
        super().__init__(trainable=False, dtype="float32", autocast=False, **kwargs)
        if interpolation not in INTERPOLATIONS:
            raise unknown_name("interpolation", interpolation, INTERPOLATIONS)
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
        self.interpolation = interpolation

    @takes_one_image
    def resize(self, images: "tf.Tensor") -> "tf.Tensor":
        """Resizes images and crops the central square.

        Args:
            images: Shape (batch, height, width, 1 or 3), or one image; values 0..255.

        Returns:
            float32, same range, (batch, crop, crop, 3).
        """
        images = scaled(with_channels(images, 3), self.short_side, self.interpolation)
        # Rounds half to even, as torchvision does.
        free = tf.shape(images)[1:3] - self.crop
        top, left = tf.unstack(tf.cast(tf.round(free / 2), tf.int32))
        return tf.image.crop_to_bounding_box(images, top, left, self.crop, self.crop)

    def normalize(self, images: Any) -> Any:
        """Normalises images of any size; with a mean image, of its size.

        Args:
            images: Array or tensor of RGB images, shape (..., 3), values 0..255.

        Returns:
            Normalised images, float32, of the same shape; an array if `images` is an array.

        Raises:
            UserError: If images do not have the size of the mean image.
        """
        mean, std = np.array(self.mean, "float32"), np.array(self.std, "float32")
        sides = tuple(images.shape[-3:-1])
        if mean.ndim == 3 and None not in sides and sides != (self.crop, self.crop):
            raise UserError(
                f"A mean image is subtracted from images of its size, {self.crop} x {self.crop}. "
                f"Received: images of the shape {tuple(images.shape)}. Resize them, or use the "
                "mean of each channel."
            )
        if isinstance(images, np.ndarray):
            images = images.astype("float32")
            images = images[..., ::-1] if self.bgr else images
        else:
            # torch mixes no arrays with tensors that have a gradient, and has no negative steps.
            images, mean, std = (keras.ops.cast(value, "float32") for value in (images, mean, std))
            images = keras.ops.flip(images, axis=-1) if self.bgr else images
        return (images - mean) / std

    def finish(self, images: "tf.Tensor") -> "tf.Tensor":
        """Normalises a batch of resized images."""
        return self.normalize(images)

    @takes_one_image
    def call(self, images: "tf.Tensor") -> "tf.Tensor":
        return self.finish(self.resize(images))

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*input_shape[:-3], self.crop, self.crop, 3)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "resize": self.short_side,
            "crop": self.crop,
            "mean": self.mean,
            "std": self.std,
            "bgr": self.bgr,
            "interpolation": self.interpolation,
        }


def scaled(
    images: "tf.Tensor", short_side: int, method: str = "bilinear", antialias: bool = True
) -> "tf.Tensor":
    """Resizes images to a length of their short side, with the aspect ratio kept.

    Args:
        images: Shape (batch, height, width, channels).
        short_side: Length in pixels. The length of the long side is rounded down, as in
            torchvision.
        method: Interpolation method of `tf.image.resize`.
        antialias: Whether to antialias when shrinking.

    Returns:
        float32, same range, (batch, height, width, channels).
    """
    sides = tf.shape(images)[1:3]
    sides = short_side * sides // tf.reduce_min(sides)
    if method == "bicubic":
        # A cubic overshoots at edges. Pillow stores bytes after each direction, which cuts that.
        for size in ((tf.shape(images)[1], sides[1]), sides):
            images = tf.image.resize(images, size, method, antialias=antialias)
            images = tf.clip_by_value(images, 0, 255)
        return images
    # Integers stay so until then: a quarter of the memory, and the same bits.
    return tf.cast(tf.image.resize(images, sides, method, antialias=antialias), tf.float32)


def with_channels(images: "tf.Tensor", channels: int) -> "tf.Tensor":
    """Converts images to 1 or 3 channels: colour to grey, or grey copied to three channels.

    Raises:
        UserError: If Keras runs on another backend than TensorFlow.
    """
    if tf is None:
        raise needs_tensorflow("Resizing images needs")
    if images.shape[-1] == channels:
        return images
    # The second does not take arrays.
    images = tf.convert_to_tensor(images)
    return (tf.image.rgb_to_grayscale if channels == 1 else tf.image.grayscale_to_rgb)(images)


# The layers by their names in recipes and results.
PREPROCESSINGS = {"canvas": CanvasPreprocessing, "image": ImagePreprocessing}
