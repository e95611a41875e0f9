"""The run directory: the files of a run, and the lock that keeps other processes out."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import tensorflow as tf

from keras_classics import files
from keras_classics.environment import current_environment
from keras_classics.errors import UserError
from keras_classics.training.recipe import LATER, Recipe, recipe_digest
from keras_classics.training.strategy import strategy_metadata

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

# Folders of a fine-tuning: each stage is a run, which starts from the weights of the one before.
STAGES = ("head", "whole")


class RunDirectory:
    """A folder that belongs to one recipe.

    Args:
        path: The folder; it is made when a run claims it.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.plots = self.path / "plots"
        self.events = self.path / "events"
        self.weights = self.path / "final.weights.h5"
        self.model = self.path / "model.keras"
        self._recipe = self.path / "recipe.json"
        self.mean = self.path / "mean.npy"
        self.bad_images = self.path / "bad_images.json"
        self.result = self.path / "result.json"
        self.card = self.path / "README.md"
        self._digest: str | None = None

    @contextmanager
    def claimed(self, recipe: Recipe) -> Iterator[None]:
        """Locks the folder for a run of `recipe`; the lock ends with the process at the latest.

        Raises:
            UserError: If another process has locked it, it belongs to another recipe, it holds a
                run without its recipe, or it cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = files.process_lock(self.path / ".lock", timeout=0)
            lock.acquire()
        except filelock.Timeout as error:
            raise UserError(
                f"{self.path} is in use by another process, which holds {self.path / '.lock'}. "
                "Wait until it ends, or choose another run directory."
            ) from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"{self.path} cannot be a run directory: {reason}.") from error
        try:
            self._check_recipe(recipe)
            yield
        finally:
            lock.release()

    def _check_recipe(self, recipe: Recipe) -> None:
        if not self.begun:
            self._refuse_run_without_recipe()
            return
        stored, given = {**LATER, **self.read_recipe()}, recipe.to_json()
        names = sorted(n for n in stored.keys() | given.keys() if stored.get(n) != given.get(n))
        if names:
            differences = "; ".join(
                f"{name}: {_shown(stored.get(name))} there, {_shown(given.get(name))} now"
                for name in names
            )
            raise UserError(
                f"{self.path} holds a run of another recipe ({differences}). Choose another run "
                "directory, or give the same flags."
            )

    def _refuse_run_without_recipe(self) -> None:
        of_a_run = (self.result, self.model, self.weights, *self.checkpoints.glob("step_*.npz"))
        for path in of_a_run:
            if path.exists():
                raise UserError(
                    f"{self._recipe} is missing, and it alone says which run {path} belongs to. "
                    "Restore it, or choose another run directory."
                )

    def check_unchanged(self) -> None:
        """Checks, before the run writes a file, that the folder still belongs to it.

        Raises:
            UserError: If the folder was deleted, or another run has taken it.
        """
        try:
            digest = recipe_digest(self.read_recipe())
        except UserError as error:
            raise UserError(
                f"{self.path} was deleted or changed during the run, which ends here. {error} "
                "Repeat the command to train again."
            ) from error
        if digest != self._digest:
            raise UserError(
                f"{self._recipe} was replaced during the run, which ends here. Choose another run "
                "directory."
            )

    @property
    def begun(self) -> bool:
        """Whether the folder belongs to a recipe; if not, its other files belong to no run."""
        return self._recipe.exists()

    def read_recipe(self) -> Mapping[str, Any]:
        """Reads the recipe of the run, as `Recipe.to_json` returned it.

        Raises:
            UserError: If it cannot be read, or is no recipe.
        """
        content = files.read_json(self._recipe)
        if not isinstance(content, Mapping):
            raise UserError(f"{self._recipe} does not hold a recipe.")
        return content

    def begin(
        self, recipe: Recipe, strategy: tf.distribute.Strategy, command: str | None = None
    ) -> dict[str, Any]:
        """Writes the recipe, to which the folder belongs from now on, and the environment.

        Args:
            recipe: The recipe.
            strategy: Devices.
            command: Command that repeats the run; by default the process's own.

        Returns:
            The environment: versions, commit, device, strategy, threads, command.
        """
        files.write_json(self._recipe, recipe.to_json())
        self._digest = recipe.digest
        content = current_environment() | strategy_metadata(strategy)
        if command is not None:
            content["command"] = command
        files.write_json(self.path / "environment.json", content)
        return content

    def write_history(self, rows: list[dict[str, Any]]) -> None:
        """Writes `history.csv`, one row per epoch; the columns of a validation split come last."""
        validation = VALIDATION_COLUMNS if rows and VALIDATION_COLUMNS[0] in rows[0] else ()
        files.write_csv(self.path / "history.csv", HISTORY_COLUMNS + validation, rows)


def run_folder(path: str | os.PathLike) -> Path:
    """Returns the folder of a run: `path`, or the last stage if `path` holds a fine-tuning."""
    path = Path(path)
    fine_tuning = any(RunDirectory(path / stage).begun for stage in STAGES)
    return path / STAGES[-1] if fine_tuning and not RunDirectory(path).begun else path


def is_run(path: str | os.PathLike) -> bool:
    """Returns whether a folder holds a run or a fine-tuning, finished or not."""
    folder = run_folder(path)
    return folder != Path(path) or RunDirectory(folder).begun


def _shown(value: Any) -> str:
    """A value of a recipe in a message: on one line, and not longer than can be read."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
