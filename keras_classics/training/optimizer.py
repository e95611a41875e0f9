"""The papers' optimizers.

An optimizer consists of two objects: a frozen description, which is part of the recipe, and the
updater that its `start` returns, which holds the state for one model and updates it inside the
compiled loop.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import keras

from keras_classics.backend import tf
from keras_classics.training.levenberg_marquardt import diagonal_curvature


class Updater(Protocol):
    """State of an optimizer for one model.

    Attributes:
        variables: All variables that a checkpoint must hold.
        samples: Number of training images that `begin_epoch` needs; 0 for none.
    """

    variables: "list[tf.Variable]"
    samples: int

    def begin_epoch(self, images: "tf.Tensor", labels: "tf.Tensor") -> None:
        """Prepares for an epoch by some training images."""

    def update(self, gradients: "list[tf.Tensor]", rates: "list[tf.Tensor]") -> None:
        """Updates the model's trainable variables by one step, in replica context.

        Each replica updates its own copy. All have the same gradients, so the copies stay equal.

        Args:
            gradients: Gradient of the mean loss over the global batch for each trainable variable,
                summed over the replicas.
            rates: Learning rate of the step for each.
        """


@dataclass(frozen=True)
class Momentum:
    """Gradient descent with momentum: v <- momentum v - rate g, w <- w + v.

    Attributes:
        momentum: Fraction of the last step that is kept; 0 is plain gradient descent.
        weight_decay: weight_decay times the weight is added to the gradient, so the rate scales
            it, as in the papers.
        nesterov: Whether w <- w + momentum v - rate g, with the new v (Sutskever et al. 2013).
        decayed: What decays: `"kernels"`, or `"all"`: biases and normalisation parameters, too.
    """

    momentum: float = 0.9
    weight_decay: float = 0.0
    nesterov: bool = False
    decayed: Literal["kernels", "all"] = "kernels"

    def start(self, model: keras.Model, loss: keras.losses.Loss) -> Updater:
        """Creates the state for a model, all velocities 0. Call it in the strategy's scope."""
        return _MomentumUpdater(self, model)


class _MomentumUpdater:
    samples = 0

    def __init__(self, optimizer: Momentum, model: keras.Model):
        self._optimizer = optimizer
        self._weights = values(model.trainable_variables)
        self._decay = [
            optimizer.weight_decay * (optimizer.decayed == "all" or variable.name == "kernel")
            for variable in model.trainable_variables
        ]
        self.variables = slots(self._weights)

    def update(self, gradients, rates):
        for weight, velocity, gradient, rate, decay in zip(
            self._weights, self.variables, gradients, rates, self._decay, strict=True
        ):
            self._step(weight, velocity, gradient, rate, decay)

    def _step(self, weight, velocity, gradient, rate, decay: float) -> None:
        """Two in-place operations; adding decay to the gradient would need new memory each step."""
        optimizer = self._optimizer
        if decay and optimizer.momentum and not optimizer.nesterov:
            # v - (rate decay / momentum) w: the momentum operation multiplies it by momentum.
            tf.raw_ops.ResourceApplyGradientDescent(
                var=velocity.handle,
                alpha=rate * (decay / optimizer.momentum),
                delta=tf.convert_to_tensor(weight),
            )
        elif decay:
            gradient = gradient + decay * weight
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=weight.handle,
            accum=velocity.handle,
            lr=rate,
            grad=gradient,
            momentum=optimizer.momentum,
            use_nesterov=optimizer.nesterov,
        )


@dataclass(frozen=True)
class Adam:
    """Adam: the moving mean of the gradient over the root of the moving mean of its square.

    Kingma and Ba 2015, Algorithm 1, in the faster order of its section 2: epsilon is added before
    the bias correction, as in Keras and TensorFlow. No weight decay.

    Attributes:
        beta_1: Fraction of the last mean that is kept.
        beta_2: Fraction of the last mean square that is kept.
        epsilon: Bounds the step for tiny gradients.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def start(self, model: keras.Model, loss: keras.losses.Loss) -> Updater:
        """Creates the state for a model, all means 0. Call it in the strategy's scope."""
        return _AdamUpdater(self, model)


class _AdamUpdater:
    samples = 0

    def __init__(self, optimizer: Adam, model: keras.Model):
        self._optimizer = optimizer
        self._weights = values(model.trainable_variables)
        self._means, self._squares = slots(self._weights), slots(self._weights)
        self._steps = tf.Variable(0.0, trainable=False)
        self.variables = [*self._means, *self._squares, self._steps]

    def update(self, gradients, rates):
        optimizer = self._optimizer
        tf.raw_ops.AssignAddVariableOp(resource=self._steps.handle, value=tf.constant(1.0))
        steps = tf.convert_to_tensor(self._steps)
        for weight, mean, square, gradient, rate in zip(
            self._weights, self._means, self._squares, gradients, rates, strict=True
        ):
            tf.raw_ops.ResourceApplyAdam(
                var=weight.handle,
                m=mean.handle,
                v=square.handle,
                beta1_power=optimizer.beta_1**steps,
                beta2_power=optimizer.beta_2**steps,
                lr=rate,
                beta1=optimizer.beta_1,
                beta2=optimizer.beta_2,
                epsilon=optimizer.epsilon,
                grad=gradient,
            )


@dataclass(frozen=True)
class LevenbergMarquardt:
    """The stochastic diagonal Levenberg-Marquardt method: w_k <- w_k - rate / (mu + h_kk) g_k.

    LeCun et al. 1998, Appendix C. The curvature h_kk of the loss for each parameter is estimated
    before each epoch, see `levenberg_marquardt.diagonal_curvature`.

    Attributes:
        mu: Bounds the step for small curvature.
        samples: Number of training images over which the curvature is averaged.
    """

    mu: float = 0.02
    samples: int = 500

    def start(self, model: keras.Model, loss: keras.losses.Loss) -> Updater:
        """Creates the state for a model. Call it in the strategy's scope."""
        return _LevenbergMarquardtUpdater(self, model, loss)


class _LevenbergMarquardtUpdater:
    def __init__(self, optimizer: LevenbergMarquardt, model: keras.Model, loss: keras.losses.Loss):
        self._optimizer = optimizer
        self._weights = values(model.trainable_variables)
        self._curvature = tf.function(
            lambda x, y: diagonal_curvature(model, loss, x, y), autograph=False
        )
        self.samples = optimizer.samples
        self.variables = slots(self._weights)

    def begin_epoch(self, images, labels):
        for slot, curvature in zip(self.variables, self._curvature(images, labels), strict=True):
            slot.assign(curvature)

    def update(self, gradients, rates):
        for weight, curvature, gradient, rate in zip(
            self._weights, self.variables, gradients, rates, strict=True
        ):
            step = rate / (self._optimizer.mu + tf.convert_to_tensor(curvature)) * gradient
            tf.raw_ops.AssignSubVariableOp(resource=weight.handle, value=step)


Optimizer = Momentum | Adam | LevenbergMarquardt


class MovingAverage:
    """Exponential moving averages of a network's weights, which are evaluated instead of them.

    All trainable variables and the moving statistics of normalisations are averaged:
    a <- decay a + (1 - decay) w after each step. Create it in the strategy's scope.

    Args:
        model: The network.
        decay: Weight of the old average.

    Attributes:
        variables: All variables that a checkpoint must hold.
    """

    def __init__(self, model: keras.Model, decay: float):
        averaged = [v for v in model.variables if v.trainable or v.name.startswith("moving_")]
        self._weights = values(averaged)
        self._decay = decay
        self.variables = slots(self._weights, copy=True)

    def update(self) -> None:
        """Updates the averages by the weights after a step, in replica context."""
        for weight, average in zip(self._weights, self.variables, strict=True):
            difference = tf.convert_to_tensor(average) - tf.convert_to_tensor(weight)
            tf.raw_ops.AssignSubVariableOp(
                resource=average.handle, value=(1.0 - self._decay) * difference
            )

    def swap(self) -> None:
        """Exchanges the averages and the weights of the network."""
        for pair in zip(self._weights, self.variables, strict=True):
            for weight, average in zip(*map(copies, pair), strict=True):
                value = tf.identity(weight)
                weight.assign(average)
                average.assign(value)


class LossScale:
    """Scales the loss so that gradients in float16 do not vanish (Micikevicius et al. 2018).

    A step whose gradients overflow is skipped and the scale halved; after `GROWTH` good steps the
    scale is doubled. Create it in the strategy's scope.

    Attributes:
        variables: All variables that a checkpoint must hold.
    """

    FIRST = 2.0**15
    GROWTH = 2000

    def __init__(self):
        self.value = tf.Variable(self.FIRST, trainable=False)
        self._good = tf.Variable(0, trainable=False)
        self.variables = [self.value, self._good]

    def finite(self, gradients: "list[tf.Tensor]") -> "tf.Tensor":
        """Returns whether all gradients are finite, and updates the scale."""
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in gradients])
        good = tf.where(finite, self._good + 1, 0)
        grows = good == self.GROWTH
        self._good.assign(tf.where(grows, 0, good))
        factor = tf.where(finite, tf.where(grows, 2.0, 1.0), 0.5)
        self.value.assign(tf.maximum(self.value * factor, 1.0))
        return finite


def values(variables: list[keras.Variable]) -> "list[tf.Variable]":
    """Returns TensorFlow's variables of Keras's variables."""
    return [variable.value for variable in variables]


def copies(variable: "tf.Variable") -> "tuple[tf.Variable, ...]":
    """Returns this process's copies of a variable, one per replica. They are equal between steps.

    Reading the variable itself may average over all workers, which then must all read it.
    """
    return tuple(getattr(variable, "values", (variable,)))


def slots(weights: "list[tf.Variable]", copy: bool = False) -> "list[tf.Variable]":
    """Creates a variable for each weight: a copy of it, or zeros."""
    return [tf.Variable(w if copy else tf.zeros_like(w), trainable=False) for w in weights]
