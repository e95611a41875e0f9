"""SavedModel: with preprocessing and labels inside, for TensorFlow alone.

Signatures, each for any batch size:

    serving_default   images: float32 (batch, height, width, channels), as the network takes them
    serve_images      images: uint8 (batch, any, any, channels)
    serve_bytes       encoded: strings (batch,), each a JPEG, PNG, GIF or BMP file

Each returns `probabilities` (batch, classes), `top_ids` and `top_labels` (batch, 5), best first.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_classics import files
from keras_classics.errors import UserError
from keras_classics.export.verify import Agreement, agreement

TOP = 5


def saved_model(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    preprocessing: keras.layers.Layer,
    labels: Sequence[str],
    images: np.ndarray | None = None,
) -> Agreement:
    """Writes a SavedModel, loads it again and compares it with the model.

    Args:
        model: A network with its top.
        path: Folder to write; it must not be there yet.
        preprocessing: The layer that the network was trained with.
        labels: Name of each class.
        images: uint8 images to compare on, shape (count, height, width, channels); noise if None.

    Returns:
        How well the two agree.

    Raises:
        UserError: The folder is there, or labels and classes differ in number.
        VerificationError: The two disagree; nothing is left.
    """
    path = Path(path)
    files.refuse_existing(path)
    if len(labels) != model.output_shape[-1]:
        raise UserError(
            f"{model.name} has {model.output_shape[-1]} classes. Received: {len(labels)} labels."
        )
    with files.written_aside(path) as aside:
        _write(model, aside, preprocessing, labels)
        return agreement(model, preprocessing, images, _Reloaded(aside))


def _write(model, path: Path, preprocessing, labels: Sequence[str]) -> None:
    channels = model.input_shape[-1]
    names = tf.constant(list(labels))

    def answer(images):
        probabilities = model(images, training=False)
        top = tf.math.top_k(probabilities, k=min(TOP, len(labels)))
        return {
            "probabilities": probabilities,
            "top_ids": top.indices,
            "top_labels": tf.gather(names, top.indices),
        }

    def decode(encoded):
        image = tf.io.decode_image(encoded, channels=channels, expand_animations=False)
        image.set_shape((None, None, channels))
        return preprocessing(image[tf.newaxis])[0]

    def serve_bytes(encoded):
        signature = tf.TensorSpec(model.input_shape[1:], tf.float32)
        return answer(tf.map_fn(decode, encoded, fn_output_signature=signature))

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serving_default", answer, [tf.TensorSpec(model.input_shape, tf.float32, "images")]
    )
    archive.add_endpoint(
        "serve_images",
        lambda images: answer(preprocessing(images)),
        [tf.TensorSpec((None, None, None, channels), tf.uint8, "images")],
    )
    archive.add_endpoint("serve_bytes", serve_bytes, [tf.TensorSpec((None,), tf.string, "encoded")])
    archive.write_out(str(path), verbose=False)


class _Reloaded:
    """The written SavedModel, as TensorFlow loads it: uint8 images to probabilities."""

    def __init__(self, path: Path):
        self._loaded = tf.saved_model.load(str(path))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        served = self._loaded.signatures["serve_images"](images=tf.constant(images))
        return served["probabilities"].numpy()
