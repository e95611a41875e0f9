"""The flag that sets any field of a recipe."""

from collections.abc import Collection

from absl import flags

from keras_classics.errors import UserError
from keras_classics.training.recipe import CHOICES, Recipe
from keras_classics.training.typed_json import Text

SET = flags.DEFINE_multi_string(
    "set",
    [],
    "FIELD=VALUE sets a field of the recipe, named as in recipe.json: schedule.rate=0.005, "
    "optimizer.momentum=0.95, model_arguments.dropout=0.3. The value is a JSON or Python literal, "
    "or a bare string.",
)

CLASS_WEIGHTS = flags.DEFINE_string(
    "class_weights",
    None,
    "Weights of classes in the loss: balanced (by their numbers of images), a list, or a mapping "
    "by class such as '{\"cat\": 2}'. Short for --set=class_weights=X.",
)
SAMPLING = flags.DEFINE_enum(
    "sampling",
    None,
    CHOICES["sampling"],
    "balanced: equally many images of each class in an epoch, those of rare classes repeated. "
    "shuffle: each image once. Short for --set=sampling=X.",
)

FLAG_GROUPS = {"Recipe": (CLASS_WEIGHTS, SAMPLING, SET)}


def set_fields() -> dict[str, Text]:
    """Returns the fields that --set and its short forms name, as `Recipe.with_fields` takes them.

    Raises:
        UserError: A --set has no name or no value.
    """
    short = (CLASS_WEIGHTS, SAMPLING)
    fields = {flag.name: Text(flag.value) for flag in short if flag.value is not None}
    for given in SET.value:
        name, equals, text = given.partition("=")
        if not (name.strip() and equals):
            raise UserError(
                f"--set takes FIELD=VALUE, such as schedule.rate=0.005. Received: {given!r}."
            )
        fields[name.strip()] = Text(text.strip())
    return fields


def with_set_fields(recipe: Recipe, stages: Collection[str]) -> Recipe:
    """Returns a recipe of a run in stages with the fields of --set that are meant for it.

    Args:
        recipe: The recipe.
        stages: Names of all recipes of the run. STAGE.FIELD=VALUE sets a field of that one alone.
    """
    fields = {}
    for path, value in set_fields().items():
        stage, _, rest = path.partition(".")
        if stage not in stages:
            fields[path] = value
        elif stage == recipe.name:
            fields[rest] = value
    return recipe.with_fields(fields) if fields else recipe
