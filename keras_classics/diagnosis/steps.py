"""Some steps of training on the sample of a case, which are taken back afterwards."""

import dataclasses
import functools
import math
import weakref
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

import keras
import numpy as np
import tensorflow as tf

from keras_classics.analysis.nested import all_layers
from keras_classics.diagnosis.case import Case
from keras_classics.diagnosis.graph import unchanged
from keras_classics.models.builder import scores_and_probabilities
from keras_classics.training import schedules
from keras_classics.training.optimizer import Updater, values
from keras_classics.training.recipe import Recipe
from keras_classics.training.trainer import initial_network, plan_of

# Images of a step.
BATCH = 32

Measured = TypeVar("Measured")


def once(measure: Callable[[Case], Measured]) -> Callable[[Case], Measured]:
    """Lets a measurement of a case run once, for as long as the case exists."""
    known: weakref.WeakKeyDictionary[Case, Measured] = weakref.WeakKeyDictionary()

    @functools.wraps(measure)
    def measured(case: Case) -> Measured:
        if case not in known:
            known[case] = measure(case)
        return known[case]

    return measured


class StepResult(NamedTuple):
    """Loss and accuracy of a batch before its step."""

    loss: float
    accuracy: float


class KerasUpdater:
    """A copy of a Keras optimizer, in the form that the optimizers of recipes have.

    Args:
        optimizer: The optimizer, which stays as it is.
        model: The network.
    """

    samples = 0

    def __init__(self, optimizer: keras.optimizers.Optimizer, model: keras.Model):
        optimizer = unscaled(optimizer)
        config = {**optimizer.get_config(), "learning_rate": 0.0}
        self._optimizer = type(optimizer).from_config(config)
        self._weights = model.trainable_variables
        self._optimizer.build(self._weights)
        self.variables = values(self._optimizer.variables)

    def begin_epoch(self, images: tf.Tensor, labels: tf.Tensor) -> None:
        """Does nothing: Keras's optimizers take no images."""

    def update(self, gradients: list[tf.Tensor], rates: list[tf.Tensor]) -> None:
        """Updates the trainable variables by one step, all at the first of the rates."""
        self._optimizer.learning_rate.assign(rates[0])
        self._optimizer.apply_gradients(zip(gradients, self._weights, strict=True))


class Stepper:
    """Trains a network in place on the sample of a case, each time from the same start.

    Use it within `unchanged(model)`.

    Args:
        case: The case.
        model: The network; that of the case if None.
    """

    def __init__(self, case: Case, model: keras.Model | None = None):
        model = case.model if model is None else model
        self._case = case
        self._size = min(BATCH, len(case.inputs()))
        self._updater = _updater(case, model)
        self._state = [*values(model.variables), *self._updater.variables]
        self._start = [variable.numpy() for variable in self._state]
        weights = model.trainable_variables
        network, loss = _network_and_loss(case, model)

        @tf.function(autograph=False)
        def step(images, targets, rate):
            with tf.GradientTape() as tape:
                outputs, probabilities = network(images, training=True)
                error = tf.reduce_mean(loss(targets, tf.cast(outputs, tf.float32)))
                total = tf.add_n([error, *model.losses])
            gradients = tape.gradient(
                total, values(weights), unconnected_gradients=tf.UnconnectedGradients.ZERO
            )
            self._updater.update(gradients, [rate] * len(weights))
            return error, probabilities

        self._step = step

    def run(self, rates: Iterable[float], diverged: float = math.inf) -> list[StepResult]:
        """Trains a step at each rate, from the start, until a loss is not finite.

        Args:
            rates: The rates.
            diverged: The steps end, too, after three losses in a row that are so many times the
                first.

        Returns:
            The result of each step; a loss that is not finite comes last.
        """
        case, results = self._case, []
        for variable, value in zip(self._state, self._start, strict=True):
            variable.assign(value)
        inputs, targets, labels = case.inputs(), self._targets(), case.labels()
        if self._updater.samples:
            self._updater.begin_epoch(tf.constant(inputs), tf.constant(targets))
        batches = _batches(len(inputs), self._size, case.seed)
        for rate, chosen in zip(rates, batches, strict=False):
            batch = tf.constant(inputs[chosen]), tf.constant(targets[chosen])
            loss, probabilities = self._step(*batch, tf.constant(rate, tf.float32))
            accuracy = accuracy_of(probabilities.numpy(), labels[chosen])
            results.append(StepResult(float(loss), accuracy))
            last = [result.loss for result in results[-3:]]
            if not np.isfinite(last[-1]) or min(last) > diverged * results[0].loss:
                break
        return results

    def _targets(self) -> np.ndarray:
        case = self._case
        return case.targets() if case.recipe is None else case.labels()


def _batches(count: int, size: int, seed: int) -> Iterable[np.ndarray]:
    rng = np.random.default_rng(seed)
    order: np.ndarray = np.zeros(0, int)
    while True:
        if len(order) < size:
            order = rng.permutation(count)
        chosen, order = np.split(order, [size])
        yield chosen


def accuracy_of(outputs: np.ndarray, labels: np.ndarray) -> float:
    """Returns the fraction of labels that are predicted."""
    if labels.ndim == 2 or outputs.shape[1] == 1:
        return float(np.mean((outputs > 0.5) == labels.reshape(len(labels), -1)))
    return float(np.mean(outputs.argmax(axis=1) == labels))


def _updater(case: Case, model: keras.Model) -> Updater:
    if case.optimizer is not None:
        return KerasUpdater(case.optimizer, model)
    if case.recipe is not None:
        return case.recipe.optimizer.start(model, case.recipe.make_loss())
    return KerasUpdater(keras.optimizers.SGD(momentum=0.9), model)


def _network_and_loss(case: Case, model: keras.Model) -> tuple[keras.Model, Callable]:
    """Returns a network with what the loss takes and what predicts, and the loss."""
    if case.recipe is not None:
        return scores_and_probabilities(model), case.recipe.make_loss().call
    outputs = model.outputs[0]
    return keras.Model(model.inputs[0], [outputs, outputs]), case.loss


def planned_rates(case: Case, steps: int) -> list[float] | None:
    """Returns the learning rates of the first steps as they are compiled, or None if unknown."""
    if case.recipe is not None and case.optimizer is None:
        return _scheduled(case, case.recipe, steps)
    if case.optimizer is None:
        return None
    optimizer = unscaled(case.optimizer)
    schedule: Any = getattr(optimizer, "_learning_rate", optimizer.learning_rate)
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return [float(schedule(step)) for step in range(steps)]
    return [float(optimizer.learning_rate)] * steps


def unscaled(optimizer: Any) -> Any:
    """Returns an optimizer itself, without one around it that scales the loss."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _scheduled(case: Case, recipe: Recipe, steps: int) -> list[float]:
    if recipe.batch_size > len(case.data.train):
        recipe = dataclasses.replace(recipe, batch_size=len(case.data.train))
    plan = plan_of(recipe, case.data, case.model)
    rates = schedules.rates((recipe.schedule,), plan, 0, min(steps, plan.steps))[:, 0].tolist()
    return rates + rates[-1:] * (steps - len(rates))


def starting_network(case: Case) -> keras.Model:
    """Returns the network with the weights that training starts from.

    With a history that is a copy with new initial weights, where its own have been trained; frozen
    layers keep theirs.
    """
    if not case.history:
        return case.model
    if case.recipe is not None:
        with unchanged(case.model):
            return initial_network(case.recipe, case.data)
    copy = keras.models.clone_model(case.model)
    for new, old in zip(all_layers(copy), all_layers(case.model), strict=True):
        if not old.trainable_variables:
            new.set_weights(old.get_weights())
    return copy
