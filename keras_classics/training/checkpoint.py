"""Checkpoints: all that a run needs to go on to the same bits, in one file.

`tf.train.Checkpoint` leaves out the seed state of a Keras 3 model's dropout layers, so a checkpoint
here is every one of the model's and the optimiser's variables by its position, and the progress.
"""

import json
import logging
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_classics import files

KEPT = 2


def save(folder: Path, step: int, variables: Sequence, progress: dict[str, Any]) -> Path:
    """Writes a checkpoint, whole or not at all, and removes all but the two newest.

    Args:
        folder: Where checkpoints lie.
        step: Step of the run; it names the file.
        variables: TensorFlow or Keras variables, always in the same order.
        progress: Anything that JSON can hold.

    Returns:
        The file.
    """
    path = folder / f"step_{step:09d}.npz"
    arrays = {str(i): np.asarray(variable) for i, variable in enumerate(variables)}
    with files.written_aside(path) as aside:
        np.savez(aside, progress=np.array(json.dumps(progress)), **arrays)
    for old in _all(folder)[:-KEPT]:
        old.unlink()
    return path


def restore(folder: Path, variables: Sequence) -> dict[str, Any] | None:
    """Loads the newest checkpoint that can be read into the variables.

    Args:
        folder: Where checkpoints lie; it need not be there.
        variables: As they were given to `save`.

    Returns:
        The progress that was saved with it, or None where there is no checkpoint.
    """
    for path in reversed(_all(folder)):
        try:
            with np.load(path) as content:
                arrays = [content[str(i)] for i in range(len(variables))]
                progress = json.loads(str(content["progress"]))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            logging.warning("%s cannot be read (%s); trying the one before it.", path, error)
            continue
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
        return progress
    return None


def _all(folder: Path) -> list[Path]:
    return sorted(folder.glob("step_*.npz"))
