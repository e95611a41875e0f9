"""Checkpoints: all that a run needs to go on to the same bits, in one file.

`tf.train.Checkpoint` leaves out the seed state of a Keras 3 model's dropout layers, so a checkpoint
here is every one of the model's and the optimiser's variables by its position, and the progress.
"""

import io
import json
import logging
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_classics import files
from keras_classics.training.optimizer import copies

KEPT = 2

logger = logging.getLogger(__name__)


def save(folder: Path, step: int, variables: Sequence, progress: dict[str, Any]) -> Path:
    """Writes a checkpoint, whole or not at all, and removes all but the two newest.

    Args:
        folder: Where checkpoints lie.
        step: Step of the run; it names the file.
        variables: TensorFlow's variables, always in the same order.
        progress: Anything that JSON can hold.

    Returns:
        The file.

    Raises:
        OSError: It cannot be written. The checkpoints that are there stay.
    """
    path = folder / f"step_{step:09d}.npz"
    arrays = {str(i): copies(variable)[0].numpy() for i, variable in enumerate(variables)}
    with files.atomic_write(path) as aside:
        np.savez(aside, progress=np.array(json.dumps(progress)), **arrays)
    for old in _all(folder)[:-KEPT]:
        old.unlink()
    return path


def newest(folder: Path) -> bytes | None:
    """Returns the content of the newest checkpoint that can be read whole, or None.

    Args:
        folder: Where checkpoints lie; it need not be there.
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
    """Puts a checkpoint's content into the variables, into each replica's copy.

    Args:
        content: As `newest` gives it.
        variables: As they were given to `save`.

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
