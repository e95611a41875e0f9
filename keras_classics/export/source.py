"""What is exported, and the images that its exports are held to."""

import functools
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_classics.errors import UserError
from keras_classics.export.fold import fold_batch_norm

# As many test images as programs compare on.
COMPARED_IMAGES = 256
# As many are made where none are given, with sides of so many pixels where the network takes any.
GENERATED_IMAGES = 32
GENERATED_SIDE = 224
# Images at a time in comparing.
BATCH = 32


class Source:
    """A network to export, and what its exports are held to.

    Args:
        model: A network with its top.
        preprocessing: The layer that it was trained with, from uint8 images to what it takes.
        labels: Name of each class.
        images: uint8, shape (count, height, width, channels); generated ones if None.
        image_labels: Class of each image, shape (count,), if known.

    Attributes:
        model: The model as it was given.
        network: What is written: the model in float32, without the batch normalisations that
            other layers can take in.
        preprocessing: As given.
        preprocessed: Its class and arguments, as JSON can hold them.
        labels: As given.
        images: The images, uint8.
        generated: Whether they were generated.
        image_labels: As given.
        inputs: What preprocessing makes of the images, float32.
        expected: The model's probabilities of them, in float32, shape (count, classes).

    Raises:
        UserError: Labels, images or preprocessing do not fit the model or each other, or the model
            does not end in probabilities.
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
        self.preprocessed = {"layer": type(preprocessing).__name__, **preprocessing.get_config()}
        self.labels = list(labels)
        self.generated = images is None
        self.images = generated_images(model) if images is None else np.asarray(images)
        self.image_labels = None if image_labels is None else np.asarray(image_labels)
        _check_images(self.images, self.image_labels, self.generated)
        self.inputs = prepared(self.images, preprocessing, model)
        model = _in_float32(model)
        # Folding makes a copy, of which large networks without normalisation have no need.
        normalized = any(isinstance(x, keras.layers.BatchNormalization) for x in model.layers)
        self.network = fold_batch_norm(model) if normalized else model
        answer = tf.function(functools.partial(model, training=False), reduce_retracing=True)
        self.expected = in_batches(answer, self.inputs)
        if not (self.expected >= 0).all():
            raise UserError(
                f"{model.name} must end in probabilities. Received: negative numbers, or such that "
                "are not finite. Build it with a classifier_activation, and look at its weights."
            )


def generated_images(model: keras.Model) -> np.ndarray:
    """Makes images with the spectrum of photographs: the coarser a pattern, the stronger it is.

    They are the same for each network of an input shape. They stand in where there are no real
    ones: noise alone has no large forms, and all images of it look the same to a network.

    Returns:
        uint8, shape (`GENERATED_IMAGES`, height, width, channels), each from 0 to 255.
    """
    *sides, channels = model.input_shape[1:]
    sides = [side or GENERATED_SIDE for side in sides]
    generator = np.random.default_rng(0)
    images, cells = 0.0, 2
    while cells <= max(sides):
        noise = generator.normal(size=(GENERATED_IMAGES, cells, cells, channels)) / cells
        images += tf.image.resize(noise, sides, "bicubic").numpy()
        cells *= 2
    images -= images.min(axis=(1, 2, 3), keepdims=True)
    images *= 255 / images.max(axis=(1, 2, 3), keepdims=True)
    return np.round(images).astype("uint8")


def prepared(
    images: np.ndarray, preprocessing: keras.layers.Layer, model: keras.Model
) -> np.ndarray:
    """Returns what a network takes of uint8 images, float32.

    Raises:
        UserError: Preprocessing does not take such images, or makes another shape than the network
            takes.
    """
    try:
        inputs = in_batches(preprocessing, images)
    except (tf.errors.InvalidArgumentError, ValueError) as error:
        raise UserError(
            f"Images must be such as the preprocessing of {model.name} takes, of 1 or 3 channels "
            f"in most cases. Received: shape {images.shape}."
        ) from error
    takes = model.input_shape[1:]
    if any(side not in (None, own) for own, side in zip(inputs.shape[1:], takes, strict=True)):
        raise UserError(
            f"The preprocessing must make images of shape {takes} for {model.name}. "
            f"Received: one that makes {inputs.shape[1:]}."
        )
    return inputs


def in_batches(run: Callable, images: np.ndarray) -> np.ndarray:
    """Runs a function on some images at a time."""
    parts = [run(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
    return np.concatenate([np.asarray(part) for part in parts])


def _check_labels(model: keras.Model, labels: Sequence[str]) -> None:
    if len(model.output_shape) != 2:
        raise UserError(
            f"{model.name} must end in a probability a class. Received: outputs of shape "
            f"{model.output_shape}. Build it with include_top=True."
        )
    if len(labels) != model.output_shape[-1]:
        raise UserError(
            f"{model.name} has {model.output_shape[-1]} classes. Received: {len(labels)} labels."
        )


def _check_images(images: np.ndarray, labels: np.ndarray | None, generated: bool) -> None:
    check_uint8("images", images)
    if labels is None:
        return
    if generated:
        raise UserError("image_labels are those of images. Received: no images. Give both.")
    if labels.shape != images.shape[:1]:
        raise UserError(
            f"image_labels must be one for each of {len(images)} images. "
            f"Received: shape {labels.shape}."
        )


def check_uint8(name: str, images: np.ndarray) -> None:
    """Raises a `UserError` where an argument does not hold uint8 images."""
    if images.dtype != np.uint8 or images.ndim != 4 or not images.size:
        raise UserError(
            f"{name} must be uint8, of shape (count, height, width, channels), one at the least. "
            f"Received: {images.dtype}, {images.shape}."
        )


def _in_float32(model: keras.Model) -> keras.Model:
    """The model, or the same in float32 where a layer computes in less."""
    if all(layer.compute_dtype == "float32" for layer in model.layers):
        return model

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    exact = keras.models.clone_model(model, clone_function=clone)
    exact.set_weights(model.get_weights())
    return exact
