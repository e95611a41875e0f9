"""The run of a training program, from its flags to its result and closing table."""

import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_classics import export
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
from reproduce.harness import flags
from reproduce.harness.closing_table import closing_table
from reproduce.harness.smoke import smoke_recipe

logger = logging.getLogger("keras_classics.reproduce")


def run_recipe(
    program: str,
    recipes: Mapping[str, Recipe],
    smoke: Callable[[Recipe], Recipe] = smoke_recipe,
    change: Callable[[Recipe], Recipe] = lambda recipe: recipe,
) -> RunDirectory:
    """Trains with the recipe that the flags describe, and prints the closing table.

    Args:
        program: Name of the program, for the default run directory.
        recipes: The program's recipes by name; the first is the default.
        smoke: Makes the short recipe for --smoke.
        change: Changes the recipe as flags of the program's own say.

    Returns:
        The folder of the finished run.

    Raises:
        UserError: A flag is wrong; and the errors of `train` and `export_model`.
    """
    recipe = flags.requested_recipe(recipes, smoke, change)
    if flags.EXPORT.value:
        require("ai_edge_litert", "export")
    run_directory = RunDirectory(flags.RUN_DIR.value or _default_run_dir(program, recipe))
    strategy = make_strategy(flags.STRATEGY.value, flags.NUM_REPLICAS.value)
    finished = is_chief(strategy) and run_directory.result.exists()
    result = train_with_flags(recipe, run_directory, strategy)
    # With several workers, only the chief exports and prints.
    if not is_chief(strategy):
        return run_directory
    if finished:
        print(f"{run_directory.path} holds this run, finished.")
    exports = run_directory.path / "export"
    if flags.EXPORT.value and not exports.exists():
        _export(recipe, run_directory)
    changed = flags.changed_fields(recipe, recipes, change)
    print(closing_table(result, run_directory, exports if exports.exists() else None, changed))
    # A smoke run is too short on purpose.
    for line in [] if flags.SMOKE.value else warnings_about(result):
        logger.warning(line)
    return run_directory


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


def _default_run_dir(program: str, recipe: Recipe) -> Path:
    words = [program, recipe.dataset, recipe.name, f"seed{recipe.seed}"]
    if flags.stored_recipe():
        # Not the folder of the run that the recipe comes from.
        words.append("again")
    if flags.SMOKE.value:
        words.append("smoke")
    return default_run_dir(*words)


def _export(recipe: Recipe, run_directory: RunDirectory) -> None:
    data = load_data(recipe, flags.DATA_DIR.value)
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
