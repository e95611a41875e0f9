"""Single-view evaluation: each image of a split once, on any number of replicas."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from keras_classics.data import pipeline
from keras_classics.data.sources import Split
from keras_classics.models.assembly import scores_and_probabilities

# Large enough to keep a device busy, small enough for its memory at 224x224.
BATCH_SIZE = 128


@dataclass(frozen=True)
class Evaluation:
    """Answers of a network on a split, in the split's order.

    Attributes:
        probabilities: float32, shape (count, classes).
        losses: float32, shape (count,).
        labels: int32, shape (count,).
    """

    probabilities: np.ndarray
    losses: np.ndarray
    labels: np.ndarray

    @property
    def predictions(self) -> np.ndarray:
        """The most probable class of each image; of equal ones the first."""
        return self.probabilities.argmax(axis=1)

    @property
    def loss(self) -> float:
        """Mean loss of an image."""
        return float(self.losses.mean(dtype=np.float64))

    @property
    def accuracy(self) -> float:
        """Share of images whose prediction is their label, 0 to 1."""
        return float((self.predictions == self.labels).mean())

    @property
    def confusion(self) -> np.ndarray:
        """Counts, shape (classes, classes): rows are labels, columns predictions."""
        classes = self.probabilities.shape[1]
        counts = np.zeros((classes, classes), "int64")
        np.add.at(counts, (self.labels, self.predictions), 1)
        return counts


class Evaluator:
    """Evaluates a model on one split, as often as asked, with one compiled function.

    Args:
        model: A network with its top and its `probabilities`.
        loss: Loss on what the network gives before its `probabilities`.
        split: Images and labels.
        preprocess: From uint8 images to what the network takes.
        strategy: Where to run; by default where TensorFlow does.
        batch_size: Images a step on each replica.
    """

    def __init__(
        self,
        model: keras.Model,
        loss: keras.losses.Loss,
        split: Split,
        preprocess: Callable[[tf.Tensor], tf.Tensor],
        strategy: tf.distribute.Strategy | None = None,
        batch_size: int = BATCH_SIZE,
    ):
        self._split = split
        self._preprocess = preprocess
        self._strategy = strategy or tf.distribute.get_strategy()
        self._batch_size = batch_size
        network = scores_and_probabilities(model)

        def answer(images, labels):
            scores, probabilities = network(images, training=False)
            return probabilities, loss.call(labels, tf.cast(scores, tf.float32))

        self._answer = tf.function(
            lambda images, labels: self._strategy.run(answer, args=(images, labels))
        )

    def __call__(self) -> Evaluation:
        """Evaluates the model as it is now."""
        answers = []
        for images, labels in pipeline.evaluation_batches(
            self._split, self._preprocess, self._batch_size, self._strategy
        ):
            per_replica = map(
                self._strategy.experimental_local_results, self._answer(images, labels)
            )
            answers.extend(zip(*per_replica, strict=True))
        probabilities, losses = (np.concatenate(parts) for parts in zip(*answers, strict=True))
        count = len(self._split)
        return Evaluation(probabilities[:count], losses[:count], self._split.labels)
