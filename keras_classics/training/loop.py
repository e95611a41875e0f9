"""The one training loop: compiled, several steps a call, over `tf.distribute`."""

import errno
import fnmatch
import io
import json
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_classics import files
from keras_classics.analysis import plots
from keras_classics.data import FileSplit, ImageData, Split, image_files, load, pipeline
from keras_classics.errors import NonFiniteLossError, StoppedError, UserError, require
from keras_classics.evaluation import Evaluation, Evaluator, one_view
from keras_classics.models import get_model, transfer
from keras_classics.training import checkpoint, schedules
from keras_classics.training.optimizer import LossScale, MovingAverage, copies, values
from keras_classics.training.recipe import Recipe
from keras_classics.training.run_directory import RunDirectory
from keras_classics.training.step import Step, compiled_block
from keras_classics.training.strategy import from_chief, is_chief
from keras_classics.weights import load_weights

PROTOCOL = "single view, whole test split, after the last epoch"

# At most one part in so many of the time goes into checkpoints.
CHECKPOINT_SHARE = 50
# Steps after which a loss that is still that of guessing is worth a word.
STUCK_STEPS = 500

# What TensorFlow raises in the others where a worker is gone.
LOST_WORKER = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out. None of it changes what comes out.

    Attributes:
        checkpoint_minutes: A checkpoint as often, and after each pass. Where one takes long, as
            seldom as keeps them below a fiftieth of the time.
        checkpoint_steps: A checkpoint after as many steps too, or None.
        max_minutes: Stops after so long, to go on when called again; None for never.
    """

    checkpoint_minutes: float = 1.0
    checkpoint_steps: int | None = None
    max_minutes: float | None = None


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


OnProgress = Callable[[Progress, pipeline.Plan], None]


def train(
    recipe: Recipe,
    run_dir: str,
    strategy: tf.distribute.Strategy | None = None,
    *,
    data: ImageData | None = None,
    data_dir: str | None = None,
    max_bad_images: int = 0,
    options: RunOptions = RunOptions(),
    on_progress: OnProgress = lambda progress, plan: None,
    command: str | None = None,
) -> dict[str, Any]:
    """Trains by a recipe, or goes on where the same call was cut, to the same bits.

    Sets the global random seeds. On several machines all workers call it alike; the first one
    alone reads and writes `run_dir`.

    Args:
        recipe: What to do.
        run_dir: Folder of the run; it holds one recipe. A finished run is not done again.
        strategy: Devices, by default one. See `make_strategy`.
        data: The recipe's data set, where it is loaded already, as `load_data` loads it.
        data_dir: Folder of TensorFlow Datasets.
        max_bad_images: Picture files that may be left out because they cannot be read. More than
            0: all are looked at before the run.
        options: Checkpoints and time.
        on_progress: Called with the progress and the plan after each block of steps.
        command: Command that repeats this run, for the result; by default the process's own.

    Returns:
        The content of `result.json`.

    Raises:
        UserError: The recipe, its data and the devices do not go together, the folder is in use
            or belongs to another recipe, a picture cannot be read, or the disk is full.
        NonFiniteLossError: The loss is no longer finite. The last checkpoint stays.
        StoppedError: SIGTERM or SIGINT came, or the time is over: the state is saved. Or another
            worker is gone: the last checkpoint stays.
    """
    # Asked for now, and not when the plots are drawn at the end.
    require("matplotlib", "train")
    strategy = strategy or tf.distribute.get_strategy()
    run = RunDirectory(run_dir)
    with run.claimed(recipe) if is_chief(strategy) else nullcontext(), _telling_what_happened(run):
        finished = run.result.read_bytes() if run.result.exists() else b""
        finished = from_chief(strategy, finished)
        if finished:
            return json.loads(finished)
        data = data or load_data(recipe, data_dir)
        data = data.limited(recipe.limit_train, recipe.limit_test)
        data, bad_images = _without_bad_images(data, run, strategy, max_bad_images)
        if recipe.validation:
            data = data.holding_out(recipe.validation)
        preprocess = recipe.make_preprocessing(_mean(recipe, run, data, strategy))
        trainer = Trainer(recipe, data, preprocess, strategy)
        environment = run.begin(recipe, command) if is_chief(strategy) else {}
        with _stopping_on_signals() as stop:
            evaluation = _Running(trainer, run, options, stop, on_progress).to_the_end()
        content = _result(trainer, data, evaluation, environment) | {"bad_images": bad_images}
        # As it will be read from the file.
        content = json.loads(json.dumps(content))
        if is_chief(strategy):
            _write_final(trainer, run, data, evaluation)
            files.write_json(run.result, content)
        # A worker that left now would take down those that are still at the last step.
        with suppress(*LOST_WORKER):
            from_chief(strategy, b"written")
        return content


def load_data(recipe: Recipe, data_dir: str | None = None) -> ImageData:
    """Loads a recipe's data set in the form that its augmentation takes. See `data.load`."""
    resize = recipe.make_preprocessing().resize
    data = load(recipe.dataset, data_dir, resize, encoded=recipe.crops_on_decode)
    return data if recipe.only_classes is None else data.of_classes(recipe.only_classes)


def _without_bad_images(
    data: ImageData, run: RunDirectory, strategy: tf.distribute.Strategy, most: int
) -> tuple[ImageData, int]:
    """Leaves out the picture files that cannot be read, and says how many they were.

    The first look at them is kept in the run's folder: a run that goes on leaves out the same.
    """
    if not most:
        return data, 0
    splits = (data.train, data.test)
    if not all(isinstance(split, FileSplit) for split in splits):
        raise UserError(
            f"max_bad_images looks at the picture files of folder:PATH, whose crops are cut while "
            f"decoding. Received: {data.name}."
        )

    def look() -> None:
        paths = [Path(path) for split in splits for path in split.paths]
        bad = [fault for fault in image_files.faults(paths) if fault.fatal]
        files.write_json(run.bad_images, [{"path": str(f.path), "fault": f.fault} for f in bad])

    bad = json.loads(_kept(run.bad_images, look, run, strategy))
    if len(bad) > most:
        raise UserError(
            f"{len(bad)} pictures cannot be read, the first {bad[0]['path']}: {bad[0]['fault']}. "
            f"Received: max_bad_images={most}. All are listed in {run.bad_images}."
        )
    names = [row["path"] for row in bad]
    train, test = (split.take(np.flatnonzero(~np.isin(split.paths, names))) for split in splits)
    return replace(data, train=train, test=test), len(bad)


def _mean(recipe: Recipe, run: RunDirectory, data: ImageData, strategy) -> np.ndarray | None:
    """Mean of the training images, taken once and kept in the run's folder."""
    if recipe.mean is None:
        return None

    def take() -> None:
        resize = recipe.make_preprocessing().resize
        mean = pipeline.mean_of(data.train, resize, recipe.mean == "per_pixel")
        with files.atomic_write(run.mean) as aside:
            np.save(aside, mean)

    return np.load(io.BytesIO(_kept(run.mean, take, run, strategy)))


def _kept(path: Path, write: Callable[[], None], run: RunDirectory, strategy) -> bytes:
    """A file that the chief writes once for a run and every worker gets."""
    content = b""
    if is_chief(strategy):
        if not (run.begun and path.exists()):
            write()
        content = path.read_bytes()
    return from_chief(strategy, content)


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
        self.strategy = strategy
        self._data = data
        self._preprocess = preprocess
        loss = recipe.make_loss()
        with strategy.scope():
            self.model = initial_network(recipe, data)
            self._updater = recipe.optimizer.start(self.model, loss)
            self._average = recipe.average and MovingAverage(self.model, recipe.average)
            scale = LossScale() if recipe.dtype_policy == "mixed_float16" else None
        self.variables = [*values(self.model.variables), *self._updater.variables]
        for part in (self._average, scale):
            self.variables += part.variables if part else []
        self.plan = _plan(recipe, data, self.model)
        self._schedules = (recipe.schedule, *recipe.schedules.values())
        step = Step(
            self.model,
            loss,
            self._updater,
            batch_size=recipe.batch_size,
            groups=_groups(recipe, self.model),
            device_preprocess=pipeline.device_preprocess(data.train, preprocess),
            gradient_accumulation_steps=recipe.gradient_accumulation_steps,
            clip_norm=recipe.clip_norm,
            average=self._average,
            scale=scale,
        )
        self._train_block = compiled_block(step, strategy, recipe.jit_compile)
        self._evaluators = {
            part: Evaluator(self.model, loss, split, one_view(preprocess), strategy)
            for part, split in (("validation", data.validation), ("test", data.test))
            if split is not None
        }

    @property
    def step(self) -> int:
        """Steps done."""
        progress, plan = self.progress, self.plan
        done = progress.epoch * plan.steps_per_epoch + progress.images // plan.batch_size
        # The last pass may be a cut one.
        return min(done, plan.steps)

    def blocks(self) -> Iterator:
        """Iterates over the blocks of images that are left of the run."""
        first = self.progress.epoch * self.plan.full_blocks_per_epoch + self.progress.block
        return pipeline.training_blocks(
            self._data.train, self._preprocess, self.plan, self.strategy, first
        )

    def train_block(self, blocks: Iterator, stop: bool = False) -> bool:
        """Trains on the next block, and moves the progress on.

        Args:
            blocks: What `blocks` returned.
            stop: Whether this worker wants to stop.

        Returns:
            Whether any worker wants to.

        Raises:
            NonFiniteLossError: A loss was not finite.
            UserError: A picture of the block cannot be read.
        """
        start = time.perf_counter()
        progress, plan = self.progress, self.plan
        if progress.block == 0 and self._updater.samples:
            self._updater.begin_epoch(*self._samples())
        first, steps = self.step, plan.steps_of(progress.epoch, progress.block)
        rates = schedules.rates(self._schedules, plan, first, steps, progress.history)
        with pipeline.naming_unreadable(self._data.train, lambda: self._positions(first, steps)):
            inputs, labels = next(blocks)
        sums = self._train_block(inputs, labels, rates, tf.constant(float(stop)))
        loss_sum, correct, stopping = sums.numpy().tolist()
        if not np.isfinite(loss_sum):
            raise NonFiniteLossError(
                f"The training loss is no longer finite in epoch {progress.epoch + 1}, between "
                f"steps {first % plan.steps_per_epoch + 1} and "
                f"{first % plan.steps_per_epoch + steps}. Take a smaller learning rate."
            )
        progress.block += 1
        progress.loss_sum += loss_sum
        progress.correct += correct
        progress.images += steps * plan.batch_size
        progress.seconds += time.perf_counter() - start
        return stopping > 0

    def _positions(self, first: int, steps: int) -> np.ndarray:
        """Which training images stand in some steps of a pass, counted from 0 in the run."""
        plan = self.plan
        epoch, first = divmod(first, plan.steps_per_epoch)
        places = tf.range(first * plan.batch_size, (first + steps) * plan.batch_size)
        return plan.order(tf.constant(epoch, tf.int64), tf.cast(places, tf.int64)).numpy()

    def evaluate(self, part: str = "test") -> Evaluation:
        """Evaluates the network, or its averages where the recipe keeps them, on a split."""
        with self.averaged():
            return self._evaluators[part]()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Holds the averages in the place of the weights, where the recipe keeps them."""
        if self._average:
            self._average.swap()
        yield
        if self._average:
            self._average.swap()

    def end_epoch(self) -> Evaluation:
        """Evaluates after a pass, enters its row into the history and stands before the next pass.

        Raises:
            NonFiniteLossError: The loss on the test split is not finite.
        """
        start = time.perf_counter()
        progress, plan = self.progress, self.plan
        evaluations = {part: self.evaluate(part) for part in self._evaluators}
        evaluation_seconds = time.perf_counter() - start
        epoch = progress.epoch + 1
        for part, evaluation in evaluations.items():
            if not np.isfinite(evaluation.loss):
                raise NonFiniteLossError(
                    f"The {part} loss is no longer finite after epoch {epoch}. Take a smaller "
                    "learning rate."
                )
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
        for part, evaluation in evaluations.items():
            row |= {f"{part}_loss": evaluation.loss, f"{part}_accuracy": evaluation.accuracy}
        self.progress = Progress(epoch=epoch, history=[*progress.history, row])
        return evaluations["test"]

    def _samples(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Training images for the optimiser, drawn anew each pass by (seed, epoch)."""
        train = self._data.train
        draw = np.random.default_rng((self.recipe.seed, self.progress.epoch))
        chosen = train.take(draw.permutation(len(train))[: self._updater.samples])
        return self._preprocess(tf.constant(chosen.images)), tf.constant(chosen.labels)


def _check(recipe: Recipe, data: ImageData, strategy: tf.distribute.Strategy) -> None:
    replicas = strategy.num_replicas_in_sync
    accumulated = recipe.gradient_accumulation_steps
    if recipe.batch_size % (replicas * accumulated):
        times = f" times {accumulated} gradient_accumulation_steps" if accumulated > 1 else ""
        raise UserError(
            f"batch_size must be a multiple of the number of replicas, {replicas}{times}. "
            f"Received: {recipe.batch_size}."
        )
    if recipe.batch_size > len(data.train):
        raise UserError(
            f"batch_size must be at most the {len(data.train)} training images. "
            f"Received: {recipe.batch_size}."
        )
    if recipe.dtype_policy == "mixed_float16" and replicas > 1:
        raise UserError(
            "mixed_float16, whose loss is scaled, trains on one device. "
            f"Received: {replicas} replicas. Take mixed_bfloat16."
        )
    if recipe.dtype_policy == "mixed_bfloat16" and not _fast_bfloat16():
        logger.warning("This CPU has no instructions for bfloat16: float32 is faster on it.")


def _fast_bfloat16() -> bool:
    """Whether the devices compute in bfloat16; of CPUs other than Linux's it is not known."""
    cpu = Path("/proc/cpuinfo")
    if tf.config.list_physical_devices("GPU") or not cpu.exists():
        return True
    text = cpu.read_text()
    return "avx512_bf16" in text or "amx_bf16" in text or "bf16" in text.split()


def initial_network(recipe: Recipe, data: ImageData) -> keras.Model:
    """Builds the network as a run of a recipe starts with it. Sets the global random seeds.

    Args:
        recipe: The recipe.
        data: Its data set.

    Raises:
        UserError: An argument of the network is wrong, or the weights to start from do not fit.
    """
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
    if recipe.initial_model is not None:
        arguments = {**recipe.model_arguments, "input_shape": model.input_shape[1:]}
        source = get_model(recipe.initial_model, classes=classes, **arguments)
        load_weights(source, recipe.initial_weights, strict=True)
        transfer.copy_first_and_last(source, model)
    elif recipe.initial_weights is not None:
        load_weights(model, recipe.initial_weights, strict=True)
    release = transfer.freeze_backbone if recipe.trainable == "head" else transfer.unfreeze
    release(model, recipe.batch_norm)
    return model


def _plan(recipe: Recipe, data: ImageData, model: keras.Model) -> pipeline.Plan:
    steps_per_epoch = len(data.train) // recipe.batch_size
    image_bytes = 4 * int(np.prod(model.input_shape[1:]))
    in_memory = isinstance(data.train, Split)
    of_block = pipeline.steps_per_block(image_bytes, recipe.batch_size, steps_per_epoch)
    return pipeline.Plan(
        images=len(data.train),
        batch_size=recipe.batch_size,
        steps=recipe.steps or recipe.epochs * steps_per_epoch,
        steps_per_block=of_block if in_memory else 1,
        seed=recipe.seed,
        reshuffle=recipe.reshuffle,
        augmentation=recipe.augmentation,
    )


def _groups(recipe: Recipe, model: keras.Model) -> list[int]:
    """For each trainable variable the number of its schedule; 0 is the recipe's `schedule`."""
    patterns = list(recipe.schedules)
    groups = []
    for variable in model.trainable_variables:
        fits = [i + 1 for i, p in enumerate(patterns) if fnmatch.fnmatch(variable.path, p)]
        groups.append(fits[0] if fits else 0)
    return groups


class _Running:
    """A run from its newest checkpoint to its end."""

    def __init__(
        self,
        trainer: Trainer,
        run: RunDirectory,
        options: RunOptions,
        stop,
        on_progress: OnProgress,
    ):
        self._trainer = trainer
        self._run = run
        self._options = options
        self._stop = stop
        self._on_progress = on_progress
        self._began = self._saved_at = time.monotonic()
        self._saved_step = 0
        self._save_seconds = 0.0
        self._alone = trainer.strategy.cluster_resolver is None

    def to_the_end(self) -> Evaluation:
        """Trains, and returns the last evaluation."""
        trainer = self._trainer
        self._restore()
        told = False
        evaluation = None
        blocks = trainer.blocks()
        while trainer.progress.epoch < trainer.plan.epochs:
            stopping = trainer.train_block(blocks, self._wants_to_stop())
            told = told or self._tell_if_stuck()
            plan, progress = trainer.plan, trainer.progress
            end_of_epoch = progress.block == plan.blocks_of(progress.epoch)
            if end_of_epoch:
                evaluation = trainer.end_epoch()
            self._on_progress(trainer.progress, plan)
            # Looked at once: a signal may come at any time. Several workers stop together, at the
            # end of the block that they began when one of them wanted to.
            stopping = self._wants_to_stop() if self._alone else stopping
            if end_of_epoch or stopping or self._due():
                self._save()
            if end_of_epoch and is_chief(trainer.strategy):
                self._run.write_history(trainer.progress.history)
                self._run.write_events(trainer.progress.history[-1])
            if stopping:
                raise self._stopped()
        return evaluation or trainer.evaluate()

    def _restore(self) -> None:
        """Puts the newest checkpoint of the chief's folder into the network of each worker."""
        trainer, run = self._trainer, self._run
        chief = is_chief(trainer.strategy)
        content = checkpoint.newest(run.checkpoints) if chief else None
        content = from_chief(trainer.strategy, content or b"")
        if not content:
            return
        trainer.progress = Progress(**checkpoint.restore(content, trainer.variables))
        self._saved_step = trainer.step
        if chief:
            run.write_history(trainer.progress.history)

    def _wants_to_stop(self) -> bool:
        minutes = self._options.max_minutes
        over = minutes is not None and time.monotonic() - self._began > 60 * minutes
        return bool(self._stop) or over

    def _due(self) -> bool:
        steps = self._options.checkpoint_steps
        if steps is not None and self._trainer.step - self._saved_step >= steps:
            return True
        pause = max(60 * self._options.checkpoint_minutes, CHECKPOINT_SHARE * self._save_seconds)
        return time.monotonic() - self._saved_at > pause

    def _save(self) -> None:
        trainer = self._trainer
        if is_chief(trainer.strategy):
            start = time.monotonic()
            checkpoint.save(
                self._run.checkpoints, trainer.step, trainer.variables, vars(trainer.progress)
            )
            self._save_seconds = time.monotonic() - start
        self._saved_at, self._saved_step = time.monotonic(), trainer.step

    def _stopped(self) -> StoppedError:
        saved = f"step {self._trainer.step} is saved in {self._run.checkpoints}"
        if self._stop:
            return StoppedError(f"Stopped by {self._stop[0].name}; {saved}.", self._stop[0])
        return StoppedError(f"Stopped before the end; {saved}. The same command goes on.")

    def _tell_if_stuck(self) -> bool:
        """Says so where the network has learnt nothing in its first steps."""
        trainer = self._trainer
        progress, recipe = trainer.progress, trainer.recipe
        if trainer.step < STUCK_STEPS or recipe.loss != "cross_entropy":
            return False
        guessing = math.log(trainer.model.output_shape[-1])
        losses = [row["train_loss"] for row in progress.history]
        losses.append(progress.loss_sum / progress.images)
        if all(abs(loss - guessing) < 0.01 * guessing for loss in losses):
            logger.warning(
                "The loss has stayed at ln(classes), %.3f, for %d steps: the network guesses. Try "
                "He initialisation, a smaller rate, or the _bn variant.",
                guessing,
                trainer.step,
            )
        return True


@contextmanager
def _telling_what_happened(run: RunDirectory) -> Iterator[None]:
    """Turns a full disk, and what TensorFlow says when another worker is gone, into one line."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"No space is left for {run.path}. Its last checkpoint stays: make room, and give the "
            "same command again."
        ) from error
    except LOST_WORKER as error:
        raise StoppedError(
            "Another worker is gone. Start all of them again with the same command; the run goes "
            f"on from its last checkpoint. ({str(error).splitlines()[0][:200]})"
        ) from error


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


def _of_one_device(trainer: Trainer) -> keras.Model:
    """The network as one device holds it, to save; to read one of several may mean to ask all."""
    model = keras.models.clone_model(trainer.model)
    for variable, trained in zip(model.variables, values(trainer.model.variables), strict=True):
        variable.assign(copies(trained)[0].numpy())
    return model


def _write_final(
    trainer: Trainer, run: RunDirectory, data: ImageData, evaluation: Evaluation
) -> None:
    with trainer.averaged():
        model = _of_one_device(trainer)
    with files.atomic_write(run.weights) as aside:
        model.save_weights(aside)
    with files.atomic_write(run.model) as aside:
        model.save(aside)
    plots.curves(trainer.progress.history, run.plots / "curves.png")
    plots.confusion(evaluation.confusion, data.class_names, run.plots / "confusion.png")
    plots.mistakes(
        data.test.image,
        evaluation.labels,
        evaluation.probabilities,
        data.class_names,
        run.plots / "mistakes.png",
    )


def _result(
    trainer: Trainer,
    data: ImageData,
    evaluation: Evaluation,
    environment: dict[str, Any],
) -> dict[str, Any]:
    recipe, history = trainer.recipe, trainer.progress.history
    seconds = sum(row["seconds"] for row in history)
    return {
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
        "tags": dict(recipe.tags),
        "model": recipe.model,
        "model_arguments": dict(recipe.model_arguments),
        "parameters": int(sum(np.prod(v.shape) for v in trainer.model.trainable_variables)),
        "dataset": data.name,
        "class_names": list(data.class_names),
        "preprocessing": {"kind": recipe.preprocessing, **recipe.preprocessing_arguments},
        "seed": recipe.seed,
        "epochs": trainer.plan.epochs,
        "steps": history[-1]["step"],
        "batch_size": recipe.batch_size,
        "seconds": seconds,
        "images_per_second": history[-1]["step"] * recipe.batch_size / seconds,
        "environment": environment,
    }
