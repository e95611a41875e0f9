"""The run of a training program, from its recipe to its result and closing table."""

import logging
from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import tensorflow as tf

from keras_classics import export
from keras_classics.cli import _training_flags as flags
from keras_classics.cli._closing_table import closing_table
from keras_classics.cli._program import default_run_dir
from keras_classics.cli._progress import ProgressLine
from keras_classics.data import ImageData, pipeline
from keras_classics.errors import require
from keras_classics.training import (
    Recipe,
    RunOptions,
    load_data,
    load_run,
    make_strategy,
    train,
    warnings_about,
)
from keras_classics.training.run_directory import RunDirectory
from keras_classics.training.strategy import is_chief

logger = logging.getLogger(__name__)


def run_folder_of(*words: str) -> RunDirectory:
    """Returns the folder of a run: that of --run_dir, or one in `runs` that words describe."""
    return RunDirectory(flags.RUN_DIR.value or default_run_dir(*words))


def start_run() -> tf.distribute.Strategy:
    """Returns the devices that the flags name, after a look at what the end of the run needs."""
    if flags.EXPORT.value:
        require("ai_edge_litert", "export")
    return make_strategy(flags.STRATEGY.value, flags.NUM_REPLICAS.value)


def run_recipe(
    recipe: Recipe,
    run_directory: RunDirectory,
    strategy: tf.distribute.Strategy,
    changed: Iterable[str],
    data: ImageData | None = None,
    warn: bool = True,
) -> None:
    """Trains with a recipe, exports the network if asked to, and prints the closing table.

    Args:
        recipe: The recipe.
        run_directory: The folder of the run.
        strategy: What `start_run` returned.
        changed: Fields in which the recipe differs from the published one.
        data: The recipe's data set, if it is loaded already.
        warn: Whether to warn about what is probably wrong with the run.

    Raises:
        UserError: A flag is wrong; and the errors of `train` and `export_model`.
    """
    finished = is_chief(strategy) and run_directory.result.exists()
    result = train_with_flags(recipe, run_directory, strategy, data)
    # With several workers, only the chief exports and prints.
    if not is_chief(strategy):
        return
    if finished:
        print(f"{run_directory.path} holds this run, finished.")
    exports = run_directory.path / "export"
    if flags.EXPORT.value and not exports.exists():
        _export(recipe, run_directory, data)
    folder = exports if exports.exists() else None
    print(closing_table(result, run_directory, folder, list(changed)))
    for line in warnings_about(result) if warn else []:
        logger.warning(line)


def train_with_flags(
    recipe: Recipe,
    run_directory: RunDirectory,
    strategy: tf.distribute.Strategy,
    data: ImageData | None = None,
    command: str | None = None,
) -> dict[str, Any]:
    """Calls `training.train` with the flags for data and checkpoints, and shows its progress."""
    with ProgressLine() if is_chief(strategy) else nullcontext() as line:
        progress = {"on_progress": line.show} if line else {}
        return train(
            recipe,
            run_directory.path,
            strategy,
            data=data,
            data_dir=flags.DATA_DIR.value,
            max_bad_images=flags.MAX_BAD_IMAGES.value,
            options=RunOptions(
                flags.CHECKPOINT_MINUTES.value,
                flags.CHECKPOINT_STEPS.value,
                flags.MAX_MINUTES.value,
            ),
            command=command,
            **progress,
        )


def _export(recipe: Recipe, run_directory: RunDirectory, data: ImageData | None) -> None:
    data = data or load_data(recipe, flags.DATA_DIR.value)
    run = load_run(run_directory.path)
    compared = data.test.limited(export.COMPARED_IMAGES)
    images, labels = pipeline.resized(compared, run.preprocessing.resize)
    export.export_model(
        run.model,
        run_directory.path / "export",
        preprocessing=run.preprocessing,
        labels=data.class_names,
        images=images,
        image_labels=labels,
        origin={
            "network": recipe.model,
            "weights": f"recipe {recipe.name}",
            "arguments": dict(recipe.model_arguments),
            "dataset": data.name,
        },
    )
