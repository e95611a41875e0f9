"""Seconds and peak memory of exporting, without verification, for `reproduce.benchmark`.

Each export runs in a new process, because the peak memory of a process never falls.
"""

import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_classics.export.saved_model import build as build_saved_model
from keras_classics.export.source import Source
from keras_classics.export.tflite import build as build_tflite
from keras_classics.image_preprocessing import ImagePreprocessing
from keras_classics.models import vgg16


def of_vgg16(side: str) -> tuple[float, float]:
    """Exports VGG-16 in a new process.

    Args:
        side: A key of `SIDES`.

    Returns:
        Seconds from the built network to the file, and the peak memory of the process in GiB.
        Building the network alone takes 1.95.
    """
    # Not a fork, because TensorFlow's threads do not survive one.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_export, (side,))


def _export(side: str) -> tuple[float, float]:
    model = vgg16()
    with tempfile.TemporaryDirectory() as folder:
        write = SIDES[side](model, Path(folder) / "exported")
        start = time.perf_counter()
        write()
        seconds = time.perf_counter() - start
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _source(model: keras.Model) -> Source:
    """The network with one image, the smallest number that it can be compared on."""
    labels = [str(number) for number in range(model.output_shape[-1])]
    image = np.zeros((1, *model.input_shape[1:]), "uint8")
    return Source(model, ImagePreprocessing(), labels, image)


def _with_keras(model: keras.Model, path: Path) -> None:
    model.export(str(path), verbose=False)


def _with_converter(model: keras.Model, path: Path) -> None:
    _with_keras(model, path)
    path.with_suffix(".tflite").write_bytes(
        tf.lite.TFLiteConverter.from_saved_model(str(path)).convert()
    )


# Each prepares an export and returns the function that is measured.
SIDES: dict[str, Callable[[keras.Model, Path], Callable[[], object]]] = {
    "SavedModel": lambda model, path: partial(build_saved_model, _source(model), path),
    "Keras's export": lambda model, path: partial(_with_keras, model, path),
    "TFLite": lambda model, path: partial(build_tflite, _source(model), path),
    "TensorFlow's converter": lambda model, path: partial(_with_converter, model, path),
}
