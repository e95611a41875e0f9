"""Optimisers as the papers write them.

An optimiser here is made in two steps: a frozen description, which stands in the recipe, and what
its `start` returns, which holds the state for one model and updates it inside the compiled loop.
"""

from dataclasses import dataclass
from typing import Protocol

import keras
import tensorflow as tf

from keras_classics.training.levenberg_marquardt import diagonal_curvature


class Updater(Protocol):
    """State of an optimiser for one model.

    Attributes:
        variables: All that a checkpoint must hold.
        samples: Training images that `begin_epoch` wants; 0 for none.
    """

    variables: list[tf.Variable]
    samples: int

    def begin_epoch(self, images: tf.Tensor, labels: tf.Tensor) -> None:
        """Looks at some training images before a pass."""

    def update(self, gradients: list[tf.Tensor], rate: tf.Tensor) -> None:
        """Changes the model's trainable variables by one step, in replica context.

        Args:
            gradients: One for each trainable variable, of the mean loss over the global batch,
                summed over the replicas.
            rate: Learning rate of the step.
        """


@dataclass(frozen=True)
class Momentum:
    """Gradient descent with momentum: v <- momentum v - rate g, w <- w + v.

    Attributes:
        momentum: Share of the last step that goes on; 0 is plain gradient descent.
        weight_decay: Added to the gradient times the weight (so the rate scales it), as the
            papers do, on kernels; biases and normalisation parameters are left alone.
    """

    momentum: float = 0.9
    weight_decay: float = 0.0

    def start(self, model: keras.Model, loss: keras.losses.Loss) -> Updater:
        """Makes the state for a model, all velocities 0. Call in the strategy's scope."""
        return _MomentumUpdater(self, model)


class _MomentumUpdater:
    samples = 0

    def __init__(self, optimizer: Momentum, model: keras.Model):
        self._optimizer = optimizer
        self._weights = [variable.value for variable in model.trainable_variables]
        self._decay = [
            optimizer.weight_decay if variable.name == "kernel" else 0.0
            for variable in model.trainable_variables
        ]
        self.variables = _slots(self._weights)

    def update(self, gradients, rate):
        def step(weight, velocity, gradient, decay):
            # One fused operation, where assignments would be four.
            return tf.raw_ops.ResourceApplyKerasMomentum(
                var=weight.handle,
                accum=velocity.handle,
                lr=rate,
                grad=gradient + decay * weight if decay else gradient,
                momentum=self._optimizer.momentum,
            )

        _update_each(step, self._weights, self.variables, gradients, self._decay)


@dataclass(frozen=True)
class LevenbergMarquardt:
    """Stochastic diagonal Levenberg-Marquardt: w_k <- w_k - rate / (mu + h_kk) g_k.

    LeCun et al. 1998, Appendix C. The curvature h_kk of the loss for each parameter is estimated
    before each pass, see `levenberg_marquardt.diagonal_curvature`.

    Attributes:
        mu: Bounds the step where the curvature is small.
        samples: Training images that the curvature is averaged over.
    """

    mu: float = 0.02
    samples: int = 500

    def start(self, model: keras.Model, loss: keras.losses.Loss) -> Updater:
        """Makes the state for a model. Call in the strategy's scope."""
        return _LevenbergMarquardtUpdater(self, model, loss)


class _LevenbergMarquardtUpdater:
    def __init__(self, optimizer: LevenbergMarquardt, model: keras.Model, loss: keras.losses.Loss):
        self._optimizer = optimizer
        self._weights = [variable.value for variable in model.trainable_variables]
        self._curvature = tf.function(lambda x, y: diagonal_curvature(model, loss, x, y))
        self.samples = optimizer.samples
        self.variables = _slots(self._weights)

    def begin_epoch(self, images, labels):
        for slot, curvature in zip(self.variables, self._curvature(images, labels), strict=True):
            slot.assign(curvature)

    def update(self, gradients, rate):
        def step(weight, curvature, gradient):
            return weight.assign_sub(rate / (self._optimizer.mu + curvature) * gradient)

        _update_each(step, self._weights, self.variables, gradients)


Optimizer = Momentum | LevenbergMarquardt


def _slots(weights: list[tf.Variable]) -> list[tf.Variable]:
    return [tf.Variable(tf.zeros_like(weight), trainable=False) for weight in weights]


def _update_each(step, weights, slots, gradients, *constants) -> None:
    """Applies `step` to each weight, its slot and its gradient, on each replica's copy."""
    context = tf.distribute.get_replica_context()

    def update_all(strategy, gradients):
        for weight, slot, gradient, *rest in zip(
            weights, slots, gradients, *constants, strict=True
        ):
            strategy.extended.update(weight, step, args=(slot, gradient, *rest))

    context.merge_call(update_all, args=(gradients,))
