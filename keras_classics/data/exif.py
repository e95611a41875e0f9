"""The orientation that a camera notes in the EXIF data of an image file.

TensorFlow's decoders ignore it: a photo taken with the camera held upright lies on its side.
"""

import numpy as np

# What stands before the EXIF data of a JPEG, a PNG and a WebP file, and the bytes between the two.
MARKS = {b"Exif\0\0": 0, b"eXIf": 0, b"EXIF": 4}

# EXIF data begin as a TIFF file does: with the order of bytes, and 42.
ORDERS = {b"II*\0": "little", b"MM\0*": "big"}

# Number of the orientation among the tags.
TAG = 0x0112


def orientation(encoded: bytes) -> int:
    """Returns the orientation of an image file, 1 to 8; 1, which is upright, if it states none."""
    for mark, between in MARKS.items():
        start = encoded.find(mark)
        if start >= 0:
            exif = encoded[start + len(mark) + between :][: 2**16]
            if exif[:4] in ORDERS:
                return _orientation(exif, ORDERS[exif[:4]])
    return 1


def _orientation(exif: bytes, order: str) -> int:
    def number(at: int, size: int) -> int:
        return int.from_bytes(exif[at : at + size], order)

    # The first directory: the number of its entries, and 12 bytes for each.
    directory = number(4, 4)
    first = directory + 2
    for entry in range(first, first + 12 * number(directory, 2), 12):
        if number(entry, 2) == TAG:
            value = number(entry + 8, 2)
            return value if value in range(1, 9) else 1
    return 1


def turned(image: np.ndarray, number: int) -> np.ndarray:
    """Returns an image, as its file holds it, upright.

    Args:
        image: Shape (height, width, channels).
        number: Its orientation, 1 to 8.
    """
    if number >= 5:
        image = image.swapaxes(0, 1)
    if number in (2, 3, 6, 7):
        image = image[:, ::-1]
    if number in (3, 4, 7, 8):
        image = image[::-1]
    return image
