"""Evaluation of a network on a split: every image once, on any number of replicas."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_classics.data import pipeline
from keras_classics.data.splits import AnySplit
from keras_classics.data.unreadable import naming_unreadable
from keras_classics.errors import UserError
from keras_classics.evaluation.finite import check_finite
from keras_classics.evaluation.metrics import (
    ClassMetrics,
    classification_metrics,
    confusion_matrix,
    exact_matches,
    multilabel_metrics,
)
from keras_classics.evaluation.views import Stacks
from keras_classics.models.builder import scores_and_probabilities

# Views per step: enough to keep a device busy, few enough for its memory at 224x224.
BATCH_SIZE = 128


@dataclass(frozen=True)
class Evaluation:
    """Predictions of a network on a split, in the split's order.

    Attributes:
        probabilities: float32, shape (count, classes): the mean over an image's views.
        losses: float32, shape (count,): the mean over an image's views.
        labels: int32, shape (count,); of images with several labels shape (count, classes), 0 or 1.

    Raises:
        NonFiniteOutputError: If a probability or a loss is not a finite number.
    """

    probabilities: np.ndarray
    losses: np.ndarray
    labels: np.ndarray

    def __post_init__(self):
        check_finite(self.probabilities, "Probabilities")
        check_finite(self.losses, "Losses")

    @property
    def predictions(self) -> np.ndarray:
        """The most probable class of each image; on a tie the first."""
        return self.probabilities.argmax(axis=1)

    @property
    def multilabel(self) -> bool:
        """Whether the images have any number of labels."""
        return self.labels.ndim == 2

    @property
    def loss(self) -> float:
        """Mean loss over the images."""
        return float(self.losses.mean(dtype=np.float64))

    @property
    def accuracy(self) -> float:
        """Fraction of images whose prediction is their label, 0 to 1; of several, all are right."""
        if self.multilabel:
            return float(exact_matches(self.labels, self.probabilities).mean())
        return float((self.predictions == self.labels).mean())

    def in_top(self, count: int) -> np.ndarray:
        """Returns whether each label is among the `count` most probable classes, bool (images,).

        On a tie the class with the lower index counts as more probable.
        """
        of_label = np.take_along_axis(self.probabilities, self.labels[:, np.newaxis], axis=1)
        earlier = np.arange(self.probabilities.shape[1]) < self.labels[:, np.newaxis]
        ahead = (self.probabilities > of_label) | ((self.probabilities == of_label) & earlier)
        return ahead.sum(axis=1) < count

    @property
    def confusion(self) -> np.ndarray:
        """Counts of shape (classes, classes). Rows are labels, columns predictions."""
        return confusion_matrix(self.labels, self.predictions, self.probabilities.shape[1])

    @property
    def metrics(self) -> dict[str, float]:
        """See `classification_metrics`, or for images with several labels `multilabel_metrics`."""
        metrics_of = multilabel_metrics if self.multilabel else classification_metrics
        return metrics_of(self.labels, self.probabilities)

    @property
    def class_metrics(self) -> ClassMetrics:
        """Precision, recall and F1 of each class."""
        if self.multilabel:
            return ClassMetrics.of_decisions(self.labels, self.probabilities)
        return ClassMetrics.of_confusion(self.confusion)


class Evaluator:
    """Evaluates a model on one split, any number of times, with one compiled function.

    Args:
        model: A network with its top and its `probabilities`.
        loss: Loss on the scores, the network's output before its `probabilities`.
        split: Images and labels.
        views: The evaluation protocol: a function from uint8 images of one size to tensors (batch,
            views, height, width, channels), one for each size of the views. See `one_view`,
            `Views` and `Dense`.
        strategy: Distribution strategy; by default the current one.
        batch_size: Images per step and replica; 1 if the sizes of the views differ.
    """

    def __init__(
        self,
        model: keras.Model,
        loss: keras.losses.Loss,
        split: AnySplit,
        views: Callable[[tf.Tensor], Stacks],
        strategy: tf.distribute.Strategy | None = None,
        batch_size: int = BATCH_SIZE,
    ):
        self._split = split
        self._views = views
        self._strategy = strategy or tf.distribute.get_strategy()
        self._batch_size = batch_size
        network = scores_and_probabilities(model)

        def evaluate_stack(stack, labels):
            views = stack.shape[1]
            scores, probabilities = network(tf.reshape(stack, (-1, *_sides(stack))), training=False)
            losses = loss.call(tf.repeat(labels, views, axis=0), tf.cast(scores, tf.float32))
            by_image = tf.reshape(probabilities, (-1, views, probabilities.shape[-1]))
            return by_image, tf.reshape(losses, (-1, views))

        def evaluate(stacks, labels):
            by_view = zip(*(evaluate_stack(stack, labels) for stack in stacks), strict=True)
            means = [tf.reduce_mean(tf.concat(parts, axis=1), axis=1) for parts in by_view]
            return [self._from_all_workers(values) for values in (*means, labels)]

        # Images may have any size; reduce_retracing traces one function for all sizes.
        self._evaluate = tf.function(
            lambda stacks, labels: self._strategy.run(evaluate, args=(stacks, labels)),
            reduce_retracing=True,
            autograph=False,
        )

    def __call__(self, on_progress: Callable[[int], object] = lambda images: None) -> Evaluation:
        """Evaluates the model with its current weights.

        Args:
            on_progress: Called after each step with the number of images of that step.

        Raises:
            UserError: If there are no images, or one cannot be read.
            NonFiniteOutputError: If the network's outputs for an image are not finite numbers.
        """
        if not len(self._split):
            raise UserError("An evaluation needs at least one image. Received: none.")
        batches = pipeline.evaluation_batches(
            self._split, self._views, self._batch_size, self._strategy
        )
        results: list[list[np.ndarray]] = []
        count = len(self._split)

        def done() -> int:
            step = self._batch_size * self._strategy.num_replicas_in_sync
            return min(len(results) * step, count)

        with naming_unreadable(self._split, lambda: range(done(), count)):
            for stacks, labels in batches:
                before = done()
                results.append([self._joined(values) for values in self._evaluate(stacks, labels)])
                on_progress(done() - before)
        values = [np.concatenate(parts)[:count] for parts in zip(*results, strict=True)]
        check_finite(values[0], "Probabilities", self._image_name)
        return Evaluation(*values)

    def _image_name(self, index: int) -> str:
        paths = getattr(self._split, "paths", None)
        return f"image {index}" if paths is None else f"image {index} ({paths[index]})"

    def _from_all_workers(self, values: tf.Tensor) -> tf.Tensor:
        """Gathers the values of all replicas if they are on several machines."""
        if self._strategy.cluster_resolver is None:
            return values
        # A copy, because all_gather fails on a tensor that was created outside the replica.
        return tf.distribute.get_replica_context().all_gather(tf.identity(values), axis=0)

    def _joined(self, values: Any) -> np.ndarray:
        """Concatenates the values of this machine's replicas."""
        local = self._strategy.experimental_local_results(values)
        return np.concatenate(local if self._strategy.cluster_resolver is None else local[:1])


def _sides(stack: tf.Tensor) -> list:
    """Returns height, width and channels: integers where static, scalar tensors otherwise."""
    static, dynamic = stack.shape[2:], tf.unstack(tf.shape(stack)[2:])
    return [dynamic[i] if side is None else side for i, side in enumerate(static)]
