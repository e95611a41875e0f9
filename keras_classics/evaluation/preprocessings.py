"""Which preprocessing a trained network needs, by how well it answers with each of eight.

Weights do not show which images a network was trained on. With another order of the colours or
another range of values it answers worse, and often not much better than chance.

    images of more than 64 pixels    RGB or BGR; 0..255, minus ImageNet's mean, -1..1, or
                                     normalised by ImageNet's mean and deviation
    smaller images                   with a border of 2 of 32 pixels or without; -0.1..1.175 as
                                     LeNet-5's, 0..1, -1..1 or 0..255
"""

import itertools
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from keras_classics.data import load_test, pipeline
from keras_classics.data.splits import AnySplit
from keras_classics.errors import UserError
from keras_classics.evaluation.statistics import mcnemar, wilson
from keras_classics.image_preprocessing import CanvasPreprocessing, ImagePreprocessing

BATCH_SIZE = 64

# Least probability in a logarithm.
LEAST = 1e-30

# Largest side of the images that networks for digits and for CIFAR take.
SMALL = 64

# Mean and deviation of ImageNet's training images, RGB, of values 0..255.
MEAN = tuple(255 * value for value in (0.485, 0.456, 0.406))
DEVIATION = tuple(255 * value for value in (0.229, 0.224, 0.225))

# By description: mean and deviation, RGB.
COLOURS = {
    "0..255": ((0.0,) * 3, (1.0,) * 3),
    "0..255 minus the mean": (MEAN, (1.0,) * 3),
    "-1..1": ((127.5,) * 3, (127.5,) * 3),
    "normalised by mean and deviation": (MEAN, DEVIATION),
}

# Values of background and foreground.
RANGES = ((-0.1, 1.175), (0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))


@dataclass(frozen=True)
class Answers:
    """How a network answers with a preprocessing.

    Attributes:
        description: The preprocessing in words.
        preprocessing: The layer.
        right: Whether each image is classified correctly, bool, shape (images,).
        loss: Mean loss.
    """

    description: str
    preprocessing: keras.layers.Layer
    right: np.ndarray
    loss: float

    @property
    def accuracy(self) -> float:
        """Fraction of images that are classified correctly."""
        return float(self.right.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy."""
        return wilson(int(self.right.sum()), len(self.right))


def eight_preprocessings(side: int, channels: int) -> dict[str, keras.layers.Layer]:
    """Returns the preprocessings that are tried, by their descriptions.

    Args:
        side: Side of the network's images.
        channels: Their channels.
    """
    if side <= SMALL:
        return {
            f"{'a border of ' + str(border) if border else 'no border'}, {low:g}..{high:g}": (
                CanvasPreprocessing(side, border, channels, low, high)
            )
            for border, (low, high) in itertools.product((side // 16, 0), RANGES)
        }
    if channels != 3:
        raise UserError(f"Images of {side} pixels have 3 channels. Received: {channels}.")
    resize = round(side * 256 / 224)
    return {
        f"{'BGR' if bgr else 'RGB'}, {name}": ImagePreprocessing(
            resize, side, mean[::-1] if bgr else mean, deviation[::-1] if bgr else deviation, bgr
        )
        for bgr, (name, (mean, deviation)) in itertools.product((False, True), COLOURS.items())
    }


def compare_preprocessings(
    model: keras.Model, dataset: str, limit: int | None = None
) -> list[Answers]:
    """Evaluates a network with each of the eight preprocessings, on the same images.

    Args:
        model: A network with its top and its weights.
        dataset: A name that `load_test` takes, such as `folder:PATH`.
        limit: Most images; None for all.

    Returns:
        The best first; of equal accuracies the one of the smaller loss.

    Raises:
        UserError: The data set does not exist, or has other classes than the network.
    """
    _, side, _, channels = model.input_shape
    answers = []
    for description, layer in eight_preprocessings(side, channels).items():
        encoded = isinstance(layer, ImagePreprocessing)
        split, class_names = load_test(dataset, None, layer.resize, encoded)
        if len(class_names) != model.output_shape[-1]:
            raise UserError(
                f"{dataset} has {len(class_names)} classes. Received: {model.name} with "
                f"{model.output_shape[-1]}."
            )
        right, loss = _answers(model, layer, split.limited(limit))
        answers.append(Answers(description, layer, right, loss))
    return sorted(answers, key=lambda one: (-one.accuracy, one.loss))


def _answers(
    model: keras.Model, layer: keras.layers.Layer, split: AnySplit
) -> tuple[np.ndarray, float]:
    """Returns whether each image is classified correctly, and the mean loss."""
    strategy = tf.distribute.get_strategy()
    size = min(BATCH_SIZE, len(split))
    parts, labels = [], []
    for images, batch_labels in pipeline.evaluation_batches(split, layer, size, strategy):
        parts.append(model.predict_on_batch(images))
        labels.append(batch_labels)
    probabilities = np.concatenate(parts)[: len(split)]
    label = np.concatenate(labels)[: len(split)]
    # With a wrong range the network may overflow, which is a wrong answer.
    probabilities = np.nan_to_num(probabilities, nan=0.0)
    of_label = np.take_along_axis(probabilities, label[:, np.newaxis], axis=1)[:, 0]
    loss = float(-np.log(np.maximum(of_label, LEAST)).mean())
    return (probabilities.argmax(axis=1) == label) & (of_label > 0), loss


def p_value(answers: list[Answers]) -> float:
    """Returns McNemar's p-value of the best preprocessing and the second."""
    return mcnemar(answers[0].right, answers[1].right).p_value
