"""The flag that names the network to train, and the recipe that it and --recipe name."""

from absl import flags

from keras_classics.cli import _training_flags as training_flags
from keras_classics.errors import UserError
from keras_classics.models import find_model
from keras_classics.training import Recipe
from keras_classics.training.recipes.by_name import RECIPES, default_recipe, for_network

MODEL = flags.DEFINE_string(
    "model", None, "Name of the network; that of the recipe if unset. keras-classics zoo lists all."
)

FLAG_GROUPS = {"Recipe": (MODEL,)}


def published_recipe() -> Recipe:
    """Returns the recipe that --model and --recipe name, before other flags change it.

    Raises:
        UserError: If neither is given, or there is no such recipe or network.
    """
    if not (MODEL.value or training_flags.RECIPE.value):
        raise UserError(
            "Name what to train: --model=NETWORK, --recipe=FAMILY/NAME, or both. The commands zoo "
            "and recipes list them."
        )
    default = default_recipe(MODEL.value) if MODEL.value else ""
    published = training_flags.named_recipe(RECIPES, default)
    return for_network(published, find_model(MODEL.value).name) if MODEL.value else published
