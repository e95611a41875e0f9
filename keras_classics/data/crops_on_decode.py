"""Decodes only the part of an image file that a random crop keeps."""

import tensorflow as tf

from keras_classics.data import image_files
from keras_classics.data.image_size import limited
from keras_classics.data.random_crops import RandomCrop


def decode_crop(crop: RandomCrop, encoded: tf.Tensor, random: tf.Tensor) -> tf.Tensor:
    """Decodes a crop of an image file and resizes it to the crop's size.

    Of a JPEG only the crop is decoded, at half, a quarter or an eighth of its size if it shrinks by
    at least as much; the decoder then averages the pixels that it merges. The rest of the resizing
    is bilinear. Other formats are decoded whole, and shrinking averages. The crop's corners lie at
    whole pixels, of the reduced image if it is reduced.

    Args:
        crop: Which part. The third random number decides whether it is mirrored.
        encoded: Content of an image file, a scalar string.
        random: Random numbers, at least `crop.num_random` of them.

    Returns:
        uint8, shape (size, size, 3).
    """
    sides = crop.size, crop.size
    encoded = limited(encoded)
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
        # The nearest whole pixels of the reduced image, whose sides are rounded up.
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
    """The crop in whole pixels: int32, top, left, height, width, at least one pixel."""
    height, width = tf.unstack(tf.cast(sides, tf.float32))
    box = crop.box(height, width, random)
    first = tf.cast(tf.round(box[:2]), tf.int32)
    first = tf.clip_by_value(first, 0, sides - 1)
    last = tf.cast(tf.round(box[:2] + box[2:]), tf.int32)
    return tf.concat([first, tf.clip_by_value(last, first + 1, sides) - first], 0)
