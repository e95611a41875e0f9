"""Lists the recipes for training, the papers' own and others, or prints one whole.

keras-classics recipes --pattern='lenet5/*'
keras-classics recipes resnet_cifar10/paper
keras-classics recipes --json

FAMILY/NAME is what `keras-classics train --recipe=FAMILY/NAME` takes. In code it is
`kc.training.recipes.FAMILY["NAME"]`, with the family in capital letters. A recipe that is named is
printed with each of its fields and the place in the paper that the field's value comes from.
--json prints every field, as in a run's recipe.json.
"""

import fnmatch
import itertools
import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from absl import flags

from keras_classics.analysis.tables import aligned
from keras_classics.cli._output import JSON, print_json
from keras_classics.errors import UserError, unknown_name
from keras_classics.training import Recipe
from keras_classics.training.recipes.by_name import RECIPES
from keras_classics.training.typed_json import KIND

PATTERN = flags.DEFINE_string("pattern", "*", "Recipes to list, such as 'vgg/*' or '*/paper'.")

HEAD = ("recipe", "network", "data", "length", "batch", "paper's error")

# Columns of what is printed.
WIDTH = 100

# Fields that are printed elsewhere, or not a recipe's own.
NOT_PRINTED = ("name", "paper", "sources", "tags")


def main(recipe: str | None = None) -> None:
    """Prints the list, or one recipe."""
    if recipe is not None and recipe not in RECIPES:
        raise unknown_name("recipe", recipe, RECIPES)
    names = [recipe] if recipe else fnmatch.filter(RECIPES, PATTERN.value)
    if not names:
        raise UserError(f"No recipe matches --pattern={PATTERN.value!r}. Leave it out to list all.")
    content = [{"recipe": name, **RECIPES[name].to_json()} for name in names]
    if JSON.value:
        print_json(content[0] if recipe else content)
    elif recipe:
        print("\n".join(_whole(recipe, RECIPES[recipe])))
    else:
        rows = [[name, *_row(RECIPES[name])] for name in names]
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


def _whole(name: str, recipe: Recipe) -> Iterator[str]:
    """Yields the lines of a recipe: each field, its value, and the source of the value."""
    yield f"recipe {name}"
    if recipe.paper is not None:
        figure = f"{recipe.paper.metric} {recipe.paper.value:g} on {recipe.paper.dataset}"
        yield f"figure {figure} ({recipe.paper.source})"
    yield ""
    content = recipe.to_json()
    shown = [field for field in content if field not in NOT_PRINTED]
    width = max(map(len, shown))
    for field in shown:
        texts = [_value(content[field])]
        if source := recipe.sources.get(field):
            texts.append(f"from {source}")
        # What continues a value or a source is indented, so that the names stand alone.
        lines = [line for text in texts for line in textwrap.wrap(text, WIDTH - width - 4)]
        for name, line in itertools.zip_longest([field], lines, fillvalue=""):
            yield f"{name:<{width}}  {'' if name else '  '}{line}"


def _value(content: Any) -> str:
    """Returns a value as a person reads it: as --set takes it, or kind and arguments."""
    if isinstance(content, Mapping) and KIND in content:
        arguments = {name: value for name, value in content.items() if name != KIND}
        return f"{content[KIND]}({', '.join(f'{n}={_value(v)}' for n, v in arguments.items())})"
    if isinstance(content, str):
        return content
    return json.dumps(content)
