"""A training whose images, augmentation and steps stay on the device: Keras's networks on JAX.

The loop of `keras_classics.training` runs on TensorFlow. This one does for one recipe and one
device what a GPU without TensorFlow needs: blocks of steps in one call, images in the device's
memory, order and augmentation as functions of (seed, epoch, position), and a state from which an
interrupted run resumes.
"""

import dataclasses
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_classics import files
from keras_classics.data.plan import Plan
from keras_classics.environment import current_environment
from keras_classics.errors import NonFiniteLossError, StoppedError, UserError, require
from keras_classics.models import get_model
from keras_classics.training import Recipe
from keras_classics.training.schedules import rates
from reproduce.harness.tables import read_rows

jax = require("jax", "jax")

# Fields of a recipe that this loop does not carry out.
LEFT_OUT = (
    "schedules",
    "validation",
    "gradient_accumulation_steps",
    "clip_norm",
    "average",
    "initial_weights",
    "trainable",
    "batch_norm_group",
    "exact_batch_norm",
    "only_classes",
    "limit_train",
    "limit_test",
)

# Images of a batch of the evaluation, at most.
EVALUATION_BATCH = 1000
# Seconds between two stored states.
STATE_SECONDS = 15

HISTORY_COLUMNS = (
    "step",
    "learning_rate",
    "train_loss",
    "train_error",
    "test_loss",
    "test_error",
    "seconds",
)

State = dict[str, list]


@dataclass(frozen=True)
class Data:
    """Images in memory, uint8, (count, height, width, channels), and their labels.

    Attributes:
        train: Training images and labels.
        test: Test images and labels.
        classes: Number of classes.
    """

    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    classes: int


class Training:
    """The compiled functions of a run.

    Args:
        recipe: A recipe with `CropFlip`, `Momentum` and the preprocessing `canvas`.
        data: Its images.
        steps_per_block: Steps of one call of the device; `recipe.steps` must be a multiple.

    Attributes:
        plan: The run's steps.
        parameters: Number of trainable parameters.
        state: The initial weights, their statistics and velocities.
    """

    def __init__(self, recipe: Recipe, data: Data, steps_per_block: int):
        if recipe.steps % steps_per_block:
            raise UserError(
                f"steps must be a multiple of {steps_per_block}. Received: {recipe.steps}."
            )
        for field in dataclasses.fields(Recipe):
            value = getattr(recipe, field.name)
            if field.name in LEFT_OUT and value not in (field.default, {}):
                raise UserError(f"{field.name} needs TensorFlow's loop. Received: {value}.")
        self.recipe = recipe
        self.plan = Plan(
            images=len(data.train[0]),
            batch_size=recipe.batch_size,
            steps=recipe.steps,
            steps_per_block=steps_per_block,
            seed=recipe.seed,
        )
        keras.utils.set_random_seed(recipe.seed)
        keras.config.set_dtype_policy(recipe.dtype_policy)
        self._model = get_model(
            recipe.model,
            classes=data.classes,
            classifier_activation=None,
            **recipe.model_arguments,
        )
        self._loss = recipe.make_loss()
        trained = self._model.trainable_variables
        self._decay = [
            recipe.optimizer.weight_decay
            * (recipe.optimizer.decayed == "all" or variable.name == "kernel")
            for variable in trained
        ]
        self.parameters = sum(int(np.prod(variable.shape)) for variable in trained)
        self.state: State = {
            "weights": [variable.value for variable in trained],
            "statistics": [v.value for v in self._model.non_trainable_variables],
            "velocities": [jax.numpy.zeros(v.shape, v.dtype) for v in trained],
        }
        self._train, self._test = (self._on_device(split) for split in (data.train, data.test))
        self._block = jax.jit(self._train_block, donate_argnums=0)
        self._errors = jax.jit(self._loss_and_error)

    def train_block(self, first: int) -> tuple[float, float, float]:
        """Trains on the block of steps that begins with `first`.

        Returns:
            Learning rate of the last step, mean loss and error rate of the block's images, as they
            were trained on.
        """
        steps = self.plan.steps_per_block
        rate = rates([self.recipe.schedule], self.plan, first, steps)[:, 0]
        self.state, losses, errors = self._block(self.state, self._train, first, rate)
        return float(rate[-1]), float(losses.mean()), float(errors.mean())

    def evaluate(self, part: str) -> tuple[float, float]:
        """Returns mean loss and error rate in inference of a split, `"train"` or `"test"`."""
        split = self._train if part == "train" else self._test
        return tuple(map(float, self._errors(self.state, split)))

    def _on_device(self, split: tuple[np.ndarray, np.ndarray]) -> tuple[Any, Any]:
        """Preprocessed images with the borders of canvas and augmentation, and labels."""
        images, labels = split
        preprocessing = self.recipe.make_preprocessing()
        crop_flip = self.recipe.augmentation
        box = preprocessing.size - 2 * preprocessing.border
        if images.shape[1:] != (box, box, 1):
            raise UserError(
                f"Images must have the shape {(box, box, 1)}. Received: {images.shape[1:]}."
            )
        pixels = jax.numpy.asarray(preprocessing.normalize(images.astype("float32")))
        for border, value in (
            (preprocessing.border, preprocessing.background),
            (crop_flip.padding, crop_flip.fill),
        ):
            widths = [(0, 0), (border, border), (border, border), (0, 0)]
            pixels = jax.numpy.pad(pixels, widths, constant_values=value)
        return pixels, jax.numpy.asarray(labels)

    def _train_block(self, state: State, split, first, rate):
        np_ = jax.numpy
        pixels, labels = split
        batch, per_epoch = self.plan.batch_size, int(self.plan.steps_per_epoch)
        steps = first + np_.arange(self.plan.steps_per_block)
        # All epochs that the block may reach into.
        epochs = first // per_epoch + np_.arange(self.plan.steps_per_block // per_epoch + 2)
        keys = jax.vmap(lambda epoch: jax.random.fold_in(jax.random.key(self.plan.seed), epoch))
        of_epoch = jax.vmap(jax.random.split)(keys(epochs))
        count = self.plan.images
        order = jax.vmap(lambda key: jax.random.permutation(key, count))(of_epoch[:, 0])
        random = jax.vmap(lambda key: jax.random.uniform(key, (count, 3)))(of_epoch[:, 1])

        def step(state: State, step_and_rate):
            step, rate = step_and_rate
            epoch, start = step // per_epoch - epochs[0], step % per_epoch * batch
            index = jax.lax.dynamic_slice(order, (epoch, start), (1, batch))[0]
            numbers = jax.lax.dynamic_slice(random, (epoch, start, 0), (1, batch, 3))[0]
            images = self._network_input(self._cropped(pixels[index], numbers))
            return self._updated(state, images, labels[index], rate)

        state, (losses, errors) = jax.lax.scan(step, state, (steps, rate))
        return state, losses, errors

    def _cropped(self, images, random):
        """Crops and flips images with borders by their random numbers, as `CropFlip` does."""
        padding = self.recipe.augmentation.padding
        side = images.shape[1] - 2 * padding
        offsets = jax.numpy.floor(random[:, :2] * (2 * padding + 1)).astype("int32")

        def crop(image, offset, flip):
            image = jax.lax.dynamic_slice(image, (offset[0], offset[1], 0), (side, side, 1))
            return jax.numpy.where(flip, image[:, ::-1], image)

        return jax.vmap(crop)(images, offsets, random[:, 2] < 0.5)

    def _network_input(self, images):
        """Copies grey to the channels of the network."""
        return jax.numpy.repeat(images, self._model.input_shape[-1], axis=-1)

    def _updated(self, state: State, images, labels, rate):
        """One step of momentum with coupled weight decay: the state, loss and error rate."""

        def loss_of(weights):
            scores, statistics = self._model.stateless_call(
                weights, state["statistics"], images, training=True
            )
            scores = scores.astype("float32")
            return self._loss(labels, scores), (scores, statistics)

        gradient = jax.value_and_grad(loss_of, has_aux=True)
        (loss, (scores, statistics)), gradients = gradient(state["weights"])
        momentum = self.recipe.optimizer.momentum
        velocities = [
            momentum * velocity - rate * (gradient + decay * weight)
            for velocity, gradient, decay, weight in zip(
                state["velocities"], gradients, self._decay, state["weights"], strict=True
            )
        ]
        weights = [w + v for w, v in zip(state["weights"], velocities, strict=True)]
        state = {"weights": weights, "statistics": statistics, "velocities": velocities}
        return state, (loss, (scores.argmax(-1) != labels).mean())

    def _loss_and_error(self, state: State, split):
        padding = self.recipe.augmentation.padding
        batch = gcd(len(split[1]), EVALUATION_BATCH)

        def of_batch(images_and_labels):
            images, labels = images_and_labels
            images = self._network_input(images[:, padding:-padding, padding:-padding])
            scores, _ = self._model.stateless_call(
                state["weights"], state["statistics"], images, training=False
            )
            scores = scores.astype("float32")
            return self._loss(labels, scores), (scores.argmax(-1) != labels).mean()

        batches = [value.reshape(-1, batch, *value.shape[1:]) for value in split]
        return tuple(values.mean() for values in jax.lax.map(of_batch, tuple(batches)))


def train(
    recipe: Recipe,
    data: Data,
    folder: Path,
    *,
    steps_per_block: int,
    max_minutes: float | None = None,
    on_block: Callable[[Mapping[str, Any]], None] = lambda row: None,
) -> dict[str, Any]:
    """Trains by a recipe, or resumes, and returns the content of `result.json`.

    A run that stops early leaves the result of its steps until then.

    Args:
        recipe: See `Training`.
        data: Its images.
        folder: Receives `recipe.json`, `state.npz`, `history.csv` and `result.json`.
        steps_per_block: Steps of one call of the device, after each of which the test images are
            evaluated.
        max_minutes: Stop after so many minutes.
        on_block: Called with the new row of the history.

    Raises:
        UserError: The folder holds a run of another recipe.
        StoppedError: `max_minutes` are over; the same call resumes.
        NonFiniteLossError: The loss is not finite.
    """
    end = None if max_minutes is None else time.monotonic() + 60 * max_minutes
    _check_recipe(folder / "recipe.json", recipe)
    if (folder / "result.json").exists():
        result = files.read_json(folder / "result.json")
        if result["steps"] == recipe.steps:
            return result
    training = Training(recipe, data, steps_per_block)
    history = _resumed(training, folder)
    seconds = history[-1]["seconds"] if history else 0.0
    stored = time.monotonic()
    while len(history) * steps_per_block < recipe.steps:
        start = time.monotonic()
        first = len(history) * steps_per_block
        rate, loss, error = training.train_block(first)
        if not np.isfinite(loss):
            raise NonFiniteLossError(f"The training loss is no longer finite after step {first}.")
        test_loss, test_error = training.evaluate("test")
        seconds += time.monotonic() - start
        row = (first + steps_per_block, rate, loss, error, test_loss, test_error, seconds)
        history.append(dict(zip(HISTORY_COLUMNS, row, strict=True)))
        on_block(history[-1])
        stops = end is not None and time.monotonic() >= end
        if stops or time.monotonic() - stored >= STATE_SECONDS:
            _store(training, history, folder)
            stored = time.monotonic()
        if stops and first + steps_per_block < recipe.steps:
            files.write_json(folder / "result.json", _result(training, data, history))
            raise StoppedError(
                f"Stopped after {max_minutes:g} minutes and {first + steps_per_block:,} of "
                f"{recipe.steps:,} steps; repeat the command to resume from {folder}."
            )
    _store(training, history, folder)
    result = _result(training, data, history)
    files.write_json(folder / "result.json", result)
    return result


def _check_recipe(path: Path, recipe: Recipe) -> None:
    content = recipe.to_json()
    if not path.exists():
        files.write_json(path, content)
    elif files.read_json(path) != content:
        raise UserError(f"{path.parent} holds a run of another recipe. Use another folder.")


def _store(training: Training, history: list[Mapping[str, Any]], folder: Path) -> None:
    """Stores history and state; the state last, because the history of an older one is longer."""
    files.write_csv(folder / "history.csv", HISTORY_COLUMNS, history)
    arrays = {
        f"{name}_{i}": np.asarray(value)
        for name, values in training.state.items()
        for i, value in enumerate(values)
    }
    with files.atomic_write(folder / "state.npz") as aside:
        np.savez(aside, blocks=len(history), **arrays)


def _resumed(training: Training, folder: Path) -> list[dict[str, Any]]:
    """Gives the training its stored state, if there is one, and returns the history until then."""
    if not (folder / "state.npz").exists():
        return []
    arrays = files.read_arrays(files.read_bytes(folder / "state.npz"))
    training.state = {
        name: [jax.numpy.asarray(arrays[f"{name}_{i}"]) for i in range(len(values))]
        for name, values in training.state.items()
    }
    rows = read_rows(folder / "history.csv")[: int(arrays["blocks"])]
    return [{name: float(row[name]) for name in HISTORY_COLUMNS} for row in rows]


def _result(training: Training, data: Data, history: list[Mapping[str, Any]]) -> dict[str, Any]:
    recipe, last = training.recipe, history[-1]
    train_loss, train_error = training.evaluate("train")
    weights = b"".join(np.asarray(value).tobytes() for value in training.state["weights"])
    return {
        **{name: getattr(recipe, name) for name in ("model", "dataset", "seed", "batch_size")},
        "recipe": recipe.name,
        "dtype_policy": recipe.dtype_policy,
        "train_images": len(data.train[0]),
        "images": len(data.test[0]),
        "parameters": training.parameters,
        "steps": int(last["step"]),
        "recipe_steps": recipe.steps,
        "test_error": last["test_error"],
        "test_loss": last["test_loss"],
        "train_error": train_error,
        "train_loss": train_loss,
        # Of the last block, with the network as it was at each step, and augmented.
        "running_train_error": last["train_error"],
        "seconds": last["seconds"],
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "environment": current_environment(),
    }


def shortened(recipe: Recipe, steps: int) -> Recipe:
    """Returns a recipe of another length; its rate falls at the same fractions of the run."""
    at = tuple(int(step * steps / recipe.steps) for step in recipe.schedule.at)
    schedule = dataclasses.replace(recipe.schedule, at=at)
    return dataclasses.replace(recipe, steps=steps, schedule=schedule)
