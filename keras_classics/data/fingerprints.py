"""What is kept of each image of a folder, 0.7 kB: hashes, size, mode and the coarse content."""

import numpy as np
import tensorflow as tf

# Sides of the thumbnail, of the table of its low cosine frequencies, and of the mean colours.
SIDE = 32
FREQUENCIES = 17
MOSAIC = 4

# Weights of red, green and blue in the brightness, as in JPEG.
LUMA = np.array([0.299, 0.587, 0.114], "float32")


class Fingerprints:
    """The fingerprints of image files, one row a file.

    Args:
        count: Number of files. Their rows are filled one batch after the other.

    Attributes:
        read: bool, shape (count,): whether the file could be decoded. If not, its row is zero.
        content: uint64, shape (count,): hash of the file's bytes.
        pixels: uint64, shape (count,): hash of the decoded pixels and of the size.
        sizes: int64, shape (count, 2): height and width.
        modes: uint8, shape (count,): index into `image_modes.MODES`.
        frequencies: float16, shape (count, FREQUENCIES, FREQUENCIES): discrete cosine transform of
            the brightness, stretched to a square, in grey levels and without the mean.
        mosaic: uint8, shape (count, MOSAIC, MOSAIC, 3): mean colours.
    """

    def __init__(self, count: int):
        self.read = np.zeros(count, bool)
        self.content = np.zeros(count, "uint64")
        self.pixels = np.zeros(count, "uint64")
        self.sizes = np.zeros((count, 2), "int64")
        self.modes = np.zeros(count, "uint8")
        self.frequencies = np.zeros((count, FREQUENCIES, FREQUENCIES), "float16")
        self.mosaic = np.zeros((count, MOSAIC, MOSAIC, 3), "uint8")

    def __len__(self) -> int:
        return len(self.read)

    def fill(self, numbers: np.ndarray, rows: dict[str, np.ndarray]) -> None:
        """Stores the fingerprints of a batch.

        Args:
            numbers: Numbers of the files.
            rows: What `fingerprint` computed, stacked.
        """
        self.read[numbers] = True
        self.content[numbers] = _as_numbers(rows["content"])
        sizes = rows["size"].astype("uint64")
        # Images of 1x6 and 2x3 pixels may have the same bytes. The factor is any large odd number.
        shape = (sizes[:, 0] << np.uint64(32) | sizes[:, 1]) * np.uint64(0x9E3779B97F4A7C15)
        self.pixels[numbers] = _as_numbers(rows["pixels"]) ^ shape
        self.sizes[numbers] = rows["size"]
        self.modes[numbers] = rows["mode"]
        thumbnails = rows["thumbnail"]
        frequencies = _COSINES @ (thumbnails @ LUMA) @ _COSINES.T
        frequencies[:, 0, 0] = 0
        self.frequencies[numbers] = frequencies
        step = SIDE // MOSAIC
        blocks = thumbnails.reshape(-1, MOSAIC, step, MOSAIC, step, 3)
        self.mosaic[numbers] = np.round(blocks.mean((2, 4)))


def fingerprint(encoded: tf.Tensor, image: tf.Tensor, mode: tf.Tensor) -> dict[str, tf.Tensor]:
    """Computes the fingerprint of one image in a `tf.data` pipeline.

    Args:
        encoded: Scalar string, the bytes of the file.
        image: uint8, shape (height, width, 3).
        mode: Index of its colour mode.

    Returns:
        The row that `Fingerprints.fill` takes.
    """
    # The area method reads every pixel, so scaling the image before changes little.
    thumbnail = tf.image.resize(image, (SIDE, SIDE), method="area")
    return {
        "content": tf.fingerprint(encoded[tf.newaxis])[0],
        "pixels": tf.fingerprint(tf.reshape(image, (1, -1)))[0],
        "size": tf.shape(image, tf.int64)[:2],
        "mode": mode,
        "thumbnail": thumbnail,
    }


def _as_numbers(hashes: np.ndarray) -> np.ndarray:
    """Returns 64-bit hashes, each given as 8 bytes, as numbers."""
    return np.ascontiguousarray(hashes).view("uint64")[:, 0]


def _cosines() -> np.ndarray:
    """The low frequencies of the transform, scaled so that energies are means over pixels."""
    frequency, position = np.mgrid[:FREQUENCIES, :SIDE]
    cosines = np.sqrt(2) * np.cos(np.pi * (position + 0.5) * frequency / SIDE) / SIDE
    cosines[0] /= np.sqrt(2)
    return cosines.astype("float32")


_COSINES = _cosines()
