"""The network to export, and the images on which exports are compared with it."""

import copy
import functools
import json
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_classics.analysis.nested import all_layers, flat
from keras_classics.data import image_files
from keras_classics.data.image_size import MAX_PIXELS
from keras_classics.errors import UserError, short_reason, unknown_name
from keras_classics.export.fold import fold_batch_norm
from keras_classics.export.interface import (
    input_block,
    known_normalization,
    output_block,
    pixel_block,
    rounded_pixels,
    takes_pixels,
)
from keras_classics.image_preprocessing import PREPROCESSINGS

# Number of test images that programs compare on.
COMPARED_IMAGES = 256
# Number of generated images if none are given, and their side if the network takes any size.
GENERATED_IMAGES = 32
GENERATED_SIDE = 224
# Images per batch when comparing.
BATCH = 32
# Images that are served as files when comparing.
FILES = 8
# Heights and widths of the images that a preprocessing must bring to one shape.
SERVED_SIDES = ((60, 80), (301, 200))
# By how much the probabilities of exclusive classes may miss a sum of 1.
SUM_TOLERANCE = 1e-3


class Source:
    """A network to export, with images and the probabilities that its exports must match.

    Args:
        model: A network with its top.
        preprocessing: The preprocessing layer that it was trained with.
        labels: Name of each output.
        images: uint8, shape (count, height, width, channels); generated images if None.
        image_labels: Class of each image, if known, shape (count,); for sigmoids also (count,
            outputs), 1 where the class of an output applies.
        served: Whether the export includes decoding and preprocessing of image files.
        max_pixels: Most pixels of an image file.

    Attributes:
        model: The given model.
        network: The network to write: the model in float32, with its batch normalisations folded.
        preprocessing: The given layer.
        preprocessing_config: Its class and arguments, JSON-serialisable.
        labels: The given labels.
        images: The images, uint8.
        generated: Whether the images were generated.
        image_labels: The given classes; for sigmoids shape (count, outputs), 0 or 1.
        prepare: Function from uint8 images to what the exports take.
        inputs: The images as the exports take them.
        predict: The model in float32, as a function from preprocessed images.
        expected: The model's probabilities for the images, float32, shape (count, outputs).
        exact: Whether the model computes in float32 itself.
        exclusive: Whether the outputs of an image are the probabilities of exclusive classes, which
            add up to 1. Otherwise each is a sigmoid, the probability that its class applies.
        input: What the exports take, for programs without this package; see `interface`.
        output: What they return.
        max_pixels: The given limit.
        files: If served, some of the images as PNG files.
        expected_of_files: If served, the model's probabilities for them.

    Raises:
        UserError: If labels, images or preprocessing do not match the model or each other, the
            model's outputs are not probabilities, or, if served, the preprocessing cannot be.
    """

    def __init__(
        self,
        model: keras.Model,
        preprocessing: keras.layers.Layer,
        labels: Sequence[str],
        images: np.ndarray | None = None,
        image_labels: np.ndarray | None = None,
        served: bool = False,
        max_pixels: int = MAX_PIXELS,
    ):
        _check_ends(model)
        _check_labels(model, labels)
        self.model = model
        self.preprocessing = preprocessing
        self.preprocessing_config = preprocessing_config(preprocessing)
        self.labels = list(labels)
        self.max_pixels = max_pixels
        self.generated = images is None
        self.images = (
            generated_images(model.input_shape[1:]) if images is None else np.asarray(images)
        )
        self.image_labels = None if image_labels is None else np.asarray(image_labels)
        _check_images(self.images, self.image_labels, self.generated)
        if served:
            _check_served(preprocessing, model)
        self.prepare = functools.partial(preprocess, preprocessing=preprocessing, model=model)
        self.inputs = self.prepare(self.images)
        model = _in_float32(model)
        self.exact = model is self.model
        # Folding copies the network; large networks without normalisation do not need it.
        kind = keras.layers.BatchNormalization
        normalized = any(isinstance(layer, kind) for layer in all_layers(model))
        self.network = fold_batch_norm(model) if normalized else model
        self.predict = tf.function(
            functools.partial(model, training=False), reduce_retracing=True, autograph=False
        )
        self.expected = in_batches(self.predict, self.inputs)
        self.exclusive = _exclusive(self.model, self.expected)
        self.input = input_block(preprocessing, self.inputs.shape[1:], self.model.inputs[0].name)
        last = _last_operation(self.model)
        activation = getattr(getattr(last, "activation", None), "__name__", None)
        self.output = output_block(self.labels, self.exclusive, activation, last.name)
        if self.image_labels is not None:
            self.image_labels = _checked_labels(self.image_labels, len(self.labels), self.exclusive)
        if served:
            self.files = [tf.io.encode_png(image).numpy() for image in self.images[:FILES]]
            images = np.stack([image_files.decode(tf.constant(file)) for file in self.files])
            self.expected_of_files = in_batches(self.predict, self.prepare(images))

    def taking_pixels(self) -> "Source":
        """Returns the same network for exports that take uint8 pixels and normalise them.

        Its `inputs` are the resized images, rounded to whole numbers, and `expected` are the
        model's probabilities for these.

        Raises:
            UserError: If what the preprocessing does with the values of pixels is unknown.
        """
        step, layer = known_normalization(self.preprocessing), self.preprocessing
        twin = copy.copy(self)
        twin.prepare = functools.partial(in_batches, functools.partial(rounded_pixels, layer))
        twin.inputs = twin.prepare(self.images)
        twin.network = takes_pixels(self.network, step, twin.inputs.shape[1:])
        twin.input = self.input | pixel_block(twin.inputs.shape[-1])

        def expected(pixels: np.ndarray) -> np.ndarray:
            return in_batches(self.predict, step(pixels))

        twin.expected = expected(twin.inputs)
        decoded = np.stack([image_files.decode(tf.constant(file)) for file in self.files])
        twin.expected_of_files = expected(twin.prepare(decoded))
        return twin


def generated_images(shape: Sequence[int | None]) -> np.ndarray:
    """Generates images with a spectrum like that of photographs: coarse patterns are stronger.

    They replace real images if none are given. White noise would not do: it has no large shapes,
    and a network gives nearly the same output for all of it.

    Args:
        shape: Height, width and channels; sides that are free are None.

    Returns:
        uint8, shape (`GENERATED_IMAGES`, height, width, channels), each with values from 0 to 255.
    """
    *sides, channels = shape
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
        inputs = in_batches(preprocessing, images).astype("float32")
    except (tf.errors.InvalidArgumentError, ValueError) as error:
        raise UserError(
            f"Images must have a shape that the preprocessing of {model.name} supports, usually "
            f"with 1 or 3 channels. Received: shape {images.shape}."
        ) from error
    expected = model.input_shape[1:]
    if not fits(inputs.shape[1:], expected):
        raise UserError(
            f"The preprocessing for {model.name} must give images of shape {expected}. "
            f"Received: one that gives {inputs.shape[1:]}."
        )
    return inputs


def in_batches(run: Callable, images: np.ndarray) -> np.ndarray:
    """Runs a function on images in batches."""
    parts = [run(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
    return np.concatenate([np.asarray(part) for part in parts])


def _check_ends(model: keras.Model) -> None:
    inputs, outputs = (getattr(model, ends, None) or [] for ends in ("inputs", "outputs"))
    if len(inputs) != 1 or len(outputs) != 1 or len(inputs[0].shape) != 4:
        shapes = [tuple(tensor.shape) for tensor in (*inputs, *outputs)]
        raise UserError(
            f"{model.name} must be a functional network with one input, images of shape (batch, "
            f"height, width, channels), and one output. Received: {shapes or 'neither'}."
        )


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


def _exclusive(model: keras.Model, outputs: np.ndarray) -> bool:
    """Returns whether the outputs are a distribution over classes, and not one sigmoid each.

    Raises:
        UserError: If they are neither.
    """
    activation = getattr(_last_operation(model), "activation", None)
    sigmoid = activation is keras.activations.sigmoid
    sums = np.abs(outputs.sum(axis=1) - 1) < SUM_TOLERANCE
    within = (outputs >= 0) & (outputs <= 1 + SUM_TOLERANCE)
    if not within.all() or activation is keras.activations.linear:
        raise UserError(
            f"{model.name} must end in probabilities. Received: outputs that are not finite, not "
            "from 0 to 1, or of a layer without an activation. Build it with a "
            "classifier_activation, and check its weights."
        )
    return not sigmoid and outputs.shape[1] > 1 and bool(sums.all())


def _last_operation(model: keras.Model) -> Any:
    """Returns the layer, or another operation, that computes the output."""
    last: Any = model
    while getattr(last, "outputs", None):
        last = last.outputs[0]._keras_history.operation
    return last


def preprocessing_config(preprocessing: keras.layers.Layer) -> dict[str, Any]:
    """Returns the name and the arguments of a preprocessing layer, for `preprocessing_of`."""
    kind = type(preprocessing)
    own = kind in PREPROCESSINGS.values()
    name = kind.__name__ if own else keras.saving.get_registered_name(kind)
    return {"layer": name, **preprocessing.get_config()}


def preprocessing_of(config: dict[str, Any]) -> keras.layers.Layer:
    """Returns the preprocessing layer that a configuration describes.

    Raises:
        UserError: If it is no layer of this package or of Keras, and is not registered.
    """
    arguments = {key: value for key, value in config.items() if key != "layer"}
    own = {layer.__name__: layer for layer in PREPROCESSINGS.values()}
    name = config["layer"]
    kind = own.get(name) or keras.saving.get_registered_object(name)
    if kind is None:
        kind = getattr(keras, name, None) or getattr(keras.layers, name, None)
    if not (isinstance(kind, type) and issubclass(kind, keras.layers.Layer)):
        raise UserError(
            f"{unknown_name('preprocessing', name, own)} Another layer must be Keras's own, or "
            "registered with keras.saving.register_keras_serializable."
        )
    try:
        return kind.from_config(arguments)
    except Exception as error:  # Each layer has its own.
        reason = short_reason(error)
        raise UserError(
            f"The preprocessing {name!r} cannot be built from its configuration: {reason}. Use "
            "ImagePreprocessing, or a layer whose from_config takes what get_config gives."
        ) from error


def check_stored(config: dict[str, Any]) -> None:
    """Raises a `UserError` if a preprocessing cannot be built from what a manifest says of it."""
    try:
        preprocessing_of(json.loads(json.dumps(config)))
    except TypeError as error:
        raise UserError(
            f"The configuration of the preprocessing must be JSON. Received: {error}."
        ) from error


def _check_served(layer: keras.layers.Layer, model: keras.Model) -> None:
    """Raises a `UserError` if a preprocessing does not bring images of any size to a model."""
    shapes = []
    for sides in SERVED_SIDES:
        try:
            shapes.append(tuple(layer(np.zeros((1, *sides, 3), "uint8")).shape[1:]))
        except Exception as error:  # Of TensorFlow or Keras.
            reason = short_reason(error)
            raise _not_served(
                layer, model, f"an error for an image of {sides}: {reason}"
            ) from error
    expected = model.input_shape[1:]
    if len(set(shapes)) > 1 or not fits(shapes[0], expected):
        raise _not_served(layer, model, f"shapes {', '.join(map(str, shapes))}")


def _not_served(layer: keras.layers.Layer, model: keras.Model, got: str) -> UserError:
    return UserError(
        "An export decodes files to RGB images of any size, and its preprocessing must bring all "
        f"to one shape that {model.name} takes, {model.input_shape[1:]}. Received: "
        f"{type(layer).__name__}, which gives {got}. Use ImagePreprocessing, or put a Resizing "
        "before it in a keras.Sequential."
    )


def fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    """Whether a shape is an expected one, in which None stands for any size."""
    return len(shape) == len(expected) and all(
        side in (None, own) for own, side in zip(shape, expected, strict=True)
    )


def _check_images(images: np.ndarray, labels: np.ndarray | None, generated: bool) -> None:
    check_uint8("images", images)
    if labels is None:
        return
    if generated:
        raise UserError("image_labels need images. Received: images=None. Pass both.")
    if labels.shape[:1] != images.shape[:1]:
        raise UserError(
            f"image_labels must have one label for each of {len(images)} images. "
            f"Received: shape {labels.shape}."
        )


def _checked_labels(labels: np.ndarray, outputs: int, exclusive: bool) -> np.ndarray:
    """Returns the labels as the outputs are compared with them: a class each, or 0 or 1 each."""
    matrix = labels.ndim == 2 and labels.shape[1] == outputs and not exclusive
    if labels.ndim != 1 and not matrix:
        raise UserError(
            "image_labels must have shape (count,), or for sigmoids (count, outputs). "
            f"Received: {labels.shape} for {outputs} outputs."
        )
    classes = 2 if matrix or outputs == 1 else outputs
    whole = np.issubdtype(labels.dtype, np.integer) or labels.dtype == bool
    if not whole or labels.min() < 0 or labels.max() >= classes:
        raise UserError(
            f"image_labels must be integers from 0 to {classes - 1}. Received: {labels.dtype} from "
            f"{labels.min()} to {labels.max()}."
        )
    if exclusive or matrix:
        return labels.astype(int)
    return labels[:, np.newaxis].astype(int) if outputs == 1 else np.eye(outputs, dtype=int)[labels]


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
