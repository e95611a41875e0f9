"""The run of a training program: that of `keras-classics train`, or a short one with --smoke."""

from collections.abc import Callable, Mapping

from keras_classics.cli import _training as training
from keras_classics.cli import _training_flags as flags
from keras_classics.training import Recipe
from keras_classics.training.run_directory import RunDirectory
from reproduce.harness.smoke import SMOKE, smoke_recipe

Change = Callable[[Recipe], Recipe]


def requested_recipe(
    recipes: Mapping[str, Recipe],
    smoke: Change,
    change: Change = lambda recipe: recipe,
) -> Recipe:
    """Returns the recipe that --recipe names, as the other flags change it.

    Args:
        recipes: The program's recipes by name; the first is the default.
        smoke: Makes the short recipe for --smoke.
        change: Changes the recipe as flags of the program's own say. Comes first.

    Raises:
        UserError: There is no such recipe, or a flag does not fit it.
    """
    recipe = change(flags.named_recipe(recipes, next(iter(recipes))))
    return flags.with_flags(smoke(recipe) if SMOKE.value else recipe)


def run_recipe(
    program: str,
    recipes: Mapping[str, Recipe],
    smoke: Change = smoke_recipe,
    change: Change = lambda recipe: recipe,
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
    recipe = requested_recipe(recipes, smoke, change)
    words = [program, recipe.dataset, recipe.name, f"seed{recipe.seed}"]
    if flags.stored_recipe(recipes):
        # Not the folder of the run that the recipe comes from.
        words.append("again")
        published = flags.published_of(recipe, recipes.values())
    else:
        published = change(flags.named_recipe(recipes, next(iter(recipes))))
    if SMOKE.value:
        words.append("smoke")
    run_directory = training.run_folder_of(*words)
    strategy = training.start_run()
    changed = flags.changed_fields(recipe, published)
    # A smoke run is too short on purpose.
    training.run_recipe(recipe, run_directory, strategy, changed, warn=not SMOKE.value)
    return run_directory
