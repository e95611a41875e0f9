"""Runs an exported network of any format in its own runtime: from image files to probabilities."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_classics.data import image_files
from keras_classics.errors import UserError, unknown_name
from keras_classics.export.onnx import runtime as onnx_runtime
from keras_classics.export.tflite import runtime as tflite_runtime
from keras_classics.image_preprocessing import PREPROCESSINGS

LAYERS = {layer.__name__: layer for layer in PREPROCESSINGS.values()}


@dataclass(frozen=True)
class Exported:
    """A loaded export.

    Attributes:
        predict: Function from encoded images (JPEG, PNG, ...) to probabilities, float32, shape
            (count, classes).
        labels: Name of each class.
    """

    predict: Callable[[Sequence[bytes]], np.ndarray]
    labels: tuple[str, ...]


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
    if export.is_dir():
        return Exported(_load(export, _saved_model), tuple(metadata["labels"]))
    if export.suffix not in RUNTIMES:
        raise UserError(
            f"An export must be a SavedModel or a file that ends in {', '.join(RUNTIMES)}. "
            f"Received: {export}."
        )
    if not export.is_file():
        raise UserError(f"The export must exist. Received: {export}, which does not.")
    preprocess = _preprocess_function(metadata["preprocessing"])
    run = _load(export, RUNTIMES[export.suffix])
    return Exported(lambda encoded: run(preprocess(encoded)), tuple(metadata["labels"]))


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    try:
        metadata = json.loads(path.read_text())
        return {name: metadata[name] for name in ("labels", "preprocessing", "exports")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}, which defines the preprocessing and the labels, cannot be read. Name a "
            "folder that 'keras-classics export' wrote, or an export in it."
        ) from error


def _load(path: Path, load: Callable[[Path], Callable]) -> Callable:
    """Loads an export with its runtime; any error becomes a `UserError`."""
    try:
        return load(path)
    except UserError:
        raise
    except Exception as error:  # Each runtime has its own errors for damaged files.
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise UserError(f"{path} cannot be loaded: {reason}. Export it again.") from error


def _keras(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    model = keras.models.load_model(path, compile=False)
    return lambda images: model(images, training=False).numpy()


RUNTIMES = {".tflite": tflite_runtime, ".onnx": onnx_runtime, ".keras": _keras}


def _saved_model(path: Path) -> Callable[[Sequence[bytes]], np.ndarray]:
    serve = tf.saved_model.load(str(path)).signatures["serve_bytes"]
    return lambda encoded: serve(encoded=tf.constant(list(encoded)))["probabilities"].numpy()


def _preprocess_function(config: dict[str, Any]) -> Callable[[Sequence[bytes]], np.ndarray]:
    arguments = {key: value for key, value in config.items() if key != "layer"}
    if config["layer"] not in LAYERS:
        raise unknown_name("preprocessing", config["layer"], LAYERS)
    layer = LAYERS[config["layer"]](**arguments)

    def preprocess(encoded: Sequence[bytes]) -> np.ndarray:
        images = [image_files.decode(tf.constant(one)) for one in encoded]
        return np.concatenate([layer(image[tf.newaxis]) for image in images])

    return preprocess
