"""Recipes by name, and recipes for other networks than their own."""

import dataclasses
import itertools

import pytest

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.models import find_model
from keras_classics.training import recipes
from keras_classics.training.few_images import for_few_images
from keras_classics.training.recipes.by_name import RECIPES, default_recipe, for_network
from keras_classics.training.recipes.resnet import variant
from keras_classics.training.recipes.vgg import of_config


def shown(recipe) -> tuple:
    return recipe.make_preprocessing().compute_output_shape((None, None, None, 3))[1:]


def test_every_recipe_has_a_name():
    known = {name: getattr(recipes, name) for name in recipes.__all__}
    families = {name: value for name, value in known.items() if isinstance(value, dict)}
    assert set(RECIPES) == {f"{f.lower()}/{name}" for f, of in families.items() for name in of}
    assert all(
        recipe in RECIPES.values() for recipe in known.values() if not isinstance(recipe, dict)
    )


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("lenet5", "lenet5/modern"),
        ("lenet5_1998", "lenet5/paper"),
        ("alexnet_owt", "alexnet/one_weird_trick"),
        ("caffenet", "alexnet/paper"),
        ("cuda_convnet", "alexnet/paper"),
        ("vgg11", "vgg/a"),
        ("vgg16_mini", "vgg/paper"),
        ("plain56", "resnet_cifar10/modern"),
        ("resnet18", "resnet_imagenet/modern"),
    ],
)
def test_the_recipe_of_a_network_alone(model, name):
    assert default_recipe(model) == name


@pytest.mark.parametrize("model", kc.list_models())
def test_every_network_gets_the_images_that_it_takes(model):
    shape = find_model(model).input_shape
    own = RECIPES[default_recipe(model)]
    for recipe in [own, *RECIPES.values()]:
        if shape[2] == 1 and recipe.preprocessing == "image":
            # Never the case of its own recipe.
            with pytest.raises(UserError, match=f"such as {default_recipe(model)}"):
                for_network(recipe, model)
            continue
        fitting = for_network(recipe, model)
        takes = tuple(fitting.model_arguments.get("input_shape", shape))
        assert shown(fitting) == takes
        if fitting.crops_on_decode:
            assert fitting.augmentation.size == takes[0]
    assert for_network(own, model).model == model


def test_a_network_of_the_family_is_the_one_of_the_reproduce_programs():
    paper = recipes.RESNET_CIFAR10["paper"]
    assert for_network(paper, "resnet56") == variant(paper, 56)
    assert for_network(paper, "plain56") == variant(paper, 56, "none")
    modern = recipes.RESNET_IMAGENET["modern"]
    assert for_network(modern, "resnet18") == variant(modern, 18)
    # With branches from zero and no shortcuts, it would compute nothing.
    assert "zero_init_residual" not in for_network(modern, "plain18").model_arguments
    assert for_network(recipes.VGG["paper"], "vgg19") == of_config(recipes.VGG["paper"], "E")


@pytest.mark.parametrize("model", ["resnet164", "vgg16_bn", "resnet20"])
def test_another_network_has_no_figure_of_a_paper(model):
    recipe = for_network(recipes.VGG["paper"], model)
    assert recipe.paper is None


def test_a_stored_recipe_without_the_arguments_of_its_family():
    stored = dataclasses.replace(recipes.OWN_WEIGHTS["resnet20_fashion_mnist"], augmentation=None)
    assert for_network(stored, "resnet56").model_arguments == {}
    plain = dataclasses.replace(recipes.VGG["paper"], augmentation=None)
    assert for_network(plain, "vgg11").paper is None


def test_lengths_in_pixels_keep_their_proportions():
    for recipe, model in itertools.product(RECIPES.values(), ("vgg16_mini", "resnet20")):
        fitting = for_network(recipe, model)
        if fitting.preprocessing == "image" and recipe.preprocessing_arguments["crop"] == 224:
            scale = fitting.preprocessing_arguments["crop"] / 224
            of = fitting.preprocessing_arguments["resize"]
            assert of == round(recipe.preprocessing_arguments["resize"] * scale)


@pytest.mark.parametrize(
    ("name", "images", "given", "changes"),
    [
        # The data sets that the recipes are for.
        ("resnet_cifar10/modern", 50_000, (), {}),
        ("resnet_imagenet/modern", 1_281_167, (), {}),
        ("resnet_imagenet/paper", 1_281_167, (), {}),
        ("resnet_cifar10/modern", 450, (), {"average": None}),
        ("resnet_cifar10/modern", 100, (), {"batch_size": 100, "average": None}),
        ("resnet_cifar10/modern", 100, ("average",), {"batch_size": 100}),
        ("vgg/paper", 600, (), {"validation": 60}),
        ("vgg/paper", 200, (), {"validation": 20, "batch_size": 180}),
        ("vgg/paper", 200, ("batch_size", "validation"), {}),
    ],
)
def test_a_recipe_for_few_images(name, images, given, changes):
    recipe = RECIPES[name]
    expected = dataclasses.replace(recipe, **changes)
    assert for_few_images(recipe, images, given=given) == expected


def test_a_batch_for_few_images_is_shared_by_all_replicas():
    recipe = RECIPES["resnet_cifar10/paper"]
    assert for_few_images(recipe, 103, replicas=4).batch_size == 100
