"""The network to export, and the images on which exports are compared with it."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_classics.analysis.nested import all_layers, flat
from keras_classics.errors import UserError
from keras_classics.export.fold import fold_batch_norm

# Number of test images that programs compare on.
COMPARED_IMAGES = 256
# Number of generated images if none are given, and their side if the network takes any size.
GENERATED_IMAGES = 32
GENERATED_SIDE = 224
# Images per batch when comparing.
BATCH = 32


class Source:
    """A network to export, with images and the probabilities that its exports must match.

    Args:
        model: A network with its top.
        preprocessing: The preprocessing layer that it was trained with.
        labels: Name of each class.
        images: uint8, shape (count, height, width, channels); generated images if None.
        image_labels: Class of each image, shape (count,), if known.

    Attributes:
        model: The given model.
        network: The network to write: the model in float32, with its batch normalisations folded.
        preprocessing: The given layer.
        preprocessing_config: Its class and arguments, JSON-serialisable.
        labels: The given labels.
        images: The images, uint8.
        generated: Whether the images were generated.
        image_labels: The given classes.
        inputs: The preprocessed images, float32.
        expected: The model's probabilities for the images, float32, shape (count, classes).

    Raises:
        UserError: If labels, images or preprocessing do not match the model or each other, or the
            model's outputs are not probabilities.
    """

    def __init__(
        self,
        model: keras.Model,
        preprocessing: keras.layers.Layer,
        labels: Sequence[str],
        images: np.ndarray | None = None,
        image_labels: np.ndarray | None = None,
    ):
        _check_labels(model, labels)
        self.model = model
        self.preprocessing = preprocessing
        self.preprocessing_config = {
            "layer": type(preprocessing).__name__,
            **preprocessing.get_config(),
        }
        self.labels = list(labels)
        self.generated = images is None
        self.images = generated_images(model) if images is None else np.asarray(images)
        self.image_labels = None if image_labels is None else np.asarray(image_labels)
        _check_images(self.images, self.image_labels, self.generated)
        self.inputs = preprocess(self.images, preprocessing, model)
        model = _in_float32(model)
        # Folding copies the network; large networks without normalisation do not need it.
        kind = keras.layers.BatchNormalization
        normalized = any(isinstance(layer, kind) for layer in all_layers(model))
        self.network = fold_batch_norm(model) if normalized else model
        predict = tf.function(functools.partial(model, training=False), reduce_retracing=True)
        self.expected = in_batches(predict, self.inputs)
        if not (self.expected >= 0).all():
            raise UserError(
                f"{model.name} must end in probabilities. Received: outputs that are negative or "
                "not finite. Build it with a classifier_activation, and check its weights."
            )


def generated_images(model: keras.Model) -> np.ndarray:
    """Generates images with a spectrum like that of photographs: coarse patterns are stronger.

    They replace real images if none are given. White noise would not do: it has no large shapes,
    and a network gives nearly the same output for all of it. All networks with the same input shape
    get the same images.

    Returns:
        uint8, shape (`GENERATED_IMAGES`, height, width, channels), each with values from 0 to 255.
    """
    *sides, channels = model.input_shape[1:]
    sides = [side or GENERATED_SIDE for side in sides]
    generator = np.random.default_rng(0)
    images: Any = 0.0
    cells = 2
    while cells <= max(sides):
        noise = generator.normal(size=(GENERATED_IMAGES, cells, cells, channels)) / cells
        images += tf.image.resize(noise, sides, "bicubic").numpy()
        cells *= 2
    images -= images.min(axis=(1, 2, 3), keepdims=True)
    images *= 255 / images.max(axis=(1, 2, 3), keepdims=True)
    return np.round(images).astype("uint8")


def preprocess(
    images: np.ndarray, preprocessing: keras.layers.Layer, model: keras.Model
) -> np.ndarray:
    """Returns preprocessed images, float32.

    Raises:
        UserError: If the preprocessing does not support the shape of the images, or its output does
            not have the input shape of the network.
    """
    try:
        inputs = in_batches(preprocessing, images)
    except (tf.errors.InvalidArgumentError, ValueError) as error:
        raise UserError(
            f"Images must have a shape that the preprocessing of {model.name} supports, usually "
            f"with 1 or 3 channels. Received: shape {images.shape}."
        ) from error
    expected = model.input_shape[1:]
    if any(side not in (None, own) for own, side in zip(inputs.shape[1:], expected, strict=True)):
        raise UserError(
            f"The preprocessing for {model.name} must give images of shape {expected}. "
            f"Received: one that gives {inputs.shape[1:]}."
        )
    return inputs


def in_batches(run: Callable, images: np.ndarray) -> np.ndarray:
    """Runs a function on images in batches."""
    parts = [run(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
    return np.concatenate([np.asarray(part) for part in parts])


def _check_labels(model: keras.Model, labels: Sequence[str]) -> None:
    if len(model.output_shape) != 2:
        raise UserError(
            f"{model.name} must end in one probability per class. Received: outputs of shape "
            f"{model.output_shape}. Build it with include_top=True."
        )
    if len(labels) != model.output_shape[-1]:
        raise UserError(
            f"{model.name} needs {model.output_shape[-1]} labels, one per class. "
            f"Received: {len(labels)} labels."
        )


def _check_images(images: np.ndarray, labels: np.ndarray | None, generated: bool) -> None:
    check_uint8("images", images)
    if labels is None:
        return
    if generated:
        raise UserError("image_labels need images. Received: images=None. Pass both.")
    if labels.shape != images.shape[:1]:
        raise UserError(
            f"image_labels must have one label for each of {len(images)} images. "
            f"Received: shape {labels.shape}."
        )


def check_uint8(name: str, images: np.ndarray) -> None:
    """Raises a `UserError` if an argument does not contain uint8 images."""
    if images.dtype != np.uint8 or images.ndim != 4 or not images.size:
        raise UserError(
            f"{name} must be uint8 of shape (count, height, width, channels), with count >= 1. "
            f"Received: {images.dtype}, {images.shape}."
        )


def _in_float32(model: keras.Model) -> keras.Model:
    """Returns the model, or a float32 copy if a layer has another dtype policy."""
    if all(layer.compute_dtype == "float32" for layer in all_layers(model)):
        return model
    model = flat(model)

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    exact = keras.models.clone_model(model, clone_function=clone)
    exact.set_weights(model.get_weights())
    return exact
