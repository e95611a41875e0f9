"""Picture files: their decoding, the same in training and evaluation, and what is wrong with them.

Training and check share one decoder, so that what the check passes, a training reads. There is one
thing that the check cannot see: bytes that changed in the middle of a JPEG or a BMP. These formats
have no checksum, and their decoders go on behind the damage.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

# What a file is, by the ending of its name.
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".gif": "GIF"}
EXTENSIONS = tuple(FORMATS)

# What a file is, by its first bytes.
HEADS = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM",
    "WebP": rb"RIFF....WEBP",
}
# What a whole file ends with.
ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND\xae\x42\x60\x82", "GIF": b";"}

# Files between two reports of the check.
BATCH = 256
# How the check leaves a file: TensorFlow cannot read it, its head is to be looked at, all is well.
_FATAL, _ODD, _PLAIN = range(3)


@dataclass(frozen=True)
class Fault:
    """What is wrong with a file.

    Attributes:
        path: The file.
        fault: In words that follow the file's name and a colon.
        fatal: Whether training cannot read it. Otherwise it is read, perhaps not as meant.
    """

    path: Path
    fault: str
    fatal: bool


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """Decodes a picture file of any format that TensorFlow knows; the content tells which.

    Grey becomes three equal channels and CMYK becomes RGB. An alpha channel is dropped, without
    blending. Of 16 bits the upper 8 stay. Of an animation the first frame is taken.

    Args:
        encoded: Scalar string, the bytes of the file. May be symbolic, in a `tf.data` pipeline.

    Returns:
        uint8, shape (height, width, 3).

    Raises:
        tf.errors.InvalidArgumentError: It is no whole picture.
    """
    image = tf.cond(
        tf.io.is_jpeg(encoded),
        # The decoder's default is faster by little and differs by up to 7 of 255.
        lambda: tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(encoded, channels=3, expand_animations=False),
    )
    return tf.ensure_shape(image, (None, None, 3))


def faults(
    paths: Sequence[Path], progress: Callable[[int], object] | None = None
) -> Iterator[Fault]:
    """Decodes files in full, on all cores, and tells of each one that is not as it should be.

    Args:
        paths: The files.
        progress: Takes the number of files done since it was last called, as `tqdm.update` does.

    Yields:
        One fault for each file that has any, in the order of the files.
    """
    rest = iter(paths)
    for states in _scan(paths):
        for state, path in zip(states, rest, strict=False):
            fault = _look_at(path, state)
            if fault is not None:
                yield fault
        if progress is not None:
            progress(len(states))


def fault_of(encoded: bytes, name: str | Path) -> Fault | None:
    """Returns what is wrong with one file, given its bytes, or None.

    Args:
        encoded: The content of the file.
        name: Its name or path; the ending says what format it should have.
    """
    try:
        decode(tf.constant(encoded))
    except tf.errors.OpError as error:
        return Fault(Path(name), _why_unreadable(encoded, error), fatal=True)
    return _unusual(encoded, Path(name))


def _scan(paths: Sequence[Path]) -> Iterator[np.ndarray]:
    """Yields the states of all files, in order, in pieces of about `BATCH`.

    A file that cannot be read or decoded drops out of the pipeline, so that the number of each
    one that comes through tells which did not.
    """
    names = tf.constant([os.fsencode(path) for path in paths], tf.string)
    dataset = tf.data.Dataset.from_tensor_slices(names).enumerate()
    dataset = dataset.map(_read_and_decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    dataset = dataset.ignore_errors().batch(BATCH).prefetch(tf.data.AUTOTUNE)
    done = 0
    for numbers, plain in dataset.as_numpy_iterator():
        states = np.full(numbers[-1] + 1 - done, _FATAL)
        states[numbers - done] = np.where(plain, _PLAIN, _ODD)
        yield states
        done = numbers[-1] + 1
    if done < len(paths):
        yield np.full(len(paths) - done, _FATAL)


def _read_and_decode(number: tf.Tensor, path: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the file's number and whether it is a JPEG that is not CMYK."""
    encoded = tf.io.read_file(path)
    # TensorFlow leaves out what nothing depends on: the result depends on the pixels.
    decoded = tf.size(decode(encoded)) > 0
    plain = tf.cond(
        tf.io.is_jpeg(encoded),
        lambda: tf.io.extract_jpeg_shape(encoded)[2] != 4,
        lambda: tf.constant(False),
    )
    return number, plain & decoded


def _look_at(path: Path, state: int) -> Fault | None:
    """What is wrong with a file that the scan left in a state."""
    if state == _PLAIN and FORMATS.get(path.suffix.lower()) == "JPEG":
        return None
    try:
        encoded = path.read_bytes()
    except OSError as error:
        return Fault(path, f"cannot be read ({error.strerror})", fatal=True)
    return fault_of(encoded, path) if state == _FATAL else _unusual(encoded, path)


def _format(encoded: bytes) -> str | None:
    return next((n for n, head in HEADS.items() if re.match(head, encoded, re.DOTALL)), None)


def _why_unreadable(encoded: bytes, error: tf.errors.OpError) -> str:
    if not encoded:
        return "empty"
    kind = _format(encoded)
    if kind is None:
        return f"no picture ({', '.join(HEADS)})"
    if kind in ENDS and not encoded.endswith(ENDS[kind]):
        return f"{kind}, cut short"
    # Without TensorFlow's name for the operation, in front and behind.
    said = re.sub(r"\{\{.*?\}\}|\[Op:.*", "", error.message)
    return f"{kind}, damaged or of an unknown kind ({' '.join(said.split())})"


def _unusual(encoded: bytes, path: Path) -> Fault | None:
    """What is worth knowing of a file that can be decoded."""
    kind = _format(encoded)
    named = FORMATS.get(path.suffix.lower(), kind)
    found = [f"{kind} under the name of a {named}"] if kind != named else []
    found += [words for says, words in LOOKS.get(kind, []) if says(encoded)]
    return Fault(path, "; ".join(found), fatal=False) if found else None


def _is_cmyk(jpeg: bytes) -> bool:
    return int(tf.io.extract_jpeg_shape(jpeg)[2]) == 4


def _png_head(png: bytes) -> bytes:
    return png[: png.find(b"IDAT")]


def _has_png_alpha(png: bytes) -> bool:
    # Colour types 4 and 6 have the channel, and any other may name what is transparent.
    return png[25] in (4, 6) or b"tRNS" in _png_head(png)


def _is_gif_animated(gif: bytes) -> bool:
    try:
        return len(tf.io.decode_gif(gif)) > 1
    except tf.errors.OpError:  # Cut behind its first frame.
        return True


def _has_gif_transparency(gif: bytes) -> bool:
    # The lowest bit of the first graphic control extension, which is that of the first frame.
    control = gif.find(b"!\xf9\x04")
    return control >= 0 and gif[control + 3] & 1 == 1


def _bmp_bits(bmp: bytes) -> int:
    return int.from_bytes(bmp[28:30], "little")


def _has_bmp_colours(bmp: bytes) -> bool:
    """Whether the picture has a palette, other than that of a grey picture."""
    pixels, head = (int.from_bytes(bmp[at : at + 4], "little") for at in (10, 14))
    palette = bmp[14 + head : pixels]
    palette = np.frombuffer(palette[: len(palette) // 4 * 4], "uint8").reshape(-1, 4)
    greys = np.arange(len(palette))[:, np.newaxis]
    return _bmp_bits(bmp) == 8 and bool((palette[:, :3] != greys).any())


_ANIMATED = "animated, the first frame is taken"
_ALPHA = "alpha channel, which is dropped"

# What there may be about a file of each format, and how it is told.
LOOKS = {
    "JPEG": [(_is_cmyk, "CMYK, which is brought to RGB")],
    "PNG": [(lambda png: b"acTL" in _png_head(png), _ANIMATED), (_has_png_alpha, _ALPHA)],
    "GIF": [
        (_is_gif_animated, _ANIMATED),
        (_has_gif_transparency, "transparent pixels, which become black"),
    ],
    "BMP": [
        (lambda bmp: _bmp_bits(bmp) == 32, _ALPHA),
        (_has_bmp_colours, "colours in a palette, which TensorFlow does not read: they come wrong"),
    ],
}
