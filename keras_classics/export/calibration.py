"""Images from which a quantized export takes the ranges of its values."""

import numpy as np

from keras_classics.errors import UserError
from keras_classics.export.source import check_uint8

# Quantizations that need calibration images.
CALIBRATED = ("int8", "int16x8")
# With this number of images, the ranges of values hardly change any more.
CALIBRATION_IMAGES = 200
CALIBRATION_SEED = 0


def check_calibration(quantize: str, calibration: np.ndarray | None) -> None:
    """Raises a `UserError` if a quantization needs calibration images and there are none."""
    if quantize not in CALIBRATED:
        return
    if calibration is None:
        raise UserError(
            f"quantize={quantize!r} needs calibration images for the ranges of its values. "
            "Received: calibration=None. Pass some of the training images, uint8."
        )
    check_uint8("calibration", np.asarray(calibration))


def calibration_sample(images: np.ndarray | None) -> np.ndarray:
    """Returns at most `CALIBRATION_IMAGES` of checked images, sampled with a fixed seed."""
    images = np.asarray(images)
    generator = np.random.default_rng(CALIBRATION_SEED)
    number = min(CALIBRATION_IMAGES, len(images))
    return images[np.sort(generator.choice(len(images), number, replace=False))]
