"""Trains a network by a recipe: a paper's own, another, or that of an earlier run.

keras-classics train --model=resnet20 --dataset=folder:my_images --epochs=30
keras-classics train --recipe=lenet5/modern --dataset=fashion_mnist
keras-classics train --recipe=resnet_cifar10/paper --model=resnet56 --set=optimizer.momentum=0.95
keras-classics train --recipe=runs/my_run/recipe.json --seed=1

my_images holds a folder of images a class, in train and validation or not, or is a zip or tar of
that; lists, Parquet and .npz files are read too: docs/data.md shows all forms.

`keras-classics recipes` lists the recipes, FAMILY/NAME. Without --recipe, a network is trained by
the recipe `modern` of its family; if there is none, by the family's first recipe for this network,
or its first of all. Without --model, a recipe trains its own network. Another network gets images
of the size that it takes. --set changes any field, as in --set=model_arguments.dropout=0.3.

A recipe for more images than there are gets a smaller batch, holds out fewer, and keeps no moving
average of the weights if the run is too short for it; lines say so. Repeat the command to resume.
"""

import tensorflow as tf

from keras_classics.cli import _training as training
from keras_classics.cli import _training_flags as training_flags
from keras_classics.cli._described import print_input
from keras_classics.cli._published_recipe import MODEL, published_recipe
from keras_classics.training import Recipe, load_data
from keras_classics.training.few_images import for_few_images
from keras_classics.training.recipes.by_name import RECIPES, default_recipe
from keras_classics.training.strategy import is_chief

# Fields that change for few images, in words.
FITTED = {
    "validation": "--validation={:,}",
    "batch_size": "--batch_size={:,}",
    "average": "--set=average={} (a moving average of the weights)",
}


def main() -> None:
    """Trains with the recipe that the flags describe."""
    published = published_recipe()
    recipe = training_flags.with_flags(published)
    named = training_flags.RECIPE.value or default_recipe(MODEL.value)
    words = ["train", recipe.model, recipe.dataset, named, f"seed{recipe.seed}"]
    stored = training_flags.stored_recipe(RECIPES)
    if stored:
        # Not the folder of the run that the recipe comes from.
        words[-2:] = [recipe.name, f"seed{recipe.seed}", "again"]
        published = training_flags.published_of(recipe, RECIPES.values())
    run_directory = training.run_folder_of(*words)
    strategy = training.start_run()
    data = load_data(recipe, training_flags.DATA_DIR.value)
    if not stored:
        recipe = _fitting(recipe, len(data.train), strategy)
    if is_chief(strategy):
        print_input(data.limited(recipe.limit_train, recipe.limit_test), recipe)
    changed = training_flags.changed_fields(recipe, published)
    training.run_recipe(recipe, run_directory, strategy, changed, data)


def _fitting(recipe: Recipe, images: int, strategy: tf.distribute.Strategy) -> Recipe:
    """Returns a recipe that can train on so many images, and says what it changes."""
    given = training_flags.given_fields()
    fitting = for_few_images(recipe, images, strategy.num_replicas_in_sync, given)
    for name, words in FITTED.items():
        ours, theirs = getattr(fitting, name), getattr(recipe, name)
        if ours != theirs and is_chief(strategy):
            chosen = f"--set={name}=null" if ours is None else f"--{name}={ours:,}"
            print(f"{chosen} instead of {words.format(theirs)}: there are {images:,} images")
    return fitting
