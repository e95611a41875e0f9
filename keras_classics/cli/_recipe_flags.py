"""The flag that sets any field of a recipe."""

from absl import flags

from keras_classics.errors import UserError
from keras_classics.training.typed_json import Text

SET = flags.DEFINE_multi_string(
    "set",
    [],
    "FIELD=VALUE sets a field of the recipe, named as in recipe.json: schedule.rate=0.005, "
    "optimizer.momentum=0.95, model_arguments.dropout=0.3. The value is a JSON or Python literal, "
    "or a bare string.",
)

FLAG_GROUPS = {"Recipe": (SET,)}


def set_fields() -> dict[str, Text]:
    """Returns the fields that --set names, as `Recipe.with_fields` takes them.

    Raises:
        UserError: A --set has no name or no value.
    """
    fields = {}
    for given in SET.value:
        name, equals, text = given.partition("=")
        if not (name.strip() and equals):
            raise UserError(
                f"--set takes FIELD=VALUE, such as schedule.rate=0.005. Received: {given!r}."
            )
        fields[name.strip()] = Text(text.strip())
    return fields
