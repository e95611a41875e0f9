"""All recipes by name, FAMILY/NAME, and the recipe for a network."""

import dataclasses
import inspect
import re
from typing import Any

from keras_classics.data.random_crops import RANDOM_CROPS, ScaleJitter
from keras_classics.errors import UserError
from keras_classics.models import find_model
from keras_classics.models.registry import ModelEntry
from keras_classics.training.recipe import Recipe
from keras_classics.training.recipes import resnet, vgg
from keras_classics.training.recipes.alexnet import ALEXNET
from keras_classics.training.recipes.lenet5 import LENET5
from keras_classics.training.recipes.own import OWN_WEIGHTS
from keras_classics.training.recipes.resnet import RESNET_CIFAR10, RESNET_IMAGENET
from keras_classics.training.recipes.vgg import VGG

FAMILIES = {
    "lenet5": LENET5,
    "alexnet": ALEXNET,
    "vgg": VGG,
    "resnet_cifar10": RESNET_CIFAR10,
    "resnet_imagenet": RESNET_IMAGENET,
    "own_weights": OWN_WEIGHTS,
}

RECIPES = {
    f"{family}/{name}": recipe
    for family, recipes in FAMILIES.items()
    for name, recipe in recipes.items()
}

# Fields of crops that are lengths in pixels.
LENGTHS = ("size", "whole", "low", "high")


def default_recipe(model: str) -> str:
    """Returns the name of the recipe by which a network is trained if no other is named.

    That is `modern` of the network's family; if there is none, the family's first recipe for this
    network, or its first of all. ResNets of CIFAR belong to `resnet_cifar10`, all others to
    `resnet_imagenet`.

    Args:
        model: Name of the network.

    Raises:
        UserError: If there is no such network.
    """
    entry = find_model(model)

    def of(recipe: Recipe) -> ModelEntry:
        return find_model(recipe.model)

    same = [name for name, recipe in RECIPES.items() if of(recipe).family is entry.family]
    # Networks with a builder of their own belong to the family of their paper's file.
    module = entry.family.__module__
    same = same or [n for n, recipe in RECIPES.items() if of(recipe).family.__module__ == module]
    modern = [name for name in same if name.endswith("/modern")]
    return [*modern, *(name for name in same if RECIPES[name].model == model), *same][0]


def for_network(recipe: Recipe, model: str) -> Recipe:
    """Returns a recipe for another network, with the images that the network takes.

    A network of the same builder keeps the recipe's arguments, except those in which the two
    networks differ by themselves. Lengths in pixels, of the preprocessing and of random crops,
    change in proportion to the side of the images.

    Args:
        recipe: The recipe.
        model: Name of the network.

    Returns:
        The recipe, with the published figure of that network, if there is one.

    Raises:
        UserError: If there is no such network, or the recipe is for colour images and the network
            takes grey ones.
    """
    entry = find_model(model)
    if model == recipe.model:
        return recipe
    own = find_model(recipe.model)
    if entry.family is not own.family:
        changed = dataclasses.replace(recipe, model=model, model_arguments={}, paper=None)
    else:
        changed = _of_family(recipe, entry, own)
    return _with_images(changed, changed.model_arguments.get("input_shape", entry.input_shape))


def _of_family(recipe: Recipe, entry: ModelEntry, own: ModelEntry) -> Recipe:
    """Returns the recipe for another network of the same builder."""
    ours, theirs = _defaults(entry), _defaults(own)
    arguments = {
        name: value
        for name, value in recipe.model_arguments.items()
        if ours.get(name) == theirs.get(name)
    }
    if arguments.get("shortcut", ours.get("shortcut")) == "none":
        # With all branches zero and no shortcuts, the network would compute nothing.
        arguments.pop("zero_init_residual", None)
    changed = dataclasses.replace(recipe, model=entry.name, model_arguments=arguments, paper=None)
    if {"shortcut", "version"} <= recipe.model_arguments.keys():
        kinds = [arguments.get(name, ours[name]) for name in ("shortcut", "version")]
        depth = re.findall(r"\d+", entry.name)[0]
        return resnet.variant(recipe, depth, *kinds)
    if entry.name in vgg.CONFIGS.values() and isinstance(recipe.augmentation, ScaleJitter):
        return dataclasses.replace(changed, paper=vgg.of_config(recipe, entry.config).paper)
    return changed


def _defaults(entry: ModelEntry) -> dict[str, Any]:
    """Returns the defaults of a builder's arguments, without those that each network has itself."""
    parameters = inspect.signature(entry.builder).parameters.values()
    return {p.name: p.default for p in parameters if p.name not in ("name", "classes")}


def _with_images(recipe: Recipe, shape: tuple[int, int, int]) -> Recipe:
    """Returns a recipe whose preprocessing and random crops make images of a shape."""
    shown = recipe.make_preprocessing().compute_output_shape((None, None, None, 3))[1:]
    side, channels = shape[0], shape[2]
    if shown == tuple(shape):
        return recipe
    given = recipe.preprocessing_arguments
    if recipe.preprocessing == "canvas":
        arguments = {**given, "size": side, "channels": channels}
        return dataclasses.replace(recipe, preprocessing_arguments=arguments)
    if channels != shown[2]:
        raise UserError(
            f"{recipe.model} takes images of {_sides(shape)}, and recipe {recipe.name} makes "
            f"{_sides(shown)}. Use a recipe of the network's family, such as "
            f"{default_recipe(recipe.model)}."
        )
    scale = side / shown[0]
    arguments = {**given, "resize": round(given.get("resize", 256) * scale), "crop": side}
    augmentation = recipe.augmentation
    if isinstance(augmentation, RANDOM_CROPS):
        fields = [f.name for f in dataclasses.fields(augmentation) if f.name in LENGTHS]
        lengths = {name: round(getattr(augmentation, name) * scale) for name in fields}
        augmentation = dataclasses.replace(augmentation, **lengths)
    return dataclasses.replace(recipe, preprocessing_arguments=arguments, augmentation=augmentation)


def _sides(shape: tuple[int, int, int]) -> str:
    return "x".join(map(str, shape))
