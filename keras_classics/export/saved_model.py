"""SavedModel export for TensorFlow, including the preprocessing and the labels.

Signatures, each for any batch size; `manifest.json` lists them with their inputs and outputs:

    serving_default   images: float32 (batch, height, width, channels), preprocessed
    serve_images      images: uint8 (batch, any, any, channels)
    serve_bytes       encoded: strings (batch,), each a JPEG, PNG, GIF, BMP or WebP file

Each returns `probabilities` (batch, classes), `top_ids` and `top_labels` (batch, 5), best first.
If files of a batch cannot be decoded, or have more pixels than the export allows, `serve_bytes`
fails and the error lists them, counted from 0. Of an animated GIF, the first frame counts.

TensorFlow Serving serves the folder if its name is a version number: PATH/MODEL/1. XLA is not
needed. A request to .../v1/models/MODEL:predict,

    {"signature_name": "serve_bytes", "instances": [{"b64": "/9j/4AAQ..."}]}

where `b64` is a file in Base64, returns

    {"predictions": [{"probabilities": [...], "top_ids": [...], "top_labels": [...]}]}
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_classics.data import image_files
from keras_classics.data.image_size import MAX_PIXELS
from keras_classics.errors import UserError
from keras_classics.export.source import Source
from keras_classics.export.verify import Check, check, check_files, output

TOP = 5
# What each signature takes; those after the first, in place of the network's `input`.
IMAGES_WORDS = "images of any size; they are resized and normalised inside"
FILES_WORDS = "JPEG, PNG, GIF, BMP or WebP files"


def saved_model(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    preprocessing: keras.layers.Layer,
    labels: Sequence[str],
    images: np.ndarray | None = None,
    image_labels: np.ndarray | None = None,
    max_pixels: int = MAX_PIXELS,
    overwrite: bool = False,
) -> Check:
    """Writes a SavedModel, reloads it and compares it with the model.

    Args:
        model: A network with its top.
        path: Folder to write.
        preprocessing: The preprocessing layer that the network was trained with.
        labels: Name of each output.
        images: uint8 images to compare on, shape (count, height, width, channels); generated images
            if None.
        image_labels: Class of each image, if known, shape (count,), or for sigmoids (count,
            outputs), 1 where the class of an output applies.
        max_pixels: Most pixels of an image file that `serve_bytes` decodes.
        overwrite: Whether to replace an existing folder.

    Returns:
        The agreement with the model, and the latency.

    Raises:
        UserError: If the folder exists, the arguments do not match the model or each other, or the
            preprocessing cannot bring images of any size to the shape that the model takes.
        VerificationError: If the export disagrees with the model; nothing is then written.
    """
    with output(path, overwrite, folder=True) as aside:
        source = Source(model, preprocessing, labels, images, image_labels, True, max_pixels)
        return write(source, aside)


def write(source: Source, path: Path) -> Check:
    """Writes a SavedModel to a path that does not exist yet, and verifies it.

    Raises:
        VerificationError: If it disagrees with the model.
    """
    build(source, path)
    signatures = tf.saved_model.load(str(path)).signatures

    def run(signature: str, images: np.ndarray) -> np.ndarray:
        return signatures[signature](images=tf.constant(images))["probabilities"].numpy()

    def run_files(encoded: list[bytes]) -> np.ndarray:
        return signatures["serve_bytes"](encoded=tf.constant(encoded))["probabilities"].numpy()

    check_files(source, run_files, "serve_bytes")
    return check(
        source,
        lambda images: run("serving_default", images),
        run_raw=lambda images: run("serve_images", images),
        format="saved_model",
        **_interface(source),
    )


def _interface(source: Source) -> dict[str, Any]:
    """Returns input and output as a manifest states them, and those of the other signatures."""
    channels = source.images.shape[-1]
    output_block = source.output | {"name": "probabilities"}
    outputs = ["probabilities", "top_ids", "top_labels"]
    ready = {"name": "images", "dtype": "float32", "shape": source.input["shape"]}
    images = {"name": "images", "dtype": "uint8", "shape": [None, None, None, channels]}
    encoded = {"name": "encoded", "dtype": "string", "shape": [None]}
    return {
        "input": source.input | {"name": "images"},
        "output": output_block,
        "signatures": {
            "serving_default": {"input": ready, "outputs": outputs},
            "serve_images": {"input": images | {"value": IMAGES_WORDS}, "outputs": outputs},
            "serve_bytes": {"input": encoded | {"value": FILES_WORDS}, "outputs": outputs},
        },
    }


def build(source: Source, path: Path) -> None:
    """Writes a SavedModel to a path that does not exist yet."""
    predict = _predict_function(source)

    def preprocessing(images: tf.Tensor) -> tf.Tensor:
        return tf.cast(source.preprocessing(images), tf.float32)

    sides, channels = source.inputs.shape[1:], source.images.shape[-1]
    # The archive tracks everything that the signatures use. Tracking the network explicitly too
    # would store its weights twice.
    archive = keras.export.ExportArchive()
    archive.add_endpoint(
        "serving_default", predict, [tf.TensorSpec((None, *sides), tf.float32, "images")]
    )
    archive.add_endpoint(
        "serve_images",
        lambda images: predict(preprocessing(images)),
        [tf.TensorSpec((None, None, None, channels), tf.uint8, "images")],
    )
    archive.add_endpoint(
        "serve_bytes",
        lambda encoded: predict(_decoded(encoded, preprocessing, sides, source.max_pixels)),
        [tf.TensorSpec((None,), tf.string, "encoded")],
    )
    write_out(archive, path)


def write_out(archive: keras.export.ExportArchive, path: Path) -> None:
    """Writes the folder of a SavedModel.

    Raises:
        UserError: If it cannot be written, for example because the disk is full.
    """
    try:
        archive.write_out(str(path), verbose=False)
    except tf.errors.OpError as error:
        # The reason follows the name of a file.
        reason = error.message.rpartition("; ")[2].removesuffix(" [Op:SaveV2]")
        raise UserError(f"{path} cannot be written: {reason}.") from error


def _predict_function(source: Source) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Returns the function from preprocessed images to outputs, traced once for all signatures."""
    names = tf.constant(source.labels)

    @tf.function(
        input_signature=[tf.TensorSpec((None, *source.inputs.shape[1:]), tf.float32)],
        autograph=False,
    )
    def predict(images: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = source.network(images, training=False)
        top = tf.math.top_k(probabilities, k=min(TOP, len(source.labels)))
        return {
            "probabilities": probabilities,
            "top_ids": top.indices,
            "top_labels": tf.gather(names, top.indices),
        }

    return predict


@tf.autograph.experimental.do_not_convert
def _decoded(
    encoded: tf.Tensor,
    preprocessing: Callable[[tf.Tensor], tf.Tensor],
    sides: tuple[int, int, int],
    max_pixels: int,
) -> tf.Tensor:
    """Decodes and preprocesses image files, one by one, because their sizes differ."""

    def decode(number: tf.Tensor, file: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return number, preprocessing(image_files.decode(file, max_pixels)[tf.newaxis])[0]

    # A graph cannot catch exceptions, but a tf.data pipeline can drop elements that fail. The
    # numbers that are missing afterwards identify them.
    dataset = tf.data.Dataset.from_tensor_slices(encoded).enumerate()
    dataset = dataset.map(decode, num_parallel_calls=tf.data.AUTOTUNE).ignore_errors()
    # A dummy element in front, because an empty dataset cannot be batched.
    front = tf.data.Dataset.from_tensors((tf.constant(-1, tf.int64), tf.zeros(sides)))
    count = tf.size(encoded, tf.int64)
    numbers, images = front.concatenate(dataset).batch(count + 1).get_single_element()
    missing = tf.sets.difference(tf.range(count)[tf.newaxis], numbers[tf.newaxis]).values
    message = (
        f"Not a JPEG, PNG, GIF or BMP file of at most {max_pixels:,} pixels that can be decoded, "
        "counted from 0:"
    )
    with tf.control_dependencies([tf.debugging.Assert(tf.size(missing) == 0, [message, missing])]):
        return tf.identity(images[1:])
