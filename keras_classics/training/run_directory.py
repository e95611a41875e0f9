"""The run directory: what a run reads and writes beside its checkpoints."""

import fcntl
import functools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
        path: The folder; it is made when the run is claimed.
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
        """Holds the folder for a run of `recipe`; the claim ends with the process at the latest.

        Raises:
            UserError: Another process holds it, it belongs to another recipe, or it cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = open(self.path / ".lock", "w")  # noqa: SIM115 (closed below, with the claim)
        except OSError as error:
            raise UserError(f"{self.path} cannot be a run directory: {error.strerror}.") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UserError(
                    f"{self.path} is in use by another process. Wait for it, or take another "
                    "run directory."
                ) from error
            self._check_recipe(recipe)
            yield

    def _check_recipe(self, recipe: Recipe) -> None:
        if not self.begun:
            return
        there, asked = json.loads(self._recipe.read_text()), recipe.to_json()
        names = sorted(n for n in there.keys() | asked.keys() if there.get(n) != asked.get(n))
        if names:
            differences = "; ".join(f"{n}: {there.get(n)} there, {asked.get(n)} now" for n in names)
            raise UserError(
                f"{self.path} holds a run of another recipe ({differences}). Take another run "
                "directory, or give the same flags."
            )

    @property
    def begun(self) -> bool:
        """Whether the folder belongs to a recipe: what else lies in it is of no run if not."""
        return self._recipe.exists()

    def begin(self, recipe: Recipe, command: str | None = None) -> dict[str, Any]:
        """Writes the recipe, to which the folder belongs from now on, and the environment.

        Args:
            recipe: The recipe.
            command: Command that repeats the run; by default the process's own.

        Returns:
            What the run runs on: versions, commit, device, command.
        """
        files.write_json(self._recipe, recipe.to_json())
        content = current_environment()
        if command is not None:
            content["command"] = command
        files.write_json(self.path / "environment.json", content)
        return content

    def write_history(self, rows: list[dict[str, Any]]) -> None:
        """Writes `history.csv`, one row an epoch; what was held out of training comes last."""
        held_out = VALIDATION_COLUMNS if rows and VALIDATION_COLUMNS[0] in rows[0] else ()
        files.write_csv(self.path / "history.csv", HISTORY_COLUMNS + held_out, rows)

    def write_events(self, row: dict[str, Any]) -> None:
        """Adds an epoch to the TensorBoard events."""
        with self._events.as_default():
            for name in row.keys() - {"epoch", "step"}:
                tf.summary.scalar(name, row[name], step=row["epoch"])
        self._events.flush()

    @functools.cached_property
    def _events(self) -> tf.summary.SummaryWriter:
        return tf.summary.create_file_writer(str(self.path / "events"))
