"""The run directory: the files of a run, and the lock that keeps other processes out."""

import functools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import tensorflow as tf

from keras_classics import files
from keras_classics.environment import current_environment
from keras_classics.errors import UserError
from keras_classics.training.recipe import Recipe

HISTORY_COLUMNS = (
    "epoch",
    "step",
    "learning_rate",
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "images_per_second",
    "seconds",
)

VALIDATION_COLUMNS = ("validation_loss", "validation_accuracy")


class RunDirectory:
    """A folder that belongs to one recipe.

    Args:
        path: The folder; it is made when a run claims it.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.plots = self.path / "plots"
        self.weights = self.path / "final.weights.h5"
        self.model = self.path / "model.keras"
        self._recipe = self.path / "recipe.json"
        self.mean = self.path / "mean.npy"
        self.bad_images = self.path / "bad_images.json"
        self.result = self.path / "result.json"

    @contextmanager
    def claimed(self, recipe: Recipe) -> Iterator[None]:
        """Locks the folder for a run of `recipe`; the lock ends with the process at the latest.

        Raises:
            UserError: If another process has locked it, it belongs to another recipe, or it cannot
                be made.
        """
        lock = files.process_lock(self.path / ".lock", timeout=0)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except filelock.Timeout as error:
            raise UserError(
                f"{self.path} is in use by another process, which holds {self.path / '.lock'}. "
                "Wait until it ends, or choose another run directory."
            ) from error
        except OSError as error:
            raise UserError(f"{self.path} cannot be a run directory: {error.strerror}.") from error
        try:
            self._check_recipe(recipe)
            yield
        finally:
            lock.release()

    def _check_recipe(self, recipe: Recipe) -> None:
        if not self.begun:
            return
        stored, given = self.read_recipe(), recipe.to_json()
        names = sorted(n for n in stored.keys() | given.keys() if stored.get(n) != given.get(n))
        if names:
            differences = "; ".join(
                f"{name}: {stored.get(name)} there, {given.get(name)} now" for name in names
            )
            raise UserError(
                f"{self.path} holds a run of another recipe ({differences}). Choose another run "
                "directory, or give the same flags."
            )

    @property
    def begun(self) -> bool:
        """Whether the folder belongs to a recipe; if not, its other files belong to no run."""
        return self._recipe.exists()

    def read_recipe(self) -> dict[str, Any]:
        """Reads the recipe of the run, as `Recipe.to_json` returned it."""
        return json.loads(self._recipe.read_text())

    def begin(self, recipe: Recipe, command: str | None = None) -> dict[str, Any]:
        """Writes the recipe, to which the folder belongs from now on, and the environment.

        Args:
            recipe: The recipe.
            command: Command that repeats the run; by default the process's own.

        Returns:
            The environment: versions, commit, device, command.
        """
        files.write_json(self._recipe, recipe.to_json())
        content = current_environment()
        if command is not None:
            content["command"] = command
        files.write_json(self.path / "environment.json", content)
        return content

    def write_history(self, rows: list[dict[str, Any]]) -> None:
        """Writes `history.csv`, one row per epoch; the columns of a validation split come last."""
        validation = VALIDATION_COLUMNS if rows and VALIDATION_COLUMNS[0] in rows[0] else ()
        files.write_csv(self.path / "history.csv", HISTORY_COLUMNS + validation, rows)

    def write_events(self, row: dict[str, Any]) -> None:
        """Adds an epoch to the TensorBoard events."""
        with self._events.as_default():
            for name in row.keys() - {"epoch", "step"}:
                tf.summary.scalar(name, row[name], step=row["epoch"])
        self._events.flush()

    @functools.cached_property
    def _events(self) -> tf.summary.SummaryWriter:
        return tf.summary.create_file_writer(str(self.path / "events"))
