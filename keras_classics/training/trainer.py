"""The trainer: a network, its optimizer and its data, joined in the compiled loop."""

import dataclasses
import fnmatch
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_classics.data import ImageData, Split, pipeline
from keras_classics.data.plan import Plan, steps_per_block
from keras_classics.data.sampling import BalancedSampling
from keras_classics.data.unreadable import naming_unreadable
from keras_classics.errors import NonFiniteLossError, UserError
from keras_classics.evaluation import Evaluation, Evaluator, one_view, recompute_batch_norm
from keras_classics.evaluation.finite import NonFiniteOutputError
from keras_classics.models import get_model, transfer
from keras_classics.training import schedules, typed_json
from keras_classics.training.checks import check_images, check_recipe
from keras_classics.training.class_weights import weights_of_classes
from keras_classics.training.optimizer import LossScale, MovingAverage, values
from keras_classics.training.recipe import Recipe
from keras_classics.training.run_directory import HISTORY_COLUMNS, VALIDATION_COLUMNS
from keras_classics.training.step import Step, compiled_block
from keras_classics.weights import load_weights


@dataclass
class Progress:
    """How far a run is. All of it is in the checkpoints.

    Attributes:
        epoch: Number of finished epochs.
        block: Number of finished blocks of the current epoch.
        loss_sum: Sum of the losses of the current epoch.
        correct: Correctly classified images of the current epoch.
        images: Images of the current epoch.
        seconds: Time spent on the current epoch.
        history: One row per finished epoch.
    """

    epoch: int = 0
    block: int = 0
    loss_sum: float = 0.0
    correct: float = 0.0
    images: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def from_json(cls, content: Any, plan: Plan) -> "Progress":
        """Returns the progress that a checkpoint of a run with this plan holds.

        Raises:
            UserError: If it is not one.
        """
        progress = typed_json.decode(cls, content)
        progress.history = [dict(row) for row in progress.history]
        columns = {*HISTORY_COLUMNS}
        if not (
            progress.epoch == len(progress.history) <= plan.epochs
            and 0 <= progress.block < max(1, plan.blocks_of(progress.epoch))
            # All blocks before are full.
            and progress.images == progress.block * plan.steps_per_block * plan.batch_size
            and all(row.keys() - {*VALIDATION_COLUMNS} == columns for row in progress.history)
        ):
            raise UserError("its progress is not one of this run")
        return progress


class Trainer:
    """A network, its optimizer and its data, joined in the compiled loop.

    Args:
        recipe: The recipe.
        data: The recipe's data set.
        preprocess: From uint8 images to what the network takes.
        strategy: Devices.

    Attributes:
        model: The network.
        plan: The run's steps.
        progress: How far the run is.
        variables: All variables that a checkpoint must hold.

    Raises:
        UserError: If the recipe, its data and the devices do not fit together.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: ImageData,
        preprocess: keras.layers.Layer,
        strategy: tf.distribute.Strategy,
    ):
        check_recipe(recipe, data, strategy)
        self.recipe = recipe
        self.progress = Progress()
        self.strategy = strategy
        self._data = data
        self.preprocess = preprocess
        loss = recipe.make_loss()
        with strategy.scope():
            self.model = initial_network(recipe, data)
            check_images(recipe, preprocess, self.model)
            self._updater = recipe.optimizer.start(self.model, loss)
            self._average = recipe.average and MovingAverage(self.model, recipe.average)
            scale = LossScale() if recipe.dtype_policy == "mixed_float16" else None
        self.variables = [*values(self.model.variables), *self._updater.variables]
        for part in (self._average, scale):
            self.variables += part.variables if part else []
        self.plan = plan_of(recipe, data, self.model)
        self._schedules = (recipe.schedule, *recipe.schedules.values())
        step = Step(
            self.model,
            loss,
            self._updater,
            batch_size=recipe.batch_size,
            groups=schedule_numbers(recipe, self.model),
            device_preprocess=pipeline.device_preprocess(data.train, preprocess),
            gradient_accumulation_steps=recipe.gradient_accumulation_steps,
            clip_norm=recipe.clip_norm,
            average=self._average,
            scale=scale,
            class_weights=self._class_weights(),
        )
        self._train_block = compiled_block(step, strategy, recipe.jit_compile)
        self._evaluators = {
            name: Evaluator(self.model, loss, split, one_view(preprocess), strategy)
            for name, split in (("validation", data.validation), ("test", data.test))
            if split is not None
        }

    def _class_weights(self) -> np.ndarray | None:
        given, data = self.recipe.class_weights, self._data
        if given is None:
            return None
        return weights_of_classes(given, data.train.labels, data.class_names)

    @property
    def step(self) -> int:
        """Number of finished steps."""
        progress, plan = self.progress, self.plan
        done = plan.first_step(progress.epoch) + progress.images // plan.batch_size
        # The last epoch may be incomplete.
        return min(done, plan.steps)

    @property
    def done(self) -> bool:
        """Whether the run has reached its last step."""
        return self.progress.epoch >= self.plan.epochs

    @property
    def at_end_of_epoch(self) -> bool:
        """Whether the last block of the current epoch is finished."""
        return self.progress.block == self.plan.blocks_of(self.progress.epoch)

    def blocks(self) -> Iterator:
        """Iterates over the remaining blocks of images of the run."""
        first = self.plan.first_block(self.progress.epoch) + self.progress.block
        return pipeline.training_blocks(
            self._data.train, self.preprocess, self.plan, self.strategy, first
        )

    def train_block(self, blocks: Iterator, stop: bool = False) -> bool:
        """Trains on the next block and updates the progress.

        Args:
            blocks: What `blocks` returned.
            stop: Whether this worker wants to stop.

        Returns:
            Whether any worker wants to stop.

        Raises:
            NonFiniteLossError: If a loss is not finite.
            UserError: If an image of the block cannot be read.
        """
        start = time.perf_counter()
        progress, plan = self.progress, self.plan
        if progress.block == 0 and self._updater.samples:
            self._updater.begin_epoch(*self._samples())
        first, steps = self.step, plan.steps_of(progress.epoch, progress.block)
        rates = schedules.rates(self._schedules, plan, first, steps, progress.history)
        with naming_unreadable(self._data.train, lambda: self._indices(first, steps)):
            inputs, labels = next(blocks)
        sums = self._train_block(inputs, labels, rates, tf.constant(float(stop)))
        loss_sum, correct, stopping = sums.numpy().tolist()
        if not np.isfinite(loss_sum):
            before = first - plan.first_step(progress.epoch)
            raise NonFiniteLossError(
                f"The training loss is no longer finite in epoch {progress.epoch + 1}, between "
                f"steps {before + 1} and {before + steps}. Use a smaller learning rate."
            )
        progress.block += 1
        progress.loss_sum += loss_sum
        progress.correct += correct
        progress.images += steps * plan.batch_size
        progress.seconds += time.perf_counter() - start
        return stopping > 0

    def _indices(self, first: int, steps: int) -> np.ndarray:
        """Indices of the training images of some steps of an epoch; `first` counts from 0."""
        epoch = self.plan.epoch_of_step(first)
        positions = self.plan.positions(epoch, first, first + steps)
        return self.plan.order(tf.constant(epoch, tf.int64), tf.reshape(positions, [-1])).numpy()

    def evaluate(self, split: str = "test") -> Evaluation:
        """Evaluates the network, or its averaged weights if the recipe keeps them, on a split.

        Raises:
            NonFiniteLossError: If its outputs are not finite.
        """
        with self.averaged():
            try:
                return self._evaluators[split]()
            except NonFiniteOutputError as error:
                epoch = min(self.progress.epoch + 1, self.plan.epochs)
                raise NonFiniteLossError(
                    f"The {split} loss is no longer finite after epoch {epoch}. Use a smaller "
                    "learning rate."
                ) from error

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Puts the averaged weights into the network for a while, if the recipe keeps them."""
        if self._average:
            self._average.swap()
        try:
            yield
        finally:
            if self._average:
                self._average.swap()

    def end_epoch(self) -> Evaluation:
        """Evaluates, adds the epoch's row to the history, and starts the next epoch.

        Returns:
            The evaluation on the test split.

        Raises:
            NonFiniteLossError: If the outputs on a split are not finite.
        """
        start = time.perf_counter()
        progress, plan = self.progress, self.plan
        if self.recipe.exact_batch_norm is not None and progress.epoch + 1 == plan.epochs:
            self._take_exact_statistics(self.recipe.exact_batch_norm)
        evaluations = {split: self.evaluate(split) for split in self._evaluators}
        evaluation_seconds = time.perf_counter() - start
        epoch = progress.epoch + 1
        rates = schedules.rates(self._schedules, plan, self.step - 1, 1, progress.history)
        row = {
            "epoch": epoch,
            "step": self.step,
            "learning_rate": float(rates[0, 0]),
            "train_loss": progress.loss_sum / progress.images,
            "train_accuracy": progress.correct / progress.images,
            "images_per_second": progress.images / progress.seconds,
            "seconds": progress.seconds + evaluation_seconds,
        }
        for split, evaluation in evaluations.items():
            row |= {f"{split}_loss": evaluation.loss, f"{split}_accuracy": evaluation.accuracy}
        self.progress = Progress(epoch=epoch, history=[*progress.history, row])
        return evaluations["test"]

    def _take_exact_statistics(self, images: int) -> None:
        """Replaces the moving averages of normalisations, in batches as they were trained with."""
        recipe, train = self.recipe, self._data.train
        images = min(images, len(train))
        size = min(recipe.batch_norm_group or recipe.batch_size, images)
        batches = pipeline.evaluation_batches(
            # Whole batches: the pipeline would fill the last one with copies.
            train.limited(images // size * size),
            one_view(self.preprocess),
            size,
            tf.distribute.get_strategy(),
        )
        with self.averaged():
            recompute_batch_norm(self.model, (stack[:, 0] for (stack,), _ in batches))

    def _samples(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Training images for the optimizer, drawn anew in each epoch by (seed, epoch)."""
        train = self._data.train
        draw = np.random.default_rng((self.recipe.seed, self.progress.epoch))
        chosen = train.take(draw.permutation(len(train))[: self._updater.samples])
        return self.preprocess(tf.constant(chosen.images)), tf.constant(chosen.labels)


def initial_network(recipe: Recipe, data: ImageData) -> keras.Model:
    """Builds the network with which a run of a recipe starts. Sets the global random seeds.

    Args:
        recipe: The recipe.
        data: Its data set.

    Raises:
        UserError: If an argument of the network is wrong, or the initial weights do not fit.
    """
    keras.utils.set_random_seed(recipe.seed)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(recipe.dtype_policy)
    try:
        classes = len(data.class_names)
        arguments = dict(recipe.model_arguments)
        if recipe.multilabel:
            arguments["classifier_activation"] = "sigmoid"
        model = get_model(recipe.model, classes=classes, **arguments)
        if not recipe.model_arguments.get("include_top", True):
            activation = "sigmoid" if recipe.multilabel else "softmax"
            model = transfer.with_classifier(model, classes, activation)
    finally:
        keras.config.set_dtype_policy(policy)
    if recipe.initial_model is not None:
        arguments = {**recipe.model_arguments, "input_shape": model.input_shape[1:]}
        source = get_model(recipe.initial_model, classes=classes, **arguments)
        load_weights(source, recipe.initial_weights, strict=True)
        transfer.copy_first_and_last(source, model)
    elif recipe.initial_weights is not None:
        load_weights(model, recipe.initial_weights, strict=True)
    release = transfer.freeze_backbone if recipe.trainable == "head" else transfer.unfreeze
    release(model, recipe.batch_norm)
    transfer.group_batch_norm(model, recipe.batch_norm_group)
    return model


def schedule_numbers(recipe: Recipe, model: keras.Model) -> list[int]:
    """Returns the number of each trainable variable's schedule; 0 is the recipe's `schedule`."""
    patterns = list(recipe.schedules)
    numbers = []
    for variable in model.trainable_variables:
        fits = [i + 1 for i, p in enumerate(patterns) if fnmatch.fnmatch(variable.path, p)]
        numbers.append(fits[0] if fits else 0)
    return numbers


def plan_of(recipe: Recipe, data: ImageData, model: keras.Model) -> Plan:
    """Returns the steps of a run of a recipe on some data."""
    image_bytes = 4 * int(np.prod(model.input_shape[1:]))
    in_memory = isinstance(data.train, Split)
    fitting = steps_per_block(image_bytes, recipe.batch_size, len(data.train) // recipe.batch_size)
    plan = Plan(
        images=len(data.train),
        batch_size=recipe.batch_size,
        steps=recipe.steps or 1,
        steps_per_block=fitting if in_memory else 1,
        seed=recipe.seed,
        reshuffle=recipe.reshuffle,
        augmentation=recipe.augmentation,
        carry=recipe.last_batch == "carry",
        sampling=(
            BalancedSampling.of(data.train.labels) if recipe.sampling == "balanced" else None
        ),
    )
    if recipe.steps is not None:
        return plan
    return dataclasses.replace(plan, steps=plan.first_step(recipe.epochs))
