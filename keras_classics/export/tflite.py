"""TFLite: one file for LiteRT, with built-in operations only."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_classics import files
from keras_classics.errors import require, unknown_name
from keras_classics.export.verify import Agreement, agreement

QUANTIZATIONS = ("none",)


def tflite(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    preprocessing: keras.layers.Layer,
    images: np.ndarray | None = None,
    quantize: str = "none",
) -> Agreement:
    """Writes a `.tflite` file, runs it in LiteRT and compares it with the model.

    Input: float32, one image as the network takes it, shape (1, height, width, channels).
    Output: its probabilities, shape (1, classes).

    Args:
        model: A network with its top.
        path: File to write.
        preprocessing: The layer that the network was trained with.
        images: uint8 images to compare on, shape (count, height, width, channels); noise if None.
        quantize: `"none"`: float32.

    Returns:
        How well the two agree.

    Raises:
        UserError: `quantize` is unknown, or the runtime is not installed.
        VerificationError: The two disagree; nothing is left.
    """
    if quantize not in QUANTIZATIONS:
        raise unknown_name("quantization", quantize, QUANTIZATIONS)
    path = Path(path)
    files.refuse_existing(path)
    with files.written_aside(path) as aside:
        aside.write_bytes(_convert(model))
        run = _interpreter(aside)
        return agreement(model, preprocessing, images, lambda batch: run(preprocessing(batch)))


def _convert(model: keras.Model) -> bytes:
    signature = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, "images")
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", lambda x: model(x, training=False), [signature])
    # The converter finds a Keras 3 model's variables only in a SavedModel.
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        return converter.convert()


def _interpreter(path: Path) -> Callable[[tf.Tensor], np.ndarray]:
    """The written file in LiteRT: images as the network takes them to probabilities."""
    litert = require("ai_edge_litert.interpreter", "export")
    interpreter = litert.Interpreter(str(path))
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()

    def run(images: tf.Tensor) -> np.ndarray:
        outputs = []
        for image in np.asarray(images):
            interpreter.set_tensor(source["index"], image[np.newaxis])
            interpreter.invoke()
            outputs.append(interpreter.get_tensor(target["index"])[0].copy())
        return np.stack(outputs)

    return run
