"""Classifies images with an exported network in its own runtime.

keras-classics predict --model_path=served cat.jpg dog.png
keras-classics predict --model_path=served/model_int8.tflite cat.jpg

The export is a folder that `keras-classics export` wrote, or a format in it: saved_model, .tflite,
.onnx or .keras.
"""

from pathlib import Path

import numpy as np

from keras_classics.cli._exif import EXIF
from keras_classics.cli._paths import define_path
from keras_classics.data.image_files import fault_of, upright
from keras_classics.errors import UserError, one_line
from keras_classics.export import load_exported
from keras_classics.files import read_bytes

MODEL_PATH = define_path("model_path", None, "Exported network.", required=True)

TOP = 5


def main(*images: str) -> None:
    """Prints the most probable classes of each image."""
    exported = load_exported(MODEL_PATH.value)
    encoded = [_read(Path(image), exported.max_pixels) for image in images]
    width = max(map(len, exported.labels))
    for image, probabilities in zip(images, exported.predict(encoded), strict=True):
        print(one_line(image))
        for label in np.argsort(-probabilities, kind="stable")[:TOP]:
            print(f"  {exported.labels[label]:<{width}}  {100 * probabilities[label]:6.2f} %")


def _read(path: Path, max_pixels: int) -> bytes:
    # Uncompressed, an image takes at most four channels of two bytes.
    encoded = read_bytes(path, 8 * max_pixels)
    fault = fault_of(encoded, path, max_pixels)
    if fault is not None and fault.fatal:
        raise UserError(f"{path} cannot be used: {fault.fault}.")
    return upright(encoded, max_pixels) if EXIF.value else encoded
