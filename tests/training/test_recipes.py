"""The recipes: value by value against the papers and programs, as those print them."""

import dataclasses
import inspect
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_classics as kc
from keras_classics.data.augment import CropFlip
from keras_classics.data.colour import PCAColour
from keras_classics.errors import UserError
from keras_classics.models import find_model, get_model
from keras_classics.training import Recipe, recipes
from keras_classics.training.recipes import imagenet
from keras_classics.training.recipes.resnet import FIGURES, variant
from keras_classics.training.recipes.vgg import CONFIGS, of_config
from keras_classics.training.schedules import Constant, Plateau, StepInfo
from keras_classics.training.trainer import Trainer, schedule_numbers

FAMILIES = {
    "lenet5": recipes.LENET5,
    "alexnet": recipes.ALEXNET,
    "vgg": recipes.VGG,
    "resnet_imagenet": recipes.RESNET_IMAGENET,
    "resnet_cifar10": recipes.RESNET_CIFAR10,
    "own": recipes.OWN_WEIGHTS,
}
ALL = [
    pytest.param(recipe, id=f"{family}-{name}")
    for family, members in FAMILIES.items()
    for name, recipe in members.items()
]
FIELDS = {field.name for field in dataclasses.fields(Recipe)}

IMAGENET = 1_281_167
CIFAR10 = 50_000


def rates(schedule, recipe: Recipe, images: int, passes) -> list[float]:
    """Rates after so many passes over a set of so many images."""
    steps_per_epoch = images // recipe.batch_size
    steps = recipe.steps or recipe.epochs * steps_per_epoch
    return [
        schedule(StepInfo(round(done * steps_per_epoch), steps, steps_per_epoch)) for done in passes
    ]


@pytest.mark.parametrize("recipe", ALL)
def test_sources_are_of_values_and_all_is_written_down(recipe):
    assert recipe.sources.keys() <= FIELDS - {"name", "sources", "seed"}
    assert all(recipe.sources.values())
    content = json.loads(json.dumps(recipe.to_json()))
    assert content.keys() == FIELDS
    assert content["schedule"]["kind"] == type(recipe.schedule).__name__
    assert content["sources"] == dict(recipe.sources)


@pytest.mark.parametrize("recipe", ALL)
def test_images_have_the_size_that_the_network_takes(recipe):
    entry = find_model(recipe.model)
    shape = recipe.model_arguments.get("input_shape", entry.input_shape)
    layer = recipe.make_preprocessing()
    assert layer.compute_output_shape((None, 500, 375, shape[2]))[1:] == shape
    if recipe.crops_on_decode:
        assert (recipe.augmentation.size,) * 2 == shape[:2]
    assert recipe.crops_on_decode == (recipe.dataset == "imagenet2012")


@pytest.mark.parametrize("recipe", ALL)
def test_the_figure_to_compare_with(recipe):
    if recipe.paper:
        assert recipe.paper.metric == "test_error"
        assert recipe.paper.dataset == recipe.dataset
        assert 0 < recipe.paper.value < 0.5


@pytest.mark.parametrize("recipe", ALL)
def test_what_is_held_out_serves_a_plateau(recipe):
    held_out = imagenet.VALIDATION_IMAGES if isinstance(recipe.schedule, Plateau) else 0
    assert recipe.validation == held_out


@pytest.mark.parametrize("family", FAMILIES)
def test_networks_are_built_with_a_recipe_s_arguments(family):
    """Each once; VGGs with small dense layers."""
    smaller = {"hidden": (8, 8)} if family == "vgg" else {}
    seen = []
    for recipe in FAMILIES[family].values():
        if (recipe.model, recipe.model_arguments) in seen:
            continue
        seen.append((recipe.model, recipe.model_arguments))
        builder = inspect.signature(find_model(recipe.model).builder)
        builder.bind(classes=7, **recipe.model_arguments)
        model = get_model(recipe.model, classes=7, **smaller, **recipe.model_arguments)
        assert model.output_shape == (None, 7)


# Krizhevsky et al. 2012, section 5; the log of configuration 145, by epoch.


def test_alexnet_as_the_paper_says():
    recipe = recipes.ALEXNET_PAPER
    assert recipe.epochs * IMAGENET // 10**6 == 115  # Roughly 90 cycles through 1.2 million images.
    assert recipe.batch_size == 128
    # v <- 0.9 v - 0.0005 rate w - rate g.
    assert vars(recipe.optimizer) == {
        "momentum": 0.9,
        "weight_decay": 0.0005,
        "nesterov": False,
        "decayed": "kernels",
    }
    plateau = recipe.schedule
    assert [plateau.rate * plateau.factor**n for n in range(plateau.drops + 1)] == pytest.approx(
        [0.01, 0.001, 0.0001, 0.00001]
    )
    crop = recipe.augmentation
    assert crop.whole - crop.size == 32
    assert crop.colour == PCAColour(deviation=0.1, until=None)
    model = get_model(recipe.model, **{**recipe.model_arguments, "input_shape": (67, 67, 3)})
    ones = {f"{w.path}" for w in model.weights if w.name == "bias" and np.all(w.numpy() == 1)}
    assert ones == {f"{name}/bias" for name in ("conv2", "conv4", "conv5", "fc6", "fc7")}
    assert recipe.paper.value == 0.407


def test_alexnet_as_its_program_logged():
    recipe = recipes.ALEXNET_CODE
    weights = 25 * [0.01] + 26 * [0.001] + 28 * [0.0001] + 12 * [0.00001]
    assert recipe.epochs == len(weights) == 91
    assert rates(recipe.schedule, recipe, IMAGENET, range(91)) == weights
    conv1 = weights.copy()
    conv1[67:72], conv1[72:79] = 5 * [0.00001], 7 * [0.0]
    of_conv1, of_biases = recipe.schedules.values()
    assert rates(of_conv1, recipe, IMAGENET, range(91)) == conv1
    assert rates(of_biases, recipe, IMAGENET, range(91)) == 91 * [0.02]
    colour = recipe.augmentation.colour
    assert colour.until == 67
    assert recipe.augmentation.size == 224
    assert not recipe.validation
    assert recipe.paper.value == 0.40664


def test_alexnet_s_groups_of_variables():
    recipe = recipes.ALEXNET_CODE
    model = get_model(recipe.model, **{**recipe.model_arguments, "input_shape": (67, 67, 3)})
    paths = [variable.path for variable in model.trainable_variables]
    groups = dict(zip(paths, schedule_numbers(recipe, model), strict=True))
    assert len(groups) == 16
    assert groups.pop("conv1/kernel") == 1
    assert {path for path, group in groups.items() if group == 2} == {
        path for path in groups if path.endswith("/bias")
    }
    assert sorted(set(groups.values())) == [0, 2]


def test_one_weird_trick():
    recipe = recipes.ALEXNET_ONE_WEIRD_TRICK
    assert (recipe.epochs, recipe.batch_size) == (90, 128)
    got = rates(recipe.schedule, recipe, IMAGENET, (0, 22.4, 22.6, 44.9, 45.1, 67.4, 67.6, 89.9))
    third = 250 ** (1 / 3)
    expected = [0.01, 0.01, *2 * [0.01 / third], *2 * [0.01 / third**2], *2 * [0.01 / 250]]
    assert got == pytest.approx(expected)


# Simonyan and Zisserman 2015, section 3.1 and Table 3.

TABLE_3 = """
A     29.6  -     -
A-LRN 29.7  -     -
B     28.7  -     -
C     28.1  28.1  27.3
D     27.0  26.8  25.6
E     27.3  26.9  25.5
"""


def test_vgg_as_the_paper_says():
    recipe = recipes.VGG_PAPER
    assert round(recipe.steps * recipe.batch_size / IMAGENET) == 74
    assert (recipe.optimizer.momentum, recipe.optimizer.weight_decay) == (0.9, 5e-4)
    assert (recipe.schedule.rate, recipe.schedule.factor, recipe.schedule.drops) == (0.01, 0.1, 3)
    assert recipe.mean == "per_channel"
    assert recipe.augmentation.colour == PCAColour()
    assert recipes.VGG_PAPER_384.schedule.rate == 0.001
    scales = {
        name: (r.augmentation.low, r.augmentation.high, r.preprocessing_arguments["resize"])
        for name, r in recipes.VGG.items()
    }
    assert scales == {
        "paper": (256, 256, 256),
        "paper_384": (384, 384, 384),
        "jitter": (256, 512, (256 + 512) / 2),
        "a": (256, 256, 256),
        "from_a": (256, 256, 256),
        "he": (256, 256, 256),
    }


def test_which_vggs_carry_on_another_run():
    starts = {name: (r.initial_model, r.initial_weights) for name, r in recipes.VGG.items()}
    assert starts == {
        "paper": (None, None),
        "paper_384": (None, "paper.weights.h5"),
        "jitter": (None, "paper_384.weights.h5"),
        "a": (None, None),
        "from_a": (recipes.VGG_A.model, "a.weights.h5"),
        "he": (None, None),
    }


def test_vgg_s_table():
    at_scales = (recipes.VGG_PAPER, recipes.VGG_PAPER_384, recipes.VGG_JITTER)
    for line in TABLE_3.strip().splitlines():
        config, *errors = line.split()
        for recipe, error in zip(at_scales, errors, strict=True):
            changed = of_config(recipe, config)
            assert changed.model == CONFIGS[config]
            assert (f"{100 * changed.paper.value:.1f}" if changed.paper else "-") == error
            same = dataclasses.replace(changed, model=recipe.model, paper=recipe.paper)
            assert same == recipe
    with pytest.raises(UserError, match="Unknown configuration 'F'"):
        of_config(recipes.VGG_PAPER, "F")


# He et al. 2015, sections 3.4 and 4.2, Tables 2, 3 and 6; fb.resnet.torch; torchvision.

TEN_VIEWS = {18: "27.88 A", 34: "25.03 A, 24.52 B, 24.19 C", 50: "22.85 B"}
TEN_VIEWS |= {101: "21.75 B", 152: "21.43 B"}
PLAIN = {18: 27.94, 34: 28.54}
TABLE_6 = {20: 8.75, 32: 7.51, 44: 7.17, 56: 6.97, 110: 6.61}
# Accuracies.
TORCHVISION = {18: 69.758, 34: 73.314, 50: 76.130, 101: 77.374, 152: 78.312}


def test_resnet_for_imagenet_as_the_paper_says():
    recipe = recipes.RESNET_IMAGENET_PAPER
    assert recipe.steps == 60 * 10**4
    assert round(recipe.steps * recipe.batch_size / IMAGENET) == 120
    assert (recipe.optimizer.momentum, recipe.optimizer.weight_decay) == (0.9, 1e-4)
    assert (recipe.schedule.rate, recipe.schedule.factor) == (0.1, 0.1)
    assert (recipe.augmentation.low, recipe.augmentation.high) == (256, 480)
    assert recipe.augmentation.colour == PCAColour()
    assert recipe.mean == "per_pixel"


def test_resnet_for_imagenet_as_torchvision_trains():
    recipe = recipes.RESNET_IMAGENET_TORCHVISION
    assert recipe.optimizer.decayed == "all"
    # lr 0.1, step size 30, gamma 0.1.
    expected = [0.1 * 0.1 ** (epoch // 30) for epoch in range(90)]
    assert rates(recipe.schedule, recipe, IMAGENET, range(90)) == pytest.approx(expected)
    layer = recipe.make_preprocessing()
    assert layer.mean == pytest.approx([255 * part for part in (0.485, 0.456, 0.406)])
    assert layer.std == pytest.approx([255 * part for part in (0.229, 0.224, 0.225)])
    for depth, accuracy in TORCHVISION.items():
        assert variant(recipe, depth).paper.value == pytest.approx(1 - accuracy / 100)


def test_modern_warm_ups():
    for recipe, images in (
        (recipes.RESNET_IMAGENET_MODERN, IMAGENET),
        (recipes.RESNET_CIFAR10_MODERN, CIFAR10),
    ):
        got = rates(recipe.schedule, recipe, images, (0, 2.5, 5, recipe.epochs / 2, recipe.epochs))
        assert got == pytest.approx([0, 0.05, 0.1, 0.05, 0], rel=0.01, abs=1e-9)
        assert recipe.optimizer.decayed == "kernels"
        assert recipe.loss_arguments == {"smoothing": 0.1}
        # The average spans less than a tenth of the run.
        assert 1 / (1 - recipe.average) < 0.1 * recipe.epochs * (images // recipe.batch_size)


def test_resnet_for_cifar10_as_the_paper_says():
    recipe = recipes.RESNET_CIFAR10_PAPER
    assert recipe.steps == 64_000
    assert round(recipe.steps * recipe.batch_size / 45_000) == 182
    per_step = [recipe.schedule(StepInfo(step, 64_000, 390)) for step in range(64_000)]
    values, counts = np.unique(per_step, return_counts=True)
    assert values == pytest.approx([0.001, 0.01, 0.1])
    assert counts.tolist() == [16_000, 16_000, 32_000]
    assert recipe.augmentation == CropFlip(padding=4)
    assert (recipe.optimizer.momentum, recipe.optimizer.weight_decay) == (0.9, 1e-4)
    warm = recipes.RESNET_CIFAR10_PAPER_110
    first = [warm.schedule(StepInfo(step, 64_000, 390)) for step in range(1000)]
    assert first == pytest.approx(400 * [0.01] + 600 * [0.1])
    later = range(0, 64_000, 999)
    assert [warm.schedule(StepInfo(step, 64_000, 390)) for step in later[1:]] == [
        per_step[step] for step in later[1:]
    ]


def test_resnet_for_cifar10_as_fb_resnet_torch_trains():
    recipe = recipes.RESNET_CIFAR10_TORCH
    # Its epochs count from 1: a tenth from 81 on, a hundredth from 122 on.
    expected = [0.001 if e >= 122 else 0.01 if e >= 81 else 0.1 for e in range(1, 165)]
    assert rates(recipe.schedule, recipe, CIFAR10, range(164)) == pytest.approx(expected)
    assert recipe.optimizer.nesterov
    assert recipe.optimizer.decayed == "all"


@pytest.mark.parametrize("family", ["resnet_imagenet", "resnet_cifar10"])
def test_a_resnet_recipe_is_a_variant_of_its_own(family):
    for recipe in FAMILIES[family].values():
        assert variant(recipe) == recipe


def test_resnets_figures():
    for depth, errors in TEN_VIEWS.items():
        for cell in errors.split(", "):
            error, shortcut = cell.split()
            recipe = variant(recipes.RESNET_IMAGENET_PAPER, depth, shortcut)
            assert f"{100 * recipe.paper.value:.2f}" == error
            assert "ten views" in recipe.paper.source
    for depth, error in PLAIN.items():
        recipe = variant(recipes.RESNET_IMAGENET_PAPER, depth, "none")
        assert recipe.model == f"plain{depth}"
        assert recipe.paper.value == pytest.approx(error / 100)
    for depth, error in TABLE_6.items():
        recipe = variant(recipes.RESNET_CIFAR10_PAPER, depth)
        assert recipe.paper.value == pytest.approx(error / 100)
        assert variant(recipe, shortcut="none").paper is None
    assert sum(len(errors) for _, _, errors in FIGURES) == 9 + 5 + 5


def test_variants():
    recipe = variant(recipes.RESNET_CIFAR10_MODERN, "56", "none", "v2")
    assert recipe.model == "plain56"
    assert recipe.model_arguments["version"] == "v2"
    assert "zero_init_residual" not in recipe.model_arguments
    assert variant(recipe, shortcut="B").model == "resnet56"
    with pytest.raises(UserError, match="Unknown model 'plain50'"):
        variant(recipes.RESNET_IMAGENET_PAPER, shortcut="none")


def test_a_recipe_that_starts_from_a_shallower_network(few_digits, tmp_path):
    source = kc.vgg11(input_shape=(32, 32, 3), classes=10)
    source.save_weights(tmp_path / "a.weights.h5")
    recipe = dataclasses.replace(
        recipes.VGG_FROM_A,
        dataset="digits",
        steps=1,
        batch_size=8,
        schedule=Constant(0.01),
        validation=0,
        model_arguments={**recipes.VGG_FROM_A.model_arguments, "input_shape": (32, 32, 3)},
        preprocessing_arguments={"resize": 32, "crop": 32},
        augmentation=None,
        initial_weights=str(tmp_path / "a.weights.h5"),
    )
    strategy = tf.distribute.get_strategy()
    model = Trainer(recipe, few_digits, recipe.make_preprocessing(), strategy).model
    taken = {
        layer.name
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense)
        and layer.name in {there.name for there in source.layers}
        and np.array_equal(layer.kernel, source.get_layer(layer.name).kernel)
    }
    convolutions = {"block1_conv1", "block2_conv1", "block3_conv1", "block3_conv2"}
    assert taken == convolutions | {"fc1", "fc2", "predictions"}
    assert np.std(model.get_layer("block5_conv3").kernel) == pytest.approx(0.01, rel=0.02)
