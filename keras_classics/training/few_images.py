"""Recipes of large data sets for fewer images."""

import dataclasses
from collections.abc import Collection

from keras_classics.training.finetune import fitting_batch
from keras_classics.training.recipe import Recipe

# One of so many training images is held out, if there are fewer than the recipe holds out.
HELD_OUT = 10
# A moving average of the weights remembers 1 / (1 - average) steps, and begins with the initial
# weights. A run must have so many times as many steps, or the average is still close to these.
TIMES = 5


def for_few_images(
    recipe: Recipe, images: int, replicas: int = 1, given: Collection[str] = ()
) -> Recipe:
    """Returns a recipe that can train on so many images; the same one if it can already.

    It holds out fewer images, has a smaller batch, and keeps no moving average of the weights if
    the run is too short for it.

    Args:
        recipe: The recipe.
        images: Number of training images of its data set.
        replicas: Number of devices, each of which takes an equal share of a batch.
        given: Fields that stay as they are.
    """
    fitting = recipe
    used = min(images, recipe.limit_train or images)
    if "validation" not in given and recipe.validation >= used:
        fitting = dataclasses.replace(fitting, validation=used // HELD_OUT)
    if "batch_size" not in given:
        fitting = fitting_batch(fitting, images, replicas)
    if "average" not in given and recipe.average is not None:
        per_epoch = (used - fitting.validation) // fitting.batch_size
        steps = fitting.steps or (fitting.epochs or 0) * per_epoch
        if steps * (1 - recipe.average) < TIMES:
            fitting = dataclasses.replace(fitting, average=None)
    return fitting
