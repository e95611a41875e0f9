"""Sizes of image files, read from their headers before anything is decoded.

A file of a few kilobytes can hold an image of gigabytes. All functions consist of TensorFlow
operations, so a `tf.data` pipeline and a SavedModel apply the same limit as Python does.
"""

import tensorflow as tf

# Most pixels of an image: the largest of today's phones have 50 million. Decoding and resizing one
# takes 3 to 10 bytes a pixel.
MAX_PIXELS = 50_000_000

# Blocks of a GIF by their first byte.
_EXTENSION, _IMAGE = 0x21, 0x2C


def limited(encoded: tf.Tensor, max_pixels: int = MAX_PIXELS) -> tf.Tensor:
    """Returns an image file as it is, a GIF without the frames after its first.

    Args:
        encoded: Scalar string, the bytes of a JPEG, PNG, GIF, BMP or WebP file. May be symbolic.
            Other bytes are returned unchanged, for the decoder to refuse.
        max_pixels: Most pixels that the image may have.

    Raises:
        tf.errors.InvalidArgumentError: If the image is larger, or its header is cut short.
    """
    size, file = _size_and_first_frame(encoded)
    message = f"Images may have at most {max_pixels:,} pixels. Received: height and width"
    with tf.control_dependencies(
        [tf.debugging.Assert(tf.reduce_prod(size) <= max_pixels, [message, size])]
    ):
        return tf.identity(file)


def image_size(encoded: bytes) -> tuple[int, int]:
    """Returns height and width of an image file; 0 and 0 if it is of no known format.

    Args:
        encoded: The bytes of a JPEG, PNG, GIF (of which the first frame counts), BMP or WebP file.

    Raises:
        tf.errors.InvalidArgumentError: If its header is cut short or damaged.
    """
    height, width = _size_and_first_frame(encoded)[0].numpy().tolist()
    return height, width


def first_frame(gif: bytes) -> bytes:
    """Returns a GIF without the frames after its first.

    Raises:
        tf.errors.InvalidArgumentError: If it is cut short before the end of its first frame.
    """
    return _size_and_first_frame(gif)[1].numpy()


@tf.function(input_signature=[tf.TensorSpec((), tf.string)], autograph=False)
def _size_and_first_frame(encoded: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns (height, width), int64, and the file, a GIF cut after its first frame."""

    def starts_with(head: bytes) -> tf.Tensor:
        return tf.equal(tf.strings.substr(encoded, 0, len(head)), head)

    return tf.case(
        [
            (tf.io.is_jpeg(encoded), lambda: (_jpeg_size(encoded), encoded)),
            (starts_with(b"\x89PNG\r\n\x1a\n"), lambda: (_png_size(encoded), encoded)),
            (starts_with(b"GIF8"), lambda: _first_gif_frame(encoded)),
            (starts_with(b"BM"), lambda: (_bmp_size(encoded), encoded)),
            (starts_with(b"RIFF"), lambda: (_webp_size(encoded), encoded)),
        ],
        default=lambda: (tf.zeros(2, tf.int64), encoded),
    )


def _jpeg_size(jpeg: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.io.extract_jpeg_shape(jpeg)[:2], tf.int64)


def _png_size(png: tf.Tensor) -> tf.Tensor:
    # Behind the signature, and the length and name of the first chunk.
    sides = tf.io.decode_raw(tf.strings.substr(png, 16, 8), tf.int32, little_endian=False)
    return tf.cast(tf.ensure_shape(sides, (2,))[::-1], tf.int64)


def _bmp_size(bmp: tf.Tensor) -> tf.Tensor:
    sides = tf.io.decode_raw(tf.strings.substr(bmp, 18, 8), tf.int32)
    # A negative height means that the rows are stored from the top.
    return tf.abs(tf.cast(tf.ensure_shape(sides, (2,))[::-1], tf.int64))


def _webp_size(webp: tf.Tensor) -> tf.Tensor:
    head = tf.io.decode_raw(tf.strings.substr(webp, 0, 30), tf.uint8)
    data = tf.cast(tf.ensure_shape(head, (30,)), tf.int64)

    def lossy() -> tf.Tensor:
        # The upper two bits say how to scale the image up; decoders leave it to others.
        return (data[28:25:-2] + 256 * data[29:26:-2]) % 2**14

    def lossless() -> tf.Tensor:
        bits = data[21] + 2**8 * data[22] + 2**16 * data[23] + 2**24 * data[24]
        return tf.stack([bits // 2**14, bits]) % 2**14 + 1

    def extended() -> tf.Tensor:
        return data[27:23:-3] + 2**8 * data[28:24:-3] + 2**16 * data[29:25:-3] + 1

    kind = tf.strings.substr(webp, 12, 4)
    return tf.case(
        [(kind == b"VP8L", lossless), (kind == b"VP8X", extended)], default=lossy, exclusive=True
    )


def _first_gif_frame(gif: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    data = tf.io.decode_raw(gif, tf.uint8)

    def byte(position) -> tf.Tensor:
        return tf.cast(data[position], tf.int32)

    def short(position) -> tf.Tensor:
        return byte(position) + 256 * byte(position + 1)

    def after_palette(flags, position) -> tf.Tensor:
        colours = tf.where(flags >= 128, tf.bitwise.left_shift(2, flags % 8), 0)
        return position + 3 * colours

    def after_blocks(position) -> tf.Tensor:
        # Each block is the number of its bytes, and the bytes; the last number is 0.
        (last,) = tf.while_loop(
            lambda p: byte(p) > 0, lambda p: [p + 1 + byte(p)], [position], parallel_iterations=1
        )
        return last + 1

    (start,) = tf.while_loop(
        lambda p: byte(p) == _EXTENSION,
        lambda p: [after_blocks(p + 2)],
        [after_palette(byte(10), 13)],
        parallel_iterations=1,
    )

    def frame() -> tuple[tf.Tensor, tf.Tensor]:
        end = after_blocks(after_palette(byte(start + 9), start + 10) + 1)
        return (
            tf.cast(tf.stack([short(start + 7), short(start + 5)]), tf.int64),
            tf.strings.join([tf.strings.substr(gif, 0, end), ";"]),
        )

    return tf.cond(byte(start) == _IMAGE, frame, lambda: (tf.zeros(2, tf.int64), gif))
