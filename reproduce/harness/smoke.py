"""--smoke, and the short recipes that it runs instead of the real ones."""

import dataclasses
from pathlib import Path
from typing import Any

from absl import flags

from keras_classics.cli._training_flags import RUN_DIR
from keras_classics.training import Recipe
from keras_classics.training.schedules import Schedule, Warmup
from reproduce.harness import synthetic_images

SMOKE = flags.DEFINE_bool("smoke", False, "Short run of seconds that tests all parts.")

FLAG_GROUPS = {"Short run": (SMOKE,)}

# Classes of the generated images that stand in for ImageNet.
SMOKE_CLASSES = 8


def smoke_recipe(recipe: Recipe, train: int = 512, test: int = 256, **changes: Any) -> Recipe:
    """Returns a recipe of two short epochs, on digits, which need no network connection.

    Args:
        recipe: The recipe.
        train: Use at most this many training images; an eighth of them is for validation.
        test: Use at most this many test images.
        **changes: Other fields of the recipe.
    """
    short = {
        "dataset": "digits",
        "epochs": 2,
        "steps": None,
        "limit_train": train,
        "limit_test": test,
        "validation": min(recipe.validation, train // 8),
        # Batches of a smoke run may be smaller than a group.
        "batch_norm_group": None,
    }
    return dataclasses.replace(recipe, **{**short, **changes})


def smoke_recipe_on_images(recipe: Recipe, train: int, test: int, batch_size: int) -> Recipe:
    """Returns the recipe of `smoke_recipe` on generated JPEG files, for recipes of ImageNet.

    The images have ImageNet's sizes and eight classes; they are kept beside the run directory.
    Learning rates shrink with the batch size (Goyal et al. 2017, section 2.1), because some losses
    would not stay finite otherwise.
    """
    folder = Path(RUN_DIR.value).parent if RUN_DIR.value else Path("runs")
    folder = folder / f"generated_images_{train}_{test}"
    synthetic_images.generate(folder, SMOKE_CLASSES, train // SMOKE_CLASSES, test // SMOKE_CLASSES)

    def slower(schedule: Schedule) -> Schedule:
        return Warmup(schedule, epochs=2, first=batch_size / recipe.batch_size, jump=True)

    return smoke_recipe(
        recipe,
        train,
        test,
        dataset=f"folder:{folder}",
        batch_size=batch_size,
        schedule=slower(recipe.schedule),
        schedules={pattern: slower(schedule) for pattern, schedule in recipe.schedules.items()},
    )
