"""From uint8 images to what a network takes: the same layer trains, evaluates and is exported."""

import keras
import tensorflow as tf


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

    def fit(self, images: tf.Tensor) -> tf.Tensor:
        """Scales images into the box, and centres them in it.

        Args:
            images: Shape (batch, height, width, 1 or 3), values 0..255.

        Returns:
            float32, same range, (batch, box, box, channels), box = size - 2 border.
        """
        images = _with_channels(images, self.channels)
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

    def call(self, images):
        images = tf.pad(self.fit(images), [[0, 0], [self.border] * 2, [self.border] * 2, [0, 0]])
        return images * ((self.foreground - self.background) / 255.0) + self.background

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


def _with_channels(images: tf.Tensor, channels: int) -> tf.Tensor:
    if images.shape[-1] == channels:
        return images
    if channels == 1:
        return tf.image.rgb_to_grayscale(images)
    return tf.image.grayscale_to_rgb(images)
