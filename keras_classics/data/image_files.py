"""Decodes image files and finds what is wrong with them.

Training, evaluation and the check share one decoder, so training can read every file that passes
the check. The check cannot see one kind of damage: changed bytes in the middle of a JPEG or a BMP.
These formats have no checksum, and their decoders continue after the damage.
"""

import errno
import functools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import tensorflow as tf

from keras_classics import files
from keras_classics.data.exif import orientation, turned
from keras_classics.data.fingerprints import Fingerprints, fingerprint
from keras_classics.data.image_modes import (
    JPEG_MODES,
    MODES,
    bmp_bits,
    has_bmp_colours,
    has_gif_transparency,
    has_png_alpha,
    mode_of,
    png_head,
)
from keras_classics.data.image_size import MAX_PIXELS, first_frame, image_size, limited
from keras_classics.data.tf_options import as_written
from keras_classics.errors import UserError, short_reason

# Format of a file by the end of its name.
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".gif": "GIF"}
EXTENSIONS = tuple(FORMATS)

# First bytes of each format.
HEADS = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM....\0{4}",
    "WebP": rb"RIFF....WEBP",
}
# Last bytes of a complete file.
ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xae\x42\x60\x82", "GIF": b";"}

# Files between two reports of the check.
BATCH = 256
# State of a file after the scan: TensorFlow cannot read it, its header needs a look, it is fine.
_FATAL, _ODD, _PLAIN = range(3)


@dataclass(frozen=True)
class Fault:
    """What is wrong with a file.

    Attributes:
        path: The file.
        fault: A description that follows the file's name and a colon.
        fatal: Whether training cannot read it. Otherwise it is read, perhaps not as intended.
    """

    path: Path
    fault: str
    fatal: bool


class Archive(Protocol):
    """Image files in a file, as `packed.ArchiveSplit`."""

    def reader(self) -> Callable[[tf.Tensor], tuple[tf.Tensor, ...]]:
        """Returns a function for a graph, from an index to the bytes of the file and more."""

    def read(self, index: int) -> tuple[str, bytes]:
        """Returns a name for a file, and its bytes."""


# AutoGraph would look for Python's `if` and `for` over tensors, for seconds; there is none.
@tf.autograph.experimental.do_not_convert
def decode(encoded: tf.Tensor, max_pixels: int = MAX_PIXELS) -> tf.Tensor:
    """Decodes an image file of any format that TensorFlow knows; the content decides which.

    Grey becomes three equal channels and CMYK becomes RGB. An alpha channel is dropped, without
    blending. 16 bits are reduced to the upper 8. Only the first frame of an animation is used.

    Args:
        encoded: Scalar string, the bytes of the file. May be symbolic, in a `tf.data` pipeline.
        max_pixels: Most pixels that the image may have; the header is read first.

    Returns:
        uint8, shape (height, width, 3).

    Raises:
        tf.errors.InvalidArgumentError: If it is not a complete image, or larger.
    """
    encoded = limited(encoded, max_pixels)
    image = tf.cond(
        tf.io.is_jpeg(encoded),
        # The decoder's default is slightly faster and differs by up to 7 of 255.
        lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
    )
    return tf.ensure_shape(image, (None, None, 3))


def upright(encoded: bytes, max_pixels: int = MAX_PIXELS) -> bytes:
    """Returns an image file whose image is turned as its EXIF orientation says.

    Args:
        encoded: The content of the file.
        max_pixels: Most pixels that it may have.

    Returns:
        The file as it is if it says nothing of the kind or cannot be decoded, else a PNG file.
    """
    number = orientation(encoded)
    if number == 1:
        return encoded
    try:
        image = decode(tf.constant(encoded), max_pixels)
    except tf.errors.OpError:
        return encoded
    return tf.io.encode_png(turned(image.numpy(), number), compression=0).numpy()


def faults(
    paths: Sequence[Path],
    progress: Callable[[int], object] | None = None,
    prints: Fingerprints | None = None,
    archive: Archive | None = None,
) -> Iterator[Fault]:
    """Decodes files completely, on all cores, and reports each one with a fault.

    Args:
        paths: The files.
        progress: Called with the number of files done since its last call, as `tqdm.update`.
        prints: If given, its rows are filled with the fingerprints of these files.
        archive: If given, the files are in it, in this order, and their paths are names.

    Yields:
        One fault for each file that has any, in the order of the files.
    """
    rest = enumerate(paths)
    for states in _scan(paths, prints, archive):
        for state, (number, path) in zip(states, rest, strict=False):
            if archive is None:
                fault = _look_at(path, state, functools.partial(_content, path))
            else:
                fault = _look_at(path, state, lambda number=number: archive.read(number)[1])
            if fault is not None:
                yield fault
        if progress is not None:
            progress(len(states))


def fault_of(encoded: bytes, name: str | Path, max_pixels: int = MAX_PIXELS) -> Fault | None:
    """Returns what is wrong with one file, given its bytes, or None.

    Args:
        encoded: The content of the file.
        name: Its name or path, whose end gives the expected format.
        max_pixels: Most pixels that it may have.
    """
    try:
        height, width = image_size(encoded)
        if height * width > max_pixels:
            size = f"{width:,} x {height:,} pixels, more than {max_pixels:,}"
            return Fault(Path(name), size, fatal=True)
        decode(tf.constant(encoded), max_pixels)
    except tf.errors.OpError as error:
        return Fault(Path(name), _why_unreadable(encoded, error), fatal=True)
    return _unusual(encoded, Path(name))


def _scan(
    paths: Sequence[Path], prints: Fingerprints | None, archive: Archive | None
) -> Iterator[np.ndarray]:
    """Yields the states of all files, in order, about `BATCH` at a time.

    A file that cannot be read or decoded drops out of the pipeline. The numbers of the files that
    come through show which ones did.
    """
    check = functools.partial(
        _read_and_decode,
        read=_reader(paths) if archive is None else archive.reader(),
        with_print=prints is not None,
    )
    dataset = tf.data.Dataset.range(len(paths))
    dataset = dataset.map(check, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    dataset = dataset.ignore_errors().batch(BATCH).prefetch(2)
    done = 0
    for numbers, plain, rows in as_written(dataset).as_numpy_iterator():
        if prints is not None:
            prints.fill(numbers, rows)
        states = np.full(numbers[-1] + 1 - done, _FATAL)
        states[numbers - done] = np.where(plain, _PLAIN, _ODD)
        yield states
        done = numbers[-1] + 1
    if done < len(paths):
        yield np.full(len(paths) - done, _FATAL)


def _reader(paths: Sequence[Path]) -> Callable[[tf.Tensor], tuple[tf.Tensor]]:
    # To read a FIFO would wait for its writer.
    readable = [path if path.is_file() else Path(os.devnull) for path in paths]
    names = tf.constant([os.fsencode(path) for path in readable], tf.string)
    return lambda number: (tf.io.read_file(names[number]),)


def _read_and_decode(
    number: tf.Tensor, read: Callable[[tf.Tensor], tuple[tf.Tensor, ...]], with_print: bool
) -> tuple[tf.Tensor, tf.Tensor, dict[str, tf.Tensor]]:
    """Returns the file's number, whether it is an upright JPEG not of CMYK, and its fingerprint."""
    encoded = read(number)[0]
    image = decode(encoded)
    # TensorFlow skips an operation that no output depends on, so the output depends on the pixels.
    decoded = tf.size(image) > 0
    channels = tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.io.extract_jpeg_shape(encoded)[2],
        lambda: tf.constant(0),
    )
    plain = (channels > 0) & (channels != 4)
    turn, mode = tf.numpy_function(
        _header, [encoded, channels], (tf.int64, tf.int64), stateful=False
    )
    rows = fingerprint(encoded, image, tf.ensure_shape(mode, ())) if with_print else {}
    return number, plain & decoded & (turn == 1), rows


def _header(encoded: bytes, channels: int) -> tuple[np.int64, np.int64]:
    """Returns the EXIF orientation, and the index of the colour mode in `MODES`."""
    mode = JPEG_MODES[channels] if channels else mode_of(encoded, format_of(encoded))
    return np.int64(orientation(encoded)), np.int64(MODES.index(mode))


def _look_at(path: Path, state: int, read: Callable[[], bytes]) -> Fault | None:
    """Returns what is wrong with a file, given its state after the scan."""
    if state == _PLAIN and FORMATS.get(path.suffix.lower()) == "JPEG":
        return None
    try:
        encoded = read()
    except OSError as error:
        return Fault(path, f"cannot be read ({error.strerror})", fatal=True)
    except UserError as error:
        return Fault(path, f"cannot be read ({short_reason(error)})", fatal=True)
    return fault_of(encoded, path) if state == _FATAL else _unusual(encoded, path)


def _content(path: Path) -> bytes:
    try:
        return files.read_bytes(path)
    except UserError as error:
        raise error.__cause__ or OSError(errno.EINVAL, "Not a file") from error


def format_of(encoded: bytes) -> str | None:
    """Returns the format of a file, by its first 16 bytes; None if it is none of `HEADS`."""
    return next((n for n, head in HEADS.items() if re.match(head, encoded, re.DOTALL)), None)


def _why_unreadable(encoded: bytes, error: tf.errors.OpError) -> str:
    if not encoded:
        return "empty"
    kind = format_of(encoded)
    if kind is None:
        return f"not an image ({', '.join(HEADS)})"
    if kind in ENDS and not encoded.endswith(ENDS[kind]):
        return f"{kind}, cut short"
    # Without TensorFlow's name for the operation, at both ends.
    said = re.sub(r"\{\{.*?\}\}|\[Op:.*", "", error.message)
    return f"{kind}, damaged or of an unknown kind ({' '.join(said.split())})"


def _unusual(encoded: bytes, path: Path) -> Fault | None:
    """Returns what is unusual about a file that can be decoded."""
    kind = format_of(encoded)
    named = FORMATS.get(path.suffix.lower(), kind)
    found = [f"{kind} under the name of a {named}"] if kind != named else []
    found += [words for says, words in LOOKS.get(kind, []) if says(encoded)]
    if (number := orientation(encoded)) > 1:
        found.append(f"EXIF orientation {number}, which only --exif applies")
    return Fault(path, "; ".join(found), fatal=False) if found else None


def _is_cmyk(jpeg: bytes) -> bool:
    return int(tf.io.extract_jpeg_shape(jpeg)[2]) == 4


def _is_gif_animated(gif: bytes) -> bool:
    rest = gif[len(first_frame(gif)) - 1 :]
    try:
        # As if the second frame were the first.
        return image_size(b"GIF89a" + bytes(7) + rest + b";") != (0, 0)
    except tf.errors.OpError:  # Cut short after its first frame.
        return True


_ANIMATED = "animated; only the first frame is used"
_ALPHA = "alpha channel, which is dropped"

# What may be unusual about a file of each format, and how it is described.
LOOKS = {
    "JPEG": [(_is_cmyk, "CMYK, which is converted to RGB")],
    "PNG": [(lambda png: b"acTL" in png_head(png), _ANIMATED), (has_png_alpha, _ALPHA)],
    "GIF": [
        (_is_gif_animated, _ANIMATED),
        (has_gif_transparency, "transparent pixels, which become black"),
    ],
    "BMP": [
        (lambda bmp: bmp_bits(bmp) == 32, _ALPHA),
        (has_bmp_colours, "colour palette, which TensorFlow ignores: colours are wrong"),
    ],
}
