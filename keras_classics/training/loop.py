"""The one training loop: compiled, several steps a call, over `tf.distribute`."""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_classics import files
from keras_classics.analysis import plots
from keras_classics.data import ImageData, load, pipeline
from keras_classics.errors import NonFiniteLossError, StoppedError, UserError, require
from keras_classics.evaluation import Evaluation, Evaluator
from keras_classics.models import get_model, transfer
from keras_classics.models.assembly import scores_and_probabilities
from keras_classics.training import checkpoint, schedules
from keras_classics.training.logs import RunDirectory, write_json
from keras_classics.training.recipe import Recipe
from keras_classics.weights import load_weights

CHECKPOINT_SECONDS = 60.0
PROTOCOL = "single view, whole test split, after the last epoch"


@dataclass
class Progress:
    """Where a run stands. All of it is in the checkpoints.

    Attributes:
        epoch: Passes that are done.
        block: Blocks of the next pass that are done.
        loss_sum: Sum of the losses of that pass so far.
        correct: Images of that pass that were right so far.
        images: Images of that pass so far.
        seconds: Time spent on that pass so far.
        history: A row a pass that is done.
    """

    epoch: int = 0
    block: int = 0
    loss_sum: float = 0.0
    correct: float = 0.0
    images: int = 0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)


Watch = Callable[[Progress, pipeline.Plan], None]


def train(
    recipe: Recipe,
    run_dir: str,
    strategy: tf.distribute.Strategy | None = None,
    *,
    data: ImageData | None = None,
    data_dir: str | None = None,
    watch: Watch = lambda progress, plan: None,
) -> dict[str, Any]:
    """Trains by a recipe, or goes on where the same call was cut, to the same bits.

    Sets the global random seeds. Checkpoints each epoch and each minute.

    Args:
        recipe: What to do.
        run_dir: Folder of the run; it holds one recipe. A finished run is not done again.
        strategy: Devices, by default one. See `make_strategy`.
        data: The recipe's data set, where it is loaded already.
        data_dir: Folder of TensorFlow Datasets.
        watch: Called with the progress and the plan after each block of steps.

    Returns:
        The content of `result.json`.

    Raises:
        UserError: The recipe, its data and the devices do not go together, or the folder is in use
            or belongs to another recipe.
        NonFiniteLossError: The loss is no longer finite. The last checkpoint stays.
        StoppedError: SIGTERM or SIGINT came; the state is saved.
    """
    # Asked for now, and not when the plots are drawn at the end.
    require("matplotlib", "train")
    run = RunDirectory(run_dir)
    with run.claimed(recipe):
        if run.result.exists():
            return json.loads(run.result.read_text())
        preprocess = recipe.make_preprocessing()
        data = data or load(recipe.dataset, data_dir, preprocess.fit)
        data = data.limited(recipe.limit_train, recipe.limit_test)
        trainer = Trainer(recipe, data, preprocess, strategy or tf.distribute.get_strategy())
        environment = run.begin(recipe)
        with _stopping_on_signals() as stop:
            evaluation = _run_epochs(trainer, run, stop, watch)
        _write_final(trainer, run, data, evaluation)
        return _write_result(trainer, run, data, evaluation, environment)


class Trainer:
    """A network, its optimiser and its data, and the compiled loop that brings them together.

    Args:
        recipe: What to do.
        data: The recipe's data set.
        preprocess: From uint8 images to what the network takes.
        strategy: Devices.

    Attributes:
        model: The network.
        plan: The run's steps.
        progress: Where the run stands.
        variables: All that a checkpoint must hold.
        evaluate: Evaluates the network on the test split.

    Raises:
        UserError: The recipe, its data and the devices do not go together.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: ImageData,
        preprocess: keras.layers.Layer,
        strategy: tf.distribute.Strategy,
    ):
        _check(recipe, data, strategy)
        self.recipe = recipe
        self.progress = Progress()
        self._data = data
        self._preprocess = preprocess
        self._strategy = strategy
        self._loss = recipe.make_loss()
        with strategy.scope():
            self.model = _build(recipe, data)
            self._updater = recipe.optimizer.start(self.model, self._loss)
        self.variables = [*self.model.variables, *self._updater.variables]
        self.plan = _plan(recipe, data, self.model)
        self.evaluate = Evaluator(self.model, self._loss, data.test, preprocess, strategy)
        self._train_block = _compiled_block(self.model, self._loss, self._updater, strategy, recipe)

    def blocks(self) -> Iterator:
        """Iterates over the blocks of images that are left of the run."""
        first = self.progress.epoch * self.plan.blocks_per_epoch + self.progress.block
        return pipeline.training_blocks(
            self._data.train, self._preprocess, self.plan, self._strategy, first
        )

    def train_block(self, blocks: Iterator) -> None:
        """Trains on the next block, and moves the progress on.

        Raises:
            NonFiniteLossError: A loss was not finite.
        """
        start = time.perf_counter()
        progress, plan = self.progress, self.plan
        if progress.block == 0 and self._updater.samples:
            self._updater.begin_epoch(*self._samples())
        steps = plan.steps_of(progress.block)
        first = progress.block * plan.steps_per_block
        rates = schedules.rates(self.recipe.schedule, plan, progress.epoch, first, steps)
        loss_sum, correct = (float(value) for value in self._train_block(*next(blocks), rates))
        if not np.isfinite(loss_sum):
            raise NonFiniteLossError(
                f"The training loss is no longer finite in epoch {progress.epoch + 1}, between "
                f"steps {first + 1} and {first + steps}. Take a smaller learning rate."
            )
        progress.block += 1
        progress.loss_sum += loss_sum
        progress.correct += correct
        progress.images += steps * plan.batch_size
        progress.seconds += time.perf_counter() - start

    def end_epoch(self) -> Evaluation:
        """Evaluates after a pass, enters its row into the history and stands before the next pass.

        Raises:
            NonFiniteLossError: The loss on the test split is not finite.
        """
        start = time.perf_counter()
        evaluation = self.evaluate()
        evaluation_seconds = time.perf_counter() - start
        progress, plan = self.progress, self.plan
        epoch = progress.epoch + 1
        if not np.isfinite(evaluation.loss):
            raise NonFiniteLossError(
                f"The test loss is no longer finite after epoch {epoch}. Take a smaller learning "
                "rate."
            )
        last_step = plan.steps_per_epoch - 1
        (rate,) = schedules.rates(self.recipe.schedule, plan, progress.epoch, last_step, 1)
        row = {
            "epoch": epoch,
            "step": epoch * plan.steps_per_epoch,
            "learning_rate": float(rate),
            "train_loss": progress.loss_sum / progress.images,
            "train_accuracy": progress.correct / progress.images,
            "test_loss": evaluation.loss,
            "test_accuracy": evaluation.accuracy,
            "images_per_second": progress.images / progress.seconds,
            "seconds": progress.seconds + evaluation_seconds,
        }
        self.progress = Progress(epoch=epoch, history=[*progress.history, row])
        return evaluation

    def _samples(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Training images for the optimiser, drawn anew each pass by (seed, epoch)."""
        train = self._data.train
        draw = np.random.default_rng((self.recipe.seed, self.progress.epoch))
        chosen = draw.permutation(len(train))[: self._updater.samples]
        images = self._preprocess(tf.constant(train.images[chosen]))
        return images, tf.constant(train.labels[chosen])


def _check(recipe: Recipe, data: ImageData, strategy: tf.distribute.Strategy) -> None:
    replicas = strategy.num_replicas_in_sync
    if recipe.batch_size % replicas:
        raise UserError(
            f"batch_size must be a multiple of the {replicas} replicas. "
            f"Received: {recipe.batch_size}."
        )
    if recipe.batch_size > len(data.train):
        raise UserError(
            f"batch_size must be at most the {len(data.train)} training images. "
            f"Received: {recipe.batch_size}."
        )


def _build(recipe: Recipe, data: ImageData) -> keras.Model:
    keras.utils.set_random_seed(recipe.seed)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(recipe.dtype_policy)
    try:
        classes = len(data.class_names)
        model = get_model(recipe.model, classes=classes, **recipe.model_arguments)
        if not recipe.model_arguments.get("include_top", True):
            model = transfer.with_classifier(model, classes)
    finally:
        keras.config.set_dtype_policy(policy)
    if recipe.initial_weights is not None:
        load_weights(model, recipe.initial_weights, whole=True)
    release = transfer.freeze_backbone if recipe.trainable == "head" else transfer.unfreeze
    release(model, recipe.batch_norm)
    return model


def _plan(recipe: Recipe, data: ImageData, model: keras.Model) -> pipeline.Plan:
    image_bytes = 4 * int(np.prod(model.input_shape[1:]))
    steps = len(data.train) // recipe.batch_size
    return pipeline.Plan(
        images=len(data.train),
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        steps_per_block=pipeline.steps_per_block(image_bytes, recipe.batch_size, steps),
        seed=recipe.seed,
        reshuffle=recipe.reshuffle,
        augmentation=recipe.augmentation,
    )


def _compiled_block(model, loss, updater, strategy, recipe):
    """Compiles the loop over the steps of a block.

    Returns:
        A function of images, labels and rates, which returns the sum of the losses and the number
        of images that were right, over all steps and replicas.
    """
    network = scores_and_probabilities(model)
    weights = [variable.value for variable in model.trainable_variables]

    def replica_step(images, labels, rate):
        with tf.GradientTape() as tape:
            scores, probabilities = network(images, training=True)
            loss_sum = tf.reduce_sum(loss.call(labels, tf.cast(scores, tf.float32)))
            mean_over_global_batch = loss_sum / recipe.batch_size
        gradients = tape.gradient(mean_over_global_batch, weights)
        hits = tf.argmax(probabilities, axis=1, output_type=labels.dtype) == labels
        correct = tf.reduce_sum(tf.cast(hits, tf.float32))
        context = tf.distribute.get_replica_context()
        *gradients, loss_sum, correct = context.all_reduce(
            tf.distribute.ReduceOp.SUM, [*gradients, loss_sum, correct]
        )
        updater.update(gradients, rate)
        return loss_sum, correct

    def train_block(images, labels, rates):
        loss_sum, correct = tf.constant(0.0), tf.constant(0.0)
        for step in tf.range(tf.shape(rates)[0]):
            step_loss, step_correct = strategy.run(
                lambda images, labels, step: replica_step(images[step], labels[step], rates[step]),
                args=(images, labels, step),
            )
            loss_sum += strategy.experimental_local_results(step_loss)[0]
            correct += strategy.experimental_local_results(step_correct)[0]
        return loss_sum, correct

    return tf.function(train_block, jit_compile=recipe.jit_compile, reduce_retracing=True)


def _run_epochs(trainer: Trainer, run: RunDirectory, stop, watch: Watch) -> Evaluation:
    """Trains from the newest checkpoint to the end, and returns the last evaluation."""
    saved = checkpoint.restore(run.checkpoints, trainer.variables)
    if saved is not None:
        trainer.progress = Progress(**saved)
        run.write_history(trainer.progress.history)
    evaluation = None
    saved_at = time.monotonic()
    blocks = trainer.blocks()
    while trainer.progress.epoch < trainer.plan.epochs:
        trainer.train_block(blocks)
        end_of_epoch = trainer.progress.block == trainer.plan.blocks_per_epoch
        if end_of_epoch:
            evaluation = trainer.end_epoch()
        watch(trainer.progress, trainer.plan)
        # Looked at once: a signal may come at any time.
        stopping = bool(stop)
        if end_of_epoch or stopping or time.monotonic() - saved_at > CHECKPOINT_SECONDS:
            path = _save(trainer, run)
            saved_at = time.monotonic()
        if end_of_epoch:
            run.write_history(trainer.progress.history)
            run.write_events(trainer.progress.history[-1])
        if stopping:
            raise StoppedError(f"Stopped by {stop[0].name}; {path} is saved.", stop[0])
    return evaluation or trainer.evaluate()


def _save(trainer: Trainer, run: RunDirectory):
    progress, plan = trainer.progress, trainer.plan
    step = progress.epoch * plan.steps_per_epoch + progress.images // plan.batch_size
    return checkpoint.save(run.checkpoints, step, trainer.variables, vars(progress))


@contextmanager
def _stopping_on_signals() -> Iterator[list[signal.Signals]]:
    """Gathers SIGTERM and SIGINT in a list instead of letting them end the process.

    One that is ignored, as SIGINT is in a shell's background jobs, stays so. Outside the main
    thread, where Python takes no signals, the list stays empty.
    """
    received: list[signal.Signals] = []

    def note(number: int, _) -> None:
        received.append(signal.Signals(number))

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _write_final(
    trainer: Trainer, run: RunDirectory, data: ImageData, evaluation: Evaluation
) -> None:
    with files.written_aside(run.weights) as aside:
        trainer.model.save_weights(aside)
    with files.written_aside(run.model) as aside:
        trainer.model.save(aside)
    test, plots_dir = data.test, run.plots
    plots.curves(trainer.progress.history, plots_dir / "curves.png")
    plots.confusion(evaluation.confusion, data.class_names, plots_dir / "confusion.png")
    plots.mistakes(
        test.images,
        test.labels,
        evaluation.probabilities,
        data.class_names,
        plots_dir / "mistakes.png",
    )


def _write_result(
    trainer: Trainer,
    run: RunDirectory,
    data: ImageData,
    evaluation: Evaluation,
    environment: dict[str, Any],
) -> dict[str, Any]:
    recipe, history = trainer.recipe, trainer.progress.history
    seconds = sum(row["seconds"] for row in history)
    content = {
        "metrics": {
            "test_accuracy": evaluation.accuracy,
            "test_error": 1 - evaluation.accuracy,
            "test_loss": evaluation.loss,
            "train_accuracy": history[-1]["train_accuracy"],
            "train_loss": history[-1]["train_loss"],
        },
        "protocol": PROTOCOL,
        "images": len(data.test),
        "train_images": len(data.train),
        "paper": recipe.to_json()["paper"],
        "recipe": recipe.name,
        "model": recipe.model,
        "parameters": int(sum(np.prod(v.shape) for v in trainer.model.trainable_variables)),
        "dataset": data.name,
        "class_names": list(data.class_names),
        "preprocessing": {"kind": recipe.preprocessing, **recipe.preprocessing_arguments},
        "seed": recipe.seed,
        "epochs": recipe.epochs,
        "steps": history[-1]["step"],
        "batch_size": recipe.batch_size,
        "seconds": seconds,
        "images_per_second": len(history)
        * trainer.plan.steps_per_epoch
        * recipe.batch_size
        / seconds,
        "environment": environment,
    }
    write_json(run.result, content)
    return content
