"""Checkpoints: all that a run needs to resume with bit-identical results, in one file.

`tf.train.Checkpoint` leaves out the seed state of a Keras 3 model's dropout layers, so a checkpoint
here holds every variable of the model and the optimizer by its position, the progress, and the
digest of the recipe. It is checked whole before any variable changes.
"""

import json
import logging
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_classics import files
from keras_classics.errors import UserError
from keras_classics.training.optimizer import copies
from keras_classics.training.run_directory import RunDirectory
from keras_classics.training.strategy import from_chief, is_chief
from keras_classics.training.trainer import Progress, Trainer

KEPT = 2
# Checkpoints take at most one part in so many of the time.
MIN_PAUSE_PER_SAVE = 50

# Bytes of a checkpoint beside the values: for each array its name and head, and the progress.
ARRAY_BYTES = 1024
PROGRESS_BYTES = 2**26

logger = logging.getLogger(__name__)


class Checkpoints:
    """When a run saves its state, and how it resumes.

    Args:
        trainer: The run's trainer, on every worker.
        run: The run directory; only the chief reads and writes it.
        minutes: Minutes between two checkpoints; more if saving takes longer than a fiftieth.
        steps: Steps after which to save too, or None.
    """

    def __init__(
        self, trainer: Trainer, run: RunDirectory, minutes: float, steps: int | None = None
    ):
        self._trainer = trainer
        self._run = run
        self._minutes = minutes
        self._steps = steps
        self._saved_at = time.monotonic()
        self._saved_step = 0
        self._save_seconds = 0.0

    def restore(self) -> None:
        """Loads the chief's newest whole checkpoint, if any, into the network of each worker.

        Raises:
            UserError: If there are checkpoints, and none is whole and of this recipe.
        """
        trainer, run = self._trainer, self._run
        chief = is_chief(trainer.strategy)
        path, content = (newest(run.checkpoints, trainer) if chief else None) or (None, b"")
        content = from_chief(trainer.strategy, content)
        if not content:
            return
        values, trainer.progress = read(content, trainer)
        for variable, value in zip(trainer.variables, values, strict=True):
            for copy in copies(variable):
                copy.assign(value)
        self._saved_step = trainer.step
        if chief:
            logger.info(
                "Resumes from %s: %d of %d epochs are finished, and step %d of %d.",
                path,
                trainer.progress.epoch,
                trainer.plan.epochs,
                trainer.step,
                trainer.plan.steps,
            )
            run.write_history(trainer.progress.history)

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        if self._steps is not None and self._trainer.step - self._saved_step >= self._steps:
            return True
        pause = max(60 * self._minutes, MIN_PAUSE_PER_SAVE * self._save_seconds)
        return time.monotonic() - self._saved_at > pause

    def save(self) -> None:
        """Saves the state of the run.

        Raises:
            UserError: If the run directory was deleted or changed.
            OSError: If the checkpoint cannot be written. The existing ones are kept.
        """
        trainer = self._trainer
        if is_chief(trainer.strategy):
            start = time.monotonic()
            self._run.check_unchanged()
            progress = vars(trainer.progress)
            digest = trainer.recipe.digest
            save(self._run.checkpoints, trainer.step, trainer.variables, progress, digest)
            self._save_seconds = time.monotonic() - start
        self._saved_at, self._saved_step = time.monotonic(), trainer.step


def save(
    folder: Path, step: int, variables: Sequence, progress: dict[str, Any], digest: str
) -> Path:
    """Writes a checkpoint atomically, and removes all but the two newest up to its step.

    Args:
        folder: Folder of the checkpoints.
        step: Step of the run; it names the file.
        variables: TensorFlow's variables, always in the same order.
        progress: Anything that JSON can hold.
        digest: Digest of the run's recipe.

    Returns:
        The file.

    Raises:
        OSError: If it cannot be written. The existing checkpoints are kept.
    """
    path = folder / f"step_{step:09d}.npz"
    arrays = {str(i): copies(variable)[0].numpy() for i, variable in enumerate(variables)}
    texts = {"recipe": np.array(digest), "progress": np.array(json.dumps(progress))}
    with files.atomic_write(path) as aside:
        np.savez(aside, **texts, **arrays)
    # Later ones were passed over because something is wrong with them; the run replaces them.
    for old in [other for other in _all(folder) if _step(other) <= step][:-KEPT]:
        old.unlink()
    return path


def newest(folder: Path, trainer: Trainer) -> tuple[Path, bytes] | None:
    """Returns the newest checkpoint that `read` takes, and its content, or None if there are none.

    Args:
        folder: Folder of the checkpoints; it need not exist.
        trainer: The run's trainer.

    Raises:
        UserError: If there are checkpoints, and none can be read.
    """
    most = PROGRESS_BYTES + sum(ARRAY_BYTES + _bytes_of(v) for v in trainer.variables)
    faults = []
    for path in reversed(_all(folder)):
        if faults:
            logger.warning("%s; trying the one before it.", faults[-1])
        try:
            content = files.read_bytes(path, most)
            read(content, trainer)
            return path, content
        except UserError as error:
            faults.append(f"{path} cannot be read ({error})")
    if faults:
        raise UserError(
            f"{faults[0]}, and no other of the {len(faults)} checkpoints can. Restore one, or "
            f"remove {folder} to train from the start."
        )
    return None


def read(content: bytes, trainer: Trainer) -> tuple[list[np.ndarray], Progress]:
    """Returns the values of a trainer's variables, and its progress, from a whole checkpoint.

    Raises:
        UserError: If anything is wrong with it; the message says what only.
    """
    arrays = files.read_arrays(content)
    variables = {str(i): variable for i, variable in enumerate(trainer.variables)}
    if arrays.keys() != variables.keys() | {"recipe", "progress"}:
        differing = sorted(arrays.keys() ^ (variables.keys() | {"recipe", "progress"}))
        raise UserError(f"it lacks arrays or has others: {', '.join(differing[:5])}")
    if str(arrays["recipe"]) != trainer.recipe.digest:
        raise UserError("it belongs to another recipe")
    for name, variable in variables.items():
        _check_value(name, arrays[name], variable)
    try:
        progress = json.loads(str(arrays["progress"]))
    except (ValueError, RecursionError) as error:
        raise UserError("its progress is not JSON") from error
    values = [arrays[name] for name in variables]
    return values, Progress.from_json(progress, trainer.plan)


def _check_value(name: str, value: np.ndarray, variable: tf.Variable) -> None:
    copy = copies(variable)[0]
    shape, dtype = tuple(copy.shape), copy.dtype.as_numpy_dtype
    if (value.shape, value.dtype) != (shape, dtype):
        raise UserError(
            f"array {name} is {value.dtype} of {value.shape}, not {np.dtype(dtype)} of {shape}"
        )
    if not np.isfinite(value).all():
        raise UserError(f"array {name} is not finite")


def _bytes_of(variable: tf.Variable) -> int:
    copy = copies(variable)[0]
    return copy.dtype.size * int(np.prod(copy.shape))


def _all(folder: Path) -> list[Path]:
    return sorted(filter(_is_checkpoint, folder.glob("step_*.npz")), key=_step)


def _is_checkpoint(path: Path) -> bool:
    return re.fullmatch(r"step_\d+\.npz", path.name, re.ASCII) is not None


def _step(path: Path) -> int:
    return int(path.stem.removeprefix("step_"))
