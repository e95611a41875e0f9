"""Features of images: what a network computes of them before it classifies."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_classics.analysis.features import feature_extractor
from keras_classics.analysis.nested import flat
from keras_classics.data import image_files
from keras_classics.data.splits import AnySplit, EncodedSplit, Split
from keras_classics.data.tf_options import as_written
from keras_classics.data.unreadable import fault_at
from keras_classics.errors import UserError, one_line
from keras_classics.evaluation.finite import check_finite

# Name of what the last layer with weights takes.
POOL = "pool"

# Images that a network takes at once: few enough for its memory at 224x224.
BATCH_SIZE = 64


@dataclass(frozen=True, eq=False)
class Embedding:
    """The features of an image, or its fault.

    Attributes:
        number: The image's number in its split.
        features: float32, shape (channels,), or None if the image cannot be used.
        label: Its label; of images with several labels shape (classes,); None with a fault.
        fault: Why it cannot be used; it follows the image's name.
    """

    number: int
    features: np.ndarray | None = None
    label: Any = None
    fault: str = ""


def feature_network(model: keras.Model, level: str = POOL) -> keras.Model:
    """Returns the network from images to features, shape (batch, channels), float32.

    Args:
        model: A network for classification. The result shares its layers, unless another network
            is nested in it.
        level: `"pool"`: what the last layer with weights takes, such as the 64 averaged channels of
            ResNet-20 or the 4,096 outputs of VGG's `fc2`. Or a level of `feature_extractor`, such
            as `"4"`, whose map is averaged over its positions.

    Raises:
        UserError: If the network does not have that level, or it is none.
    """
    if level == POOL:
        network = flat(model)
        taken = [layer for layer in network.layers if layer.weights][-1].input
        return keras.Model(network.input, _averaged(taken), name=network.name)
    number = level.removeprefix("level_")
    if not (number.isascii() and number.isdigit()):
        raise UserError(f"A level is a number, such as 3, or {POOL}. Received: level={level}.")
    extractor = feature_extractor(model, [int(number)])
    (features,) = extractor.output.values()
    return keras.Model(extractor.input, _averaged(features), name=model.name)


def _averaged(features: keras.KerasTensor) -> keras.KerasTensor:
    """Returns features without positions."""
    if len(features.shape) == 4:
        features = keras.layers.GlobalAveragePooling2D(dtype="float32")(features)
    return features


def compiled(network: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a network as a graph of its own, traced once for images in any number.

    Args:
        network: From preprocessed images to features, see `feature_network`.
    """

    @tf.function(input_signature=[tf.TensorSpec(network.input_shape, tf.float32)], autograph=False)
    def compute(inputs: tf.Tensor) -> tf.Tensor:
        return tf.cast(network(inputs, training=False), tf.float32)

    return compute


def embed(
    compute: Callable[[tf.Tensor], tf.Tensor],
    preprocessing: keras.layers.Layer,
    split: AnySplit,
    batch_size: int = BATCH_SIZE,
) -> Iterator[Embedding]:
    """Yields the features of all images of a split, in its order.

    Threads decode images while the network computes; memory holds a few batches. An image that
    cannot be read has its fault in place of features.

    Args:
        compute: From a batch of preprocessed images to their features, see `compiled`.
        preprocessing: The layer from uint8 images to what the network takes.
        split: The images.
        batch_size: Images that the network takes at once.

    Raises:
        NonFiniteOutputError: If features are not finite numbers.
    """
    rows = _in_memory if isinstance(split, Split) else _decoded
    done = 0
    batches = as_written(rows(split, preprocessing, batch_size).prefetch(2))
    for numbers, inputs, labels in batches:
        features, found = compute(inputs).numpy(), numbers.numpy()
        check_finite(features, "Features", lambda row, found=found: _name(split, found[row]))
        for number, of_image, label in zip(found.tolist(), features, labels.numpy(), strict=True):
            yield from _faults(split, range(done, number))
            yield Embedding(number, of_image, label)
            done = number + 1
    yield from _faults(split, range(done, len(split)))


def weights_digest(network: keras.Model) -> str:
    """Returns a short hash of a network's weights, by which features of it are recognised."""
    total = hashlib.sha256()
    for weight in network.get_weights():
        total.update(np.ascontiguousarray(weight))
    return total.hexdigest()[:16]


@tf.autograph.experimental.do_not_convert
def _in_memory(split: Split, preprocessing: Any, batch_size: int) -> tf.data.Dataset:
    """Returns batches of numbers, inputs and labels."""
    images, labels = tf.constant(split.images), tf.constant(split.labels)

    def prepare(numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        inputs = preprocessing(tf.gather(images, numbers))
        return numbers, tf.cast(inputs, tf.float32), tf.gather(labels, numbers)

    numbers = tf.data.Dataset.range(len(split)).batch(batch_size)
    return numbers.map(prepare, num_parallel_calls=2, deterministic=True)


@tf.autograph.experimental.do_not_convert
def _decoded(split: EncodedSplit, preprocessing: Any, batch_size: int) -> tf.data.Dataset:
    """Returns the same of images in files; those that cannot be read are left out."""
    opened = split.opener()

    def prepare(fetched: Any, number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        encoded, label = opened(fetched)
        inputs = preprocessing(image_files.decode(encoded)[tf.newaxis])[0]
        return number, tf.cast(inputs, tf.float32), label

    numbers = tf.data.Dataset.range(len(split)).map(lambda number: (number, number))
    rows = split.fetched(numbers).map(
        prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    return rows.ignore_errors().batch(batch_size)


def _faults(split: AnySplit, numbers: range) -> Iterator[Embedding]:
    for number in numbers:
        yield Embedding(number, fault=_why_unusable(split, number))


def _why_unusable(split: AnySplit, number: int) -> str:
    assert isinstance(split, EncodedSplit)
    try:
        fault = fault_at(split, number)
    except UserError as error:  # A damaged archive or record.
        return f"cannot be used: {one_line(str(error)).rstrip('.')}"
    if fault is None or not fault.fatal:
        raise UserError(
            f"{one_line(split.name(number))} could not be read, and now it can. Repeat the command."
        )
    return f"cannot be used: {fault.fault}"


def _name(split: AnySplit, number: int) -> str:
    return one_line(split.name(number)) if isinstance(split, EncodedSplit) else f"image {number}"
