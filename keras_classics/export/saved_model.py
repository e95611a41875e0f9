"""SavedModel: with preprocessing and labels inside, for TensorFlow alone.

Signatures, each for any batch size:

    serving_default   images: float32 (batch, height, width, channels), as the network takes them
    serve_images      images: uint8 (batch, any, any, channels)
    serve_bytes       encoded: strings (batch,), each a JPEG, PNG, GIF or BMP file

Each returns `probabilities` (batch, classes), `top_ids` and `top_labels` (batch, 5), best first.
Where files of a batch cannot be decoded, `serve_bytes` fails and says which, counted from 0.

TensorFlow Serving serves the folder when it lies under a number, the version: PATH/MODEL/1. It
needs no XLA. A request to .../v1/models/MODEL:predict,

    {"signature_name": "serve_bytes", "instances": [{"b64": "/9j/4AAQ..."}]}

where `b64` is a file in Base64, is answered by

    {"predictions": [{"probabilities": [...], "top_ids": [...], "top_labels": [...]}]}
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_classics.data import image_files
from keras_classics.errors import UserError
from keras_classics.export.source import Source
from keras_classics.export.verify import Check, check, written

TOP = 5


def saved_model(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    preprocessing: keras.layers.Layer,
    labels: Sequence[str],
    images: np.ndarray | None = None,
    image_labels: np.ndarray | None = None,
    overwrite: bool = False,
) -> Check:
    """Writes a SavedModel, loads it again and compares it with the model.

    Args:
        model: A network with its top.
        path: Folder to write.
        preprocessing: The layer that the network was trained with.
        labels: Name of each class.
        images: uint8 images to compare on, shape (count, height, width, channels); generated ones
            if None.
        image_labels: Class of each image, if known, shape (count,).
        overwrite: Whether to replace what is there.

    Returns:
        How well the two agree, and how long it takes.

    Raises:
        UserError: The folder is there, or the arguments do not fit the model or each other.
        VerificationError: The two disagree; nothing is left.
    """
    with written(path, overwrite) as aside:
        return write(Source(model, preprocessing, labels, images, image_labels), aside)


def write(source: Source, path: Path) -> Check:
    """Writes a SavedModel of a network where nothing is yet, and checks it.

    Raises:
        VerificationError: It disagrees with the model.
    """
    build(source, path)
    signatures = tf.saved_model.load(str(path)).signatures

    def run(signature: str, images: np.ndarray) -> np.ndarray:
        return signatures[signature](images=tf.constant(images))["probabilities"].numpy()

    return check(
        source,
        lambda images: run("serving_default", images),
        run_raw=lambda images: run("serve_images", images),
        format="saved_model",
    )


def build(source: Source, path: Path) -> None:
    """Writes a SavedModel of a network where nothing is yet."""
    answer = _answer(source)
    preprocessing = source.preprocessing
    sides, channels = source.inputs.shape[1:], source.images.shape[-1]
    # What the signatures use is tracked without a word; a network that is tracked by name besides
    # has its weights in the files twice.
    archive = keras.export.ExportArchive()
    archive.add_endpoint(
        "serving_default", answer, [tf.TensorSpec((None, *sides), tf.float32, "images")]
    )
    archive.add_endpoint(
        "serve_images",
        lambda images: answer(preprocessing(images)),
        [tf.TensorSpec((None, None, None, channels), tf.uint8, "images")],
    )
    archive.add_endpoint(
        "serve_bytes",
        lambda encoded: answer(_decoded(encoded, preprocessing, sides)),
        [tf.TensorSpec((None,), tf.string, "encoded")],
    )
    write_out(archive, path)


def write_out(archive: keras.export.ExportArchive, path: Path) -> None:
    """Writes the folder of a SavedModel.

    Raises:
        UserError: The system does not let it, because the disk is full or for another reason.
    """
    try:
        archive.write_out(str(path), verbose=False)
    except tf.errors.OpError as error:
        # What the system says stands behind the name of a file.
        said = error.message.rpartition("; ")[2].removesuffix(" [Op:SaveV2]")
        raise UserError(f"{path} cannot be written: {said}.") from error


def _answer(source: Source) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """What each signature does with images that are ready for the network, traced once for all."""
    names = tf.constant(source.labels)

    @tf.function(input_signature=[tf.TensorSpec((None, *source.inputs.shape[1:]), tf.float32)])
    def answer(images: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = source.network(images, training=False)
        top = tf.math.top_k(probabilities, k=min(TOP, len(source.labels)))
        return {
            "probabilities": probabilities,
            "top_ids": top.indices,
            "top_labels": tf.gather(names, top.indices),
        }

    return answer


def _decoded(
    encoded: tf.Tensor, preprocessing: keras.layers.Layer, sides: tuple[int, int, int]
) -> tf.Tensor:
    """Makes of picture files what the network takes, each on its own, as they differ in size."""

    def decode(number: tf.Tensor, file: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return number, preprocessing(image_files.decode(file)[tf.newaxis])[0]

    # A graph cannot catch an error, but a pipeline drops what fails: the numbers that are missing
    # behind it tell of all of them.
    dataset = tf.data.Dataset.from_tensor_slices(encoded).enumerate()
    dataset = dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE).ignore_errors()
    # One element in front, because nothing at all cannot be put into a batch.
    front = tf.data.Dataset.from_tensors((tf.constant(-1, tf.int64), tf.zeros(sides)))
    count = tf.size(encoded, tf.int64)
    numbers, images = front.concatenate(dataset).batch(count + 1).get_single_element()
    missing = tf.sets.difference(tf.range(count)[tf.newaxis], numbers[tf.newaxis]).values
    message = "Not a JPEG, PNG, GIF or BMP file that can be decoded, counted from 0:"
    with tf.control_dependencies([tf.debugging.Assert(tf.size(missing) == 0, [message, missing])]):
        return tf.identity(images[1:])
