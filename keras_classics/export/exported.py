"""Runs an exported network of any format in its own runtime: from image files to probabilities."""

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_classics import files
from keras_classics.data import image_files
from keras_classics.data.image_size import MAX_PIXELS
from keras_classics.errors import UserError, short_reason
from keras_classics.export.interface import rounded_pixels
from keras_classics.export.onnx import runtime as onnx_runtime
from keras_classics.export.source import preprocessing_of
from keras_classics.export.tflite import runtime as tflite_runtime

# From encoded images of at most so many pixels to probabilities.
Predict = Callable[[Sequence[bytes]], np.ndarray]


@dataclass(frozen=True)
class Exported:
    """A loaded export.

    Attributes:
        predict: Function from encoded images (JPEG, PNG, GIF, BMP or WebP) to probabilities,
            float32, shape (count, outputs). A `UserError` names an image that cannot be decoded.
        labels: Name of each output.
        max_pixels: Most pixels of an image.
        upright: Whether it was trained on images turned as their EXIF orientation says. `predict`
            turns none.
    """

    predict: Predict
    labels: tuple[str, ...]
    max_pixels: int
    upright: bool = False


def load_exported(path: str | os.PathLike) -> Exported:
    """Loads an export that `export_model` wrote.

    Args:
        path: A SavedModel, a `.tflite`, `.onnx` or `.keras` file, or the folder of exports, whose
            first export in the manifest is loaded. The `manifest.json` in the folder defines the
            preprocessing.

    Raises:
        UserError: If there is no such export, or it is damaged.
    """
    export = Path(path)
    if export.is_dir() and not (export / "saved_model.pb").exists():
        export = export / next(iter(_manifest(export)["exports"]))
    metadata = _manifest(export.parent)
    labels, max_pixels = tuple(metadata["output"]["labels"]), metadata["max_pixels"]
    run = _load(export, _saved_model) if export.is_dir() else _of_file(export, metadata)

    def predict(encoded: Sequence[bytes]) -> np.ndarray:
        if not len(encoded):
            return np.zeros((0, len(labels)), "float32")
        try:
            return run(encoded)
        except tf.errors.OpError as error:
            raise _unusable(encoded, max_pixels, error) from error

    return Exported(predict, labels, max_pixels, metadata.get("exif_orientation") == "applied")


def of_network(
    model: keras.Model, preprocessing: keras.layers.Layer, labels: Sequence[str], upright: bool
) -> Exported:
    """Returns a network that runs in Keras as its `.keras` export does.

    Args:
        model: The network.
        preprocessing: The layer from uint8 images to what the network takes.
        labels: Name of each output.
        upright: Whether it was trained on images turned as their EXIF orientation says.
    """
    predict = _of_layer(preprocessing, _in_keras(model), MAX_PIXELS)
    return Exported(predict, tuple(labels), MAX_PIXELS, upright)


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    try:
        metadata = files.read_json(path)
        metadata = {"max_pixels": MAX_PIXELS, **metadata}
        kinds = {"output": dict, "preprocessing": dict, "exports": dict, "max_pixels": int}
        for name, kind in kinds.items():
            if not isinstance(metadata[name], kind) or not metadata[name]:
                raise TypeError(name)
        if not isinstance(metadata["output"]["labels"], list):
            raise TypeError("labels")
        return metadata
    except (UserError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}, which defines the preprocessing and the labels, cannot be read. Name a "
            "folder that 'keras-classics export' wrote, or an export in it."
        ) from error


def _of_file(export: Path, metadata: dict[str, Any]) -> Predict:
    if export.suffix not in RUNTIMES:
        raise UserError(
            f"An export must be a SavedModel or a file that ends in {', '.join(RUNTIMES)}. "
            f"Received: {export}."
        )
    if not export.is_file():
        raise UserError(f"The export must exist. Received: {export}, which does not.")
    layer = preprocessing_of(metadata["preprocessing"])
    run = _load(export, RUNTIMES[export.suffix])
    # model.keras is not among the exports: it takes what the network takes.
    stated = metadata["exports"].get(export.name, {}).get("input", {})
    if stated.get("dtype") == "uint8":
        pixels = functools.partial(rounded_pixels, layer)
        return _of_layer(pixels, run, metadata["max_pixels"], "uint8")
    return _of_layer(layer, run, metadata["max_pixels"])


def _of_layer(
    prepare: Callable[[tf.Tensor], tf.Tensor],
    run: Callable[[np.ndarray], np.ndarray],
    max_pixels: int,
    dtype: str = "float32",
) -> Predict:
    def predict(encoded: Sequence[bytes]) -> np.ndarray:
        images = (image_files.decode(tf.constant(one), max_pixels) for one in encoded)
        inputs = [np.asarray(prepare(image[tf.newaxis]), dtype) for image in images]
        return np.asarray(run(np.concatenate(inputs)), "float32")

    return predict


def _load(path: Path, load: Callable[[Path], Callable]) -> Callable:
    """Loads an export with its runtime; any error becomes a `UserError`."""
    try:
        return load(path)
    except UserError:
        raise
    except Exception as error:  # Each runtime has its own errors for damaged files.
        reason = short_reason(error)
        raise UserError(f"{path} cannot be loaded: {reason}. Export it again.") from error


def _keras(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    return _in_keras(keras.models.load_model(path, compile=False))


def _in_keras(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    return lambda images: keras.ops.convert_to_numpy(model(images, training=False))


RUNTIMES = {".tflite": tflite_runtime, ".onnx": onnx_runtime, ".keras": _keras}


def _saved_model(path: Path) -> Predict:
    serve = tf.saved_model.load(str(path)).signatures["serve_bytes"]
    return lambda encoded: serve(encoded=tf.constant(list(encoded)))["probabilities"].numpy()


def _unusable(
    encoded: Sequence[bytes], max_pixels: int, error: tf.errors.OpError
) -> UserError | tf.errors.OpError:
    """Returns the error that names the first image that cannot be used."""
    for number, one in enumerate(encoded):
        fault = image_files.fault_of(one, "", max_pixels)
        if fault is not None and fault.fatal:
            return UserError(f"Image {number}, counted from 0, cannot be used: {fault.fault}.")
    return error
