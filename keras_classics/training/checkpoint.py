"""Checkpoints: all that a run needs to resume with bit-identical results, in one file.

`tf.train.Checkpoint` leaves out the seed state of a Keras 3 model's dropout layers, so a checkpoint
here holds every variable of the model and the optimizer by its position, and the progress.
"""

import io
import json
import logging
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_classics import files
from keras_classics.training.optimizer import copies
from keras_classics.training.run_directory import RunDirectory
from keras_classics.training.strategy import from_chief, is_chief
from keras_classics.training.trainer import Progress, Trainer

KEPT = 2
# Checkpoints take at most one part in so many of the time.
MIN_PAUSE_PER_SAVE = 50

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
        """Loads the chief's newest checkpoint, if there is one, into the network of each worker."""
        trainer, run = self._trainer, self._run
        chief = is_chief(trainer.strategy)
        content = newest(run.checkpoints) if chief else None
        content = from_chief(trainer.strategy, content or b"")
        if not content:
            return
        trainer.progress = Progress(**restore(content, trainer.variables))
        self._saved_step = trainer.step
        if chief:
            run.write_history(trainer.progress.history)

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        if self._steps is not None and self._trainer.step - self._saved_step >= self._steps:
            return True
        pause = max(60 * self._minutes, MIN_PAUSE_PER_SAVE * self._save_seconds)
        return time.monotonic() - self._saved_at > pause

    def save(self) -> None:
        """Saves the state of the run."""
        trainer = self._trainer
        if is_chief(trainer.strategy):
            start = time.monotonic()
            save(self._run.checkpoints, trainer.step, trainer.variables, vars(trainer.progress))
            self._save_seconds = time.monotonic() - start
        self._saved_at, self._saved_step = time.monotonic(), trainer.step


def save(folder: Path, step: int, variables: Sequence, progress: dict[str, Any]) -> Path:
    """Writes a checkpoint atomically, and removes all but the two newest.

    Args:
        folder: Folder of the checkpoints.
        step: Step of the run; it names the file.
        variables: TensorFlow's variables, always in the same order.
        progress: Anything that JSON can hold.

    Returns:
        The file.

    Raises:
        OSError: If it cannot be written. The existing checkpoints are kept.
    """
    path = folder / f"step_{step:09d}.npz"
    arrays = {str(i): copies(variable)[0].numpy() for i, variable in enumerate(variables)}
    with files.atomic_write(path) as aside:
        np.savez(aside, progress=np.array(json.dumps(progress)), **arrays)
    for old in _all(folder)[:-KEPT]:
        old.unlink()
    return path


def newest(folder: Path) -> bytes | None:
    """Returns the content of the newest complete checkpoint, or None.

    Args:
        folder: Folder of the checkpoints; it need not exist.
    """
    for path in reversed(_all(folder)):
        try:
            content = path.read_bytes()
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                if archive.testzip() is None:
                    return content
            error = "its checksums are wrong"
        except (OSError, zipfile.BadZipFile) as caught:
            error = caught
        logger.warning("%s cannot be read (%s); trying the one before it.", path, error)
    return None


def restore(content: bytes, variables: Sequence) -> dict[str, Any]:
    """Assigns a checkpoint's values to the variables, to the copy of each replica.

    Args:
        content: The checkpoint, as `newest` returns it.
        variables: The variables, as they were given to `save`.

    Returns:
        The progress that was saved with it.
    """
    with np.load(io.BytesIO(content)) as arrays:
        for i, variable in enumerate(variables):
            value = arrays[str(i)]
            for copy in copies(variable):
                copy.assign(value)
        return json.loads(str(arrays["progress"]))


def _all(folder: Path) -> list[Path]:
    return sorted(folder.glob("step_*.npz"))
