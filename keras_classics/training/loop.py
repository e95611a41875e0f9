"""The training loop: from a recipe to a finished run."""

import logging
import math
import os
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass

import tensorflow as tf

from keras_classics.data import ImageData
from keras_classics.data.plan import Plan
from keras_classics.errors import require
from keras_classics.evaluation import Evaluation
from keras_classics.training.card import write_run_card
from keras_classics.training.checkpoint import Checkpoints
from keras_classics.training.class_weights import BALANCED
from keras_classics.training.events import Events
from keras_classics.training.interrupts import (
    LOST_WORKER,
    StopRequest,
    explained_failures,
    stop_on_signals,
)
from keras_classics.training.recipe import Recipe
from keras_classics.training.result import (
    RunResult,
    make_result,
    outcome_digest,
    result_of_finished,
    write_final_files,
    write_result,
)
from keras_classics.training.run_directory import RunDirectory
from keras_classics.training.run_plots import draw_mistakes, draw_plots
from keras_classics.training.strategy import from_chief, is_chief
from keras_classics.training.trainer import Progress, Trainer
from keras_classics.training.training_data import load_data, select_data, training_mean

# Steps after which the loss must differ from that of guessing.
STUCK_STEPS = 500

OnProgress = Callable[[Progress, Plan], None]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunOptions:
    """Checkpoint and time-limit settings. They do not affect the result.

    Attributes:
        checkpoint_minutes: Minutes between checkpoints; there is one after each epoch, too. If
            saving is slow, they are rarer: it takes at most a fiftieth of the time.
        checkpoint_steps: Steps after which to save too, or None.
        max_minutes: Time limit; the same call resumes the run. None for no limit.
    """

    checkpoint_minutes: float = 1.0
    checkpoint_steps: int | None = None
    max_minutes: float | None = None


def train(
    recipe: Recipe,
    run_dir: str | os.PathLike,
    strategy: tf.distribute.Strategy | None = None,
    *,
    data: ImageData | None = None,
    data_dir: str | None = None,
    max_bad_images: int = 0,
    options: RunOptions = RunOptions(),
    on_progress: OnProgress = lambda progress, plan: None,
    command: str | None = None,
) -> RunResult:
    """Trains by a recipe. Repeat an interrupted call to resume, with bit-identical results.

    Sets the global random seeds. On several machines all workers make the same call; only the
    chief reads and writes `run_dir`.

    Args:
        recipe: The recipe.
        run_dir: Folder of the run, which holds one recipe. A finished run is not repeated.
        strategy: Devices, by default one. See `make_strategy`.
        data: The recipe's data set, if it is loaded already, as `load_data` loads it.
        data_dir: Folder of TensorFlow Datasets.
        max_bad_images: How many image files may be left out because they cannot be read. If more
            than 0, all are checked before the run.
        options: Checkpoints and time limit.
        on_progress: Called with the progress and the plan after each block of steps.
        command: Command that repeats this run, for the result; by default the process's own.

    Returns:
        The content of `result.json`.

    Raises:
        UserError: If the recipe, its data and the devices do not fit together, the folder is in
            use, belongs to another recipe or is deleted during the run, a file in it or an image
            cannot be read, or the disk is full.
        NonFiniteLossError: If the loss is no longer finite. The last checkpoint is kept.
        StoppedError: After SIGTERM, SIGINT or the time limit: the state is saved. If another worker
            is lost: the last checkpoint is kept.
    """
    # Needed for the plots at the end; checked now.
    require("matplotlib", "train")
    strategy = strategy or tf.distribute.get_strategy()
    chief = is_chief(strategy)
    run = RunDirectory(run_dir)
    with run.claimed(recipe) if chief else nullcontext(), explained_failures(run.path):
        finished = result_of_finished(run, recipe, strategy)
        if finished is not None:
            return finished
        data = data or load_data(recipe, data_dir)
        data, bad_images = select_data(data, recipe, run, strategy, max_bad_images)
        preprocess = recipe.make_preprocessing(training_mean(data, recipe, run, strategy))
        trainer = Trainer(recipe, data, preprocess, strategy)
        environment = run.begin(recipe, strategy, command) if chief else {}
        with stop_on_signals(options.max_minutes) as stop:
            checkpoints = Checkpoints(
                trainer, run, options.checkpoint_minutes, options.checkpoint_steps
            )
            checkpoints.restore()
            events = Events(run.events) if chief else None
            if events:
                events.begin(recipe, trainer.model, trainer.progress.history)
            evaluation = _train_to_end(trainer, run, data, checkpoints, events, stop, on_progress)
        result = make_result(trainer, data, evaluation, environment, bad_images)
        if chief:
            run.check_unchanged()
            model = write_final_files(trainer, run, data)
            result["outcome_sha256"] = outcome_digest(result["metrics"], model)
            write_run_card(run, recipe, preprocess, result)
            write_result(run.result, result)
            draw_plots(trainer, run, data, evaluation, events)
            events.end()
        # A worker that left now would take down those that are still at the last step.
        with suppress(*LOST_WORKER):
            from_chief(strategy, b"written")
        return result


def _train_to_end(
    trainer: Trainer,
    run: RunDirectory,
    data: ImageData,
    checkpoints: Checkpoints,
    events: Events | None,
    stop: StopRequest,
    on_progress: OnProgress,
) -> Evaluation:
    """Trains to the last step, and returns the last evaluation."""
    one_worker = trainer.strategy.cluster_resolver is None
    checked = False
    evaluation = None
    blocks = trainer.blocks()
    while not trainer.done:
        stopping = trainer.train_block(blocks, bool(stop))
        checked = checked or _warn_if_stuck(trainer)
        end_of_epoch = trainer.at_end_of_epoch
        if end_of_epoch:
            evaluation = trainer.end_epoch()
        on_progress(trainer.progress, trainer.plan)
        # A signal may arrive at any time, so one worker looks again. Several workers stop together,
        # at the end of the block in which one of them asked for it.
        stopping = bool(stop) if one_worker else stopping
        if end_of_epoch or stopping or checkpoints.due:
            checkpoints.save()
        if end_of_epoch and events:
            run.write_history(trainer.progress.history)
            events.add_epoch(trainer.progress.history[-1])
            # Those of the last epoch follow the result.
            if events.image_due and not trainer.done:
                draw_mistakes(run, data, evaluation, events, trainer.progress.epoch)
        if stopping:
            raise stop.error(trainer.step, run.checkpoints)
    return evaluation or trainer.evaluate()


def _warn_if_stuck(trainer: Trainer) -> bool:
    """Warns if the training loss is still at chance level; returns whether that is checked."""
    progress, recipe = trainer.progress, trainer.recipe
    if trainer.step < STUCK_STEPS or recipe.loss != "cross_entropy":
        return False
    if recipe.class_weights not in (None, BALANCED):
        # Other weights have another mean than 1, and guessing has another loss.
        return False
    chance = math.log(trainer.model.output_shape[-1])
    losses = [row["train_loss"] for row in progress.history]
    losses.append(progress.loss_sum / progress.images)
    if all(abs(loss - chance) < 0.01 * chance for loss in losses):
        logger.warning(
            "The loss has stayed at ln(classes), %.3f, for %d steps: the network only guesses. Try "
            "He initialisation, a smaller learning rate, or the _bn variant.",
            chance,
            trainer.step,
        )
    return True
