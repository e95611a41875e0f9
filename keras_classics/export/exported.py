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
from keras_classics.image_preprocessing import PREPROCESSINGS

# From the bytes of an image to what the runtime takes; from a list of that to outputs, float32.
Prepare = Callable[[bytes], Any]
Run = Callable[[Sequence[Any]], np.ndarray]


# Name of the activation of outputs that do not exclude each other.
SIGMOID = "sigmoid"


@dataclass(frozen=True)
class Exported:
    """A loaded export.

    Attributes:
        prepare: Function from an encoded image (JPEG, PNG, GIF, BMP or WebP) to what `run` takes.
            Raises `tf.errors.OpError` if it cannot be decoded, unless `run` decodes it: then it
            returns the same bytes. Threads may call it side by side.
        run: Function from prepared images, at least one, to probabilities, float32, shape
            (count, outputs). Raises `tf.errors.OpError` if it decodes images and one cannot be.
        labels: Name of each output.
        max_pixels: Most pixels of an image.
        upright: Whether it was trained on images turned as their EXIF orientation says. `predict`
            turns none.
        multilabel: Whether an image may have any number of labels: each output is a sigmoid.
    """

    prepare: Prepare
    run: Run
    labels: tuple[str, ...]
    max_pixels: int
    upright: bool = False
    multilabel: bool = False

    def predict(self, encoded: Sequence[bytes]) -> np.ndarray:
        """Returns the probabilities of encoded images, float32, shape (count, outputs).

        Raises:
            UserError: If an image cannot be decoded; it names the first.
        """
        if not len(encoded):
            return np.zeros((0, len(self.labels)), "float32")
        try:
            return self.run([self.prepare(one) for one in encoded])
        except tf.errors.OpError as error:
            raise _unusable(encoded, self.max_pixels, error) from error


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
        export = export / next(iter(read_manifest(export)["exports"]))
    metadata = read_manifest(export.parent)
    labels, max_pixels = tuple(metadata["output"]["labels"]), metadata["max_pixels"]
    if export.is_dir():
        # It decodes images itself.
        prepare, run = bytes, _load(export, _saved_model)
    else:
        prepare, run = _of_file(export)
    upright = metadata.get("exif_orientation") == "applied"
    multilabel = metadata["output"].get("activation") == SIGMOID
    return Exported(prepare, run, labels, max_pixels, upright, multilabel)


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
    prepare, run = _preprocessed(preprocessing, MAX_PIXELS), _joined(_in_keras(model))
    activation = getattr(model.layers[-1], "activation", None)
    multilabel = getattr(activation, "__name__", None) == SIGMOID
    return Exported(prepare, run, tuple(labels), MAX_PIXELS, upright, multilabel)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Returns the manifest of a folder of exports.

    Raises:
        UserError: If there is none, or it is damaged.
    """
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


def _of_file(export: Path) -> tuple[Prepare, Run]:
    if export.suffix not in RUNTIMES:
        raise UserError(
            f"An export must be a SavedModel or a file that ends in {', '.join(RUNTIMES)}. "
            f"Received: {export}."
        )
    if not export.is_file():
        raise UserError(f"The export must exist. Received: {export}, which does not.")
    run = _joined(_load(export, RUNTIMES[export.suffix]))
    return prepare_of(export), run


def prepare_of(export: Path) -> Prepare:
    """Returns the function from an encoded image to what an export takes, a batch of one.

    Of a SavedModel, it is what the signature `serving_default` takes.
    """
    metadata = read_manifest(export.parent)
    layer, max_pixels = preprocessing_of(metadata["preprocessing"]), metadata["max_pixels"]
    # model.keras is not among the exports: it takes what the network takes.
    stated = metadata["exports"].get(export.name, {}).get("input", {})
    if stated.get("dtype") == "uint8":
        return functools.partial(_whole_pixels, layer, max_pixels)
    return _preprocessed(layer, max_pixels)


def _preprocessed(layer: keras.layers.Layer, max_pixels: int) -> Prepare:
    """Returns the function from an encoded image to what a network in float32 takes."""
    if not isinstance(layer, tuple(PREPROCESSINGS.values())):
        return lambda encoded: np.asarray(layer(_decoded(encoded, max_pixels)), "float32")

    @tf.function(input_signature=[tf.TensorSpec((), tf.string)], autograph=False)
    def resized(encoded: tf.Tensor) -> tf.Tensor:
        return layer.resize(_decoded(encoded, max_pixels))

    # In a graph, TensorFlow would replace the division of `finish`, which then rounds otherwise.
    return lambda encoded: np.asarray(layer.finish(resized(tf.constant(encoded))), "float32")


def _whole_pixels(layer: keras.layers.Layer, max_pixels: int, encoded: bytes) -> np.ndarray:
    """Returns what an export of whole pixels takes of an encoded image."""
    return rounded_pixels(layer, _decoded(encoded, max_pixels))


def _decoded(encoded: bytes | tf.Tensor, max_pixels: int) -> tf.Tensor:
    """Returns a batch of one image."""
    return image_files.decode(tf.convert_to_tensor(encoded), max_pixels)[tf.newaxis]


def _joined(run: Callable[[np.ndarray], np.ndarray]) -> Run:
    """Returns a function of a list of images, from one of a batch."""
    return lambda images: np.asarray(run(np.concatenate(images)), "float32")


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
    @tf.function(reduce_retracing=True, autograph=False)
    def compiled(images: tf.Tensor) -> tf.Tensor:
        return model(images, training=False)

    def run(images: np.ndarray) -> np.ndarray:
        # To trace a deep network takes longer than one image.
        outputs = compiled(images) if len(images) > 1 else model(images, training=False)
        return keras.ops.convert_to_numpy(outputs)

    return run


RUNTIMES = {".tflite": tflite_runtime, ".onnx": onnx_runtime, ".keras": _keras}


def _saved_model(path: Path) -> Run:
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
