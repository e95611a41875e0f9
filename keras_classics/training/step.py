"""The compiled part of the loop: several training steps per call, on all replicas."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_classics.models.builder import scores_and_probabilities
from keras_classics.training.optimizer import LossScale, MovingAverage, Updater, values


class Step:
    """One step of gradient descent on one replica's part of a global batch.

    Called in replica context. Gradients and losses are summed over the replicas, so the result does
    not depend on the number of replicas.

    Args:
        model: The network.
        loss: Loss on the network's output before its `probabilities`.
        updater: State of the optimizer.
        batch_size: Global batch size.
        groups: For each trainable variable, the index of its learning rate.
        device_preprocess: From the pipeline's output to the network's input.
        gradient_accumulation_steps: Micro-batches into which a replica splits its images, one after
            the other, to save memory.
        clip_norm: Bound of the global norm of the gradients, or None.
        average: Moving averages of the weights, or None.
        scale: Scale of the loss, or None.
        class_weights: What the loss of an image is multiplied by, float32, shape (classes,), or
            None.
    """

    def __init__(
        self,
        model: keras.Model,
        loss: keras.losses.Loss,
        updater: Updater,
        *,
        batch_size: int,
        groups: list[int],
        device_preprocess: Callable[[Any], tf.Tensor],
        gradient_accumulation_steps: int = 1,
        clip_norm: float | None = None,
        average: MovingAverage | None = None,
        scale: LossScale | None = None,
        class_weights: np.ndarray | None = None,
    ):
        self._network = scores_and_probabilities(model)
        self._weights = values(model.trainable_variables)
        self._statistics = values(
            [v for v in model.non_trainable_variables if v.synchronization == "on_read"]
        )
        self._loss = loss
        self._updater = updater
        self._batch_size = batch_size
        self._groups = groups
        self._device_preprocess = device_preprocess
        self._gradient_accumulation_steps = gradient_accumulation_steps
        self._clip_norm = clip_norm
        self._average = average
        self._scale = scale
        self._class_weights = class_weights

    def __call__(
        self, inputs: Any, labels: tf.Tensor, rates: tf.Tensor, stop: tf.Tensor
    ) -> list[tf.Tensor]:
        """Updates the network by one step.

        Args:
            inputs: The pipeline's output for this replica's images.
            labels: Their labels.
            rates: Learning rates of the step, one per group of variables.
            stop: 1 if this replica's worker wants to stop, else 0.

        Returns:
            Sum of the losses, number of correctly classified images, and number of replicas whose
            worker wants to stop, over all replicas.
        """
        gradients, sums = self._all_gradients(inputs, labels)
        # A copy per replica: a tensor that all replicas share cannot be summed over them.
        sums = [*sums, tf.identity(stop)]
        gradients, sums = self._summed_over_replicas(gradients, sums)
        if self._scale is None:
            self._apply(gradients, rates)
        else:
            self._apply_finite([gradient / self._scale.value for gradient in gradients], rates)
        return sums

    def _apply_finite(self, gradients, rates) -> None:
        finite = self._scale.finite(gradients)

        def apply() -> tf.Tensor:
            self._apply(gradients, rates)
            return finite

        tf.cond(finite, apply, lambda: finite)

    def _all_gradients(self, inputs, labels):
        """Gradients of the mean loss over the global batch, from this replica's images."""
        if self._gradient_accumulation_steps == 1:
            return self._gradients(inputs, labels)
        batches = tf.nest.map_structure(self._micro_batches, (inputs, labels))
        gradients = [tf.zeros_like(weight) for weight in self._weights]
        sums = [tf.constant(0.0), tf.constant(0.0)]

        def add(number, *totals):
            micro_batch = tf.nest.map_structure(lambda values: values[number], batches)
            more = self._gradients(*micro_batch)
            return number + 1, *tf.nest.map_structure(tf.add, list(totals), list(more))

        _, gradients, sums = tf.while_loop(
            lambda number, *_: number < self._gradient_accumulation_steps,
            add,
            (0, gradients, sums),
        )
        return gradients, sums

    def _micro_batches(self, values: tf.Tensor) -> tf.Tensor:
        return tf.reshape(values, [self._gradient_accumulation_steps, -1, *values.shape[1:]])

    def _gradients(self, inputs, labels):
        with tf.GradientTape() as tape:
            scores, probabilities = self._network(self._device_preprocess(inputs), training=True)
            losses = self._loss.call(labels, tf.cast(scores, tf.float32))
            if self._class_weights is not None:
                losses *= tf.gather(self._class_weights, labels)
            loss_sum = tf.reduce_sum(losses)
            mean = loss_sum / self._batch_size
            if self._scale is not None:
                mean *= self._scale.value
        gradients = tape.gradient(mean, self._weights)
        correct = tf.cast(_correct(probabilities, labels), tf.float32)
        return gradients, [loss_sum, tf.reduce_sum(correct)]

    def _summed_over_replicas(self, gradients, sums):
        """Also averages the moving statistics of normalisations, so that all replicas agree."""
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync == 1:
            return gradients, sums
        statistics = [
            tf.convert_to_tensor(variable) / context.num_replicas_in_sync
            for variable in self._statistics
        ]
        gradients, sums, statistics = context.all_reduce(
            tf.distribute.ReduceOp.SUM, [gradients, sums, statistics]
        )
        for variable, mean in zip(self._statistics, statistics, strict=True):
            variable.assign(mean)
        return gradients, sums

    def _apply(self, gradients, rates) -> None:
        if self._clip_norm is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, self._clip_norm)
        self._updater.update(gradients, [rates[group] for group in self._groups])
        if self._average is not None:
            self._average.update()


def _correct(probabilities: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Returns whether an image is classified correctly; of several labels, all must be right."""
    if labels.shape.rank == 1:
        return tf.argmax(probabilities, axis=1, output_type=labels.dtype) == labels
    decisions = tf.cast(probabilities > 0.5, labels.dtype)
    return tf.reduce_all(decisions == labels, axis=1)


def compiled_block(step: Step, strategy: tf.distribute.Strategy, jit_compile: bool) -> Callable:
    """Compiles the loop over the steps of a block.

    Returns:
        A function of inputs, labels, the rates of each step, and 1 if this worker wants to stop,
        else 0. It returns, over all steps and replicas, the sum of the losses, the number of
        correctly classified images, and more than 0 if a worker wants to stop.
    """

    def on_replica(inputs, labels, number, rates, stop):
        batch = tf.nest.map_structure(lambda values: values[number], (inputs, labels))
        return step(*batch, rates, stop)

    def train_block(inputs, labels, rates, stop):
        def add_step(number, totals):
            sums = strategy.run(on_replica, args=(inputs, labels, number, rates[number], stop))
            # All replicas have the sums over all.
            sums = [strategy.experimental_local_results(values)[0] for values in sums]
            return number + 1, totals + sums

        steps = tf.shape(rates)[0]
        return tf.while_loop(lambda number, _: number < steps, add_step, (0, tf.zeros(3)))[1]

    return tf.function(train_block, jit_compile=jit_compile, reduce_retracing=True, autograph=False)
