"""Cases of this package's own trainings: before they begin, while they go on, after they end."""

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_classics import files
from keras_classics.data import ImageData
from keras_classics.diagnosis.case import Case, make_case
from keras_classics.errors import UserError
from keras_classics.training import Recipe, load_data, read_recipe
from keras_classics.training import checkpoint as checkpoints
from keras_classics.training.recipe import MOST
from keras_classics.training.result import load_run
from keras_classics.training.run_directory import RunDirectory, run_folder
from keras_classics.training.trainer import Trainer, initial_network
from keras_classics.training.training_data import read_mean, select_data

# Checkpoints that a run may replace while one is read, before it counts as an error.
ATTEMPTS = 3


def case_of_recipe(recipe: Recipe, data: ImageData) -> Case:
    """Returns the case of a training before it begins.

    Args:
        recipe: The recipe.
        data: Its data set, as `training.load_data` loads it.
    """
    data = data.limited(recipe.limit_train, recipe.limit_test)
    if recipe.validation:
        data = data.holding_out(recipe.validation)
    return _case(recipe, data, initial_network(recipe, data))


def case_of_run(path: str | os.PathLike, data_dir: str | None = None) -> Case:
    """Returns the case of a run that has ended, was interrupted or goes on.

    The folder is only read, without its lock: the newest weights and what is logged so far.

    Args:
        path: The run directory, or the folder of a fine-tuning, whose last stage it is.
        data_dir: Folder of TensorFlow Datasets.

    Raises:
        UserError: If it holds no run, or the run or its data cannot be read.
    """
    run = RunDirectory(run_folder(path))
    if not run.begun:
        first = RunDirectory(Path(path) / "head")
        if not first.begun:
            raise UserError(
                f"{path} holds no run: there is no {run.path / 'recipe.json'}. Name the folder of "
                "a run of train or finetune."
            )
        run = first
    recipe = read_recipe(run.path / "recipe.json")
    data = load_data(recipe, data_dir)
    strategy = tf.distribute.get_strategy()
    # Those that the run left out are listed in its folder.
    most = MOST if run.bad_images.exists() else 0
    data, _ = select_data(data, recipe, run, strategy, most)
    if run.result.exists():
        finished = load_run(run.path)
        return _case(recipe, data, finished.model, finished.preprocessing, _history(run))
    mean = None if recipe.mean is None else read_mean(files.read_bytes(run.mean), run)
    preprocess = recipe.make_preprocessing(mean)
    trainer = Trainer(recipe, data, preprocess, strategy)
    rows = _restore(trainer, run)
    return _case(recipe, data, trainer.model, preprocess, rows)


def _case(
    recipe: Recipe,
    data: ImageData,
    model: Any,
    preprocessing: Any = None,
    history: list[Mapping[str, Any]] | None = None,
) -> Case:
    weights = recipe.model_arguments.get("weights")
    name = f"{recipe.model}/{weights}" if weights and not Path(str(weights)).exists() else None
    return make_case(
        model,
        data,
        preprocessing=preprocessing,
        weights=name,
        recipe=recipe,
        history=history or None,
        seed=recipe.seed,
    )


def _history(run: RunDirectory) -> list[Mapping[str, Any]]:
    path = run.path / "history.csv"
    if not path.exists():
        return []
    return list(csv.DictReader(io.StringIO(files.read_bytes(path).decode(), newline="")))


def _restore(trainer: Trainer, run: RunDirectory) -> list[Mapping[str, Any]]:
    """Puts the newest checkpoint into the network, and returns the rows of its epochs."""
    for attempt in range(ATTEMPTS):
        try:
            found = checkpoints.newest(run.checkpoints, trainer)
            break
        except UserError:
            # The run may have replaced them all since they were listed.
            if attempt == ATTEMPTS - 1:
                raise
    if found is None:
        return []
    values, progress = checkpoints.read(found[1], trainer)
    for variable, value in zip(trainer.variables, values, strict=True):
        variable.assign(value)
    return list(progress.history)
