"""Evaluation of a network: each image of a split once, on any number of replicas."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from keras_classics.data import pipeline
from keras_classics.data.splits import AnySplit
from keras_classics.evaluation.views import Stacks
from keras_classics.models.builder import scores_and_probabilities

# Views a step: enough to keep a device busy, few enough for its memory at 224x224.
BATCH_SIZE = 128


@dataclass(frozen=True)
class Evaluation:
    """Answers of a network on a split, in the split's order.

    Attributes:
        probabilities: float32, shape (count, classes): the mean over an image's views.
        losses: float32, shape (count,): the same.
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

    def in_top(self, count: int) -> np.ndarray:
        """Whether each image's label is among its `count` most probable classes, bool (count,).

        Of classes that are equally probable the first ones come first.
        """
        of_label = np.take_along_axis(self.probabilities, self.labels[:, np.newaxis], axis=1)
        earlier = np.arange(self.probabilities.shape[1]) < self.labels[:, np.newaxis]
        ahead = (self.probabilities > of_label) | ((self.probabilities == of_label) & earlier)
        return ahead.sum(axis=1) < count

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
        views: From uint8 images of one size to what the network is shown of each, a tensor
            (batch, views, height, width, channels) for each size that it is shown in. See
            `one_view`, `Views` and `Dense`.
        strategy: Where to run; by default where TensorFlow does.
        batch_size: Images a step on each replica; 1 where their views differ in size.
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

        def of_stack(stack, labels):
            views = stack.shape[1]
            scores, probabilities = network(tf.reshape(stack, (-1, *_sides(stack))), training=False)
            losses = loss.call(tf.repeat(labels, views), tf.cast(scores, tf.float32))
            by_image = tf.reshape(probabilities, (-1, views, probabilities.shape[-1]))
            return by_image, tf.reshape(losses, (-1, views))

        def answer(stacks, labels):
            of_views = zip(*(of_stack(stack, labels) for stack in stacks), strict=True)
            means = [tf.reduce_mean(tf.concat(parts, axis=1), axis=1) for parts in of_views]
            return [self._from_all_workers(values) for values in (*means, labels)]

        # Pictures may come in any size: what is traced for one goes for others.
        self._answer = tf.function(
            lambda stacks, labels: self._strategy.run(answer, args=(stacks, labels)),
            reduce_retracing=True,
        )

    def __call__(self, watch: Callable[[int], object] = lambda images: None) -> Evaluation:
        """Evaluates the model as it is now.

        Args:
            watch: Called with the number of images done since it was last called.

        Raises:
            UserError: A picture cannot be read.
        """
        batches = pipeline.evaluation_batches(
            self._split, self._views, self._batch_size, self._strategy
        )
        answers = []

        count = len(self._split)

        def done() -> int:
            step = self._batch_size * self._strategy.num_replicas_in_sync
            return min(len(answers) * step, count)

        with pipeline.naming_unreadable(self._split, lambda: range(done(), count)):
            for stacks, labels in batches:
                before = done()
                answers.append([self._joined(values) for values in self._answer(stacks, labels)])
                watch(done() - before)
        return Evaluation(*(np.concatenate(parts)[:count] for parts in zip(*answers, strict=True)))

    def _from_all_workers(self, values: tf.Tensor) -> tf.Tensor:
        """The answers of all replicas where they are on several machines, else this one's."""
        if self._strategy.cluster_resolver is None:
            return values
        # A copy, because what comes from outside the replica has no place that it is gathered to.
        return tf.distribute.get_replica_context().all_gather(tf.identity(values), axis=0)

    def _joined(self, values) -> np.ndarray:
        local = self._strategy.experimental_local_results(values)
        return np.concatenate(local if self._strategy.cluster_resolver is None else local[:1])


def _sides(stack: tf.Tensor) -> list:
    """Height, width and channels, known or not."""
    known, counted = stack.shape[2:], tf.unstack(tf.shape(stack)[2:])
    return [counted[i] if side is None else side for i, side in enumerate(known)]
