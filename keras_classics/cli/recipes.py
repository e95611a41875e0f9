"""Lists the recipes for training: the papers' own, and others.

keras-classics recipes --pattern='lenet5/*'
keras-classics recipes --json

FAMILY/NAME is `kc.training.recipes.FAMILY["NAME"]` in code, with the family in capital letters, and
--recipe=NAME of the family's program. --json prints every field, as in a run's recipe.json.
"""

import fnmatch

from absl import flags

from keras_classics.analysis.tables import aligned
from keras_classics.cli._output import JSON, print_json
from keras_classics.errors import UserError
from keras_classics.training import Recipe, recipes

PATTERN = flags.DEFINE_string("pattern", "*", "Recipes to list, such as 'vgg/*' or '*/paper'.")

FAMILIES = ("LENET5", "ALEXNET", "VGG", "RESNET_CIFAR10", "RESNET_IMAGENET", "OWN_WEIGHTS")

HEAD = ("recipe", "network", "data", "length", "batch", "paper's error")


def main() -> None:
    """Prints the list."""
    known = {
        f"{family.lower()}/{name}": recipe
        for family in FAMILIES
        for name, recipe in getattr(recipes, family).items()
    }
    names = fnmatch.filter(known, PATTERN.value)
    if not names:
        raise UserError(f"No recipe matches --pattern={PATTERN.value!r}. Leave it out to list all.")
    if JSON.value:
        print_json([{"recipe": name, **known[name].to_json()} for name in names])
    else:
        rows = [[name, *_row(known[name])] for name in names]
        print(aligned(HEAD, rows, right=("length", "batch", "paper's error")))


def _row(recipe: Recipe) -> list[str]:
    paper = recipe.paper
    return [
        recipe.model,
        recipe.dataset,
        f"{recipe.epochs:,} epochs" if recipe.epochs else f"{recipe.steps:,} steps",
        f"{recipe.batch_size:,}",
        f"{100 * paper.value:.2f} %" if paper else "-",
    ]
