"""The tables of VGG's claims, from made-up runs whose figures are worked out by hand."""

import dataclasses

import numpy as np
import pytest

import keras_classics as kc
from keras_classics.training import Adam, Momentum, initial_network, load_data
from reproduce.claims.vgg_depth import CLAIM as DEPTH
from reproduce.claims.vgg_first_bn import CLAIM as FIRST_BN
from reproduce.claims.vgg_first_bn import epochs_to_leave
from reproduce.claims.vgg_receptive_field import CLAIM as RECEPTIVE_FIELD
from tests.helpers.claims import rows_of, run_of, together


def losses_of(*losses: float) -> list[dict]:
    """Epochs of 20 steps, with a training loss each."""
    return [{"step": 20 * i, "train_loss": loss} for i, loss in enumerate(losses, 1)]


@pytest.mark.parametrize(
    ("losses", "epochs"),
    [([1.79, 1.79, 1.78], None), ([1.79, 1.49, 1.6], 2), ([1.5, 1.5], None), ([0.9], 1)],
)
def test_a_run_leaves_the_plateau_where_its_loss_is_clearly_below_guessing(losses, epochs):
    history = [{"epoch": str(i), "train_loss": str(loss)} for i, loss in enumerate(losses, 1)]
    assert epochs_to_leave(history) == epochs


def test_the_tables_of_the_first_normalisation(tmp_path):
    def sizes(value):
        row = ("block1_conv1", "gradient")
        return [("start", *row, value), ("end", *row, 9)]

    results = together(
        run_of("none_sgd_glorot_1000", 0, 0.6, losses_of(1.79, 1.79, 1.79), sizes(1e-5)),
        run_of("none_sgd_glorot_1000", 1, 0.4, losses_of(1.79, 1.79, 1.4), sizes(3e-5)),
        run_of("first_sgd_glorot_1000", 0, 0.2, losses_of(1.7, 1.2, 0.8), sizes(4e-4)),
        run_of("first_sgd_glorot_1000", 1, 0.2, losses_of(1.4, 1.0, 0.8), sizes(4e-4)),
        run_of("all_adam_he_6000", 0, 0.1, losses_of(1.0)),
    )
    table = FIRST_BN.table(results)
    left, error, gradient = rows_of(table, "SGD, Glorot, 1,000 images")
    assert left == ["1 of 2, 3.0", "2 of 2, 1.5", "not run", "not run"]
    # Without an interval of the difference: errors of runs that train and of runs that do not have
    # two humps.
    assert error == ["50.0 ± 14.1", "20.0 ± 0.0", "not run", "not run"]
    assert gradient == ["2.0e-05", "4.0e-04", "not run", "not run"]
    left, error, gradient = rows_of(table, "Adam, He, 6,000 images")
    assert left == ["not run"] * 3 + ["1 of 1, 1.0"]
    assert error == ["not run"] * 3 + ["10.0"]
    assert gradient == ["not run"] * 4
    assert len(rows_of(table, "SGD, He, 6,000 images")) == 3


def test_nothing_left_the_plateau():
    table = FIRST_BN.table(run_of("none_sgd_he_6000", 0, 0.8, losses_of(1.79)))
    assert rows_of(table, "SGD, He, 6,000 images")[0][0] == "0 of 1, -"


def test_what_the_first_normalisation_is_tried_on():
    assert len(FIRST_BN.variants) == 4 * 2 * 2 * 2
    here = FIRST_BN.recipes["fashion"]
    few = FIRST_BN.recipe_of("first_adam_he_1000", here, 3)
    assert (few.limit_train, few.seed, few.optimizer) == (1000, 3, Adam())
    assert few.schedule.rate == 0.0001
    assert few.model_arguments == {"batch_norm": "first", "kernel_initializer": "he_fan_in"}
    many = FIRST_BN.recipe_of("none_sgd_glorot_6000", here, 0)
    assert (many.limit_train, many.optimizer) == (6000, Momentum(momentum=0.9))
    # Both are whole epochs.
    assert all(here.steps % (images // here.batch_size) == 0 for images in (1000, 6000))
    classes = load_data(dataclasses.replace(here, dataset="digits"))
    assert classes.class_names == ("0", "1", "5", "7", "8", "9")
    assert initial_network(many, classes).count_params() == 158_186


def test_figures_of_the_first_normalisation(tmp_path):
    layers = [
        (when, layer, quantity, 0.1)
        for when in ("start", "end")
        for layer in ("block1_conv1", "predictions")
        for quantity in ("output", "gradient")
    ]
    several = [run_of(name, 0, 0.2, losses_of(1.7, 1.2), layers) for name in FIRST_BN.variants]
    FIRST_BN.draw(together(*several), tmp_path / "vgg_first_bn.png")
    assert {path.name for path in tmp_path.iterdir()} == {
        "vgg_first_bn.png",
        "vgg_first_bn_layers.png",
    }


# Table 3 of the paper at S = 256: A 29.6, A-LRN 29.7, B 28.7, C 28.1, D 27.0, E 27.3.
PAPER = {
    "A-LRN - A": "+0.1",
    "B - A": "-0.9",
    "C - B": "-0.6",
    "D - B": "-1.7",
    "D - C": "-1.1",
    "E - D": "+0.3",
    "D_from_A - D": "-",
}


def test_the_tables_of_depth():
    results = together(
        *(run_of("A", seed, error) for seed, error in enumerate((0.10, 0.12))),
        *(run_of("B", seed, error) for seed, error in enumerate((0.08, 0.10))),
        run_of("D_from_A", 0, 0.09),
    )
    table = DEPTH.table(results)
    assert rows_of(table, "A")[0] == ["He", "29.6", "5.50 ± 0.71", "not run", "11.00 ± 1.41", "2"]
    starts = [(row[0], row[1]) for row in rows_of(table, "D")]
    assert starts == [
        ("He", "27.0"),
        ("normal", "-"),
        ("normal, layers of A", "-"),
    ]
    for difference, points in PAPER.items():
        assert rows_of(table, difference)[0][1] == points
    # Each mean deviates by 1, the difference by the root of 2; two degrees of freedom: 4.3027.
    assert rows_of(table, "B - A")[0][2] == "-2.00 (-8.08 to +4.08)"
    assert rows_of(table, "E - D")[0][2] == "-"


def test_deep_networks_start_from_the_narrow_a(few_digits, tmp_path):
    here = DEPTH.recipes["fashion"]
    first = DEPTH.recipe_of("A_normal", here, 0)
    source = initial_network(first, few_digits)
    source.save_weights(tmp_path / "a.weights.h5")
    assert DEPTH.starts_from == {"D_from_A": "A_normal", "E_from_A": "A_normal"}
    from_a = DEPTH.recipe_of("E_from_A", here, 1)
    assert from_a.initial_model == first.model
    from_a = dataclasses.replace(from_a, initial_weights=str(tmp_path / "a.weights.h5"))
    model = initial_network(from_a, few_digits)
    taken = {
        layer.name
        for layer in source.layers
        if layer.weights and np.array_equal(layer.kernel, model.get_layer(layer.name).kernel)
    }
    convolutions = {"block1_conv1", "block2_conv1", "block3_conv1", "block3_conv2"}
    assert taken == convolutions | {"fc1", "fc2", "predictions"}
    # A fresh one: 64 x 64 x 9 normal values.
    assert np.std(model.get_layer("block5_conv4").kernel) == pytest.approx(0.04, rel=0.02)


def test_normal_starts():
    for name, background, deviation in (("fashion", -56, 0.04), ("cifar10", -121, 0.04 / 8**0.5)):
        recipe = DEPTH.recipe_of("D_normal", DEPTH.recipes[name], 0)
        arguments = recipe.preprocessing_arguments
        # Pixels of 0..255 minus their mean.
        assert arguments["background"] == pytest.approx(background)
        assert arguments["foreground"] - arguments["background"] == pytest.approx(255)
        start = recipe.model_arguments["kernel_initializer"]["config"]
        assert start["stddev"] == pytest.approx(deviation)
        shown = background if name == "fashion" else 0
        assert recipe.augmentation.fill == pytest.approx(shown)


def test_the_table_of_receptive_fields():
    costs = [
        ("end", "block1_conv1", "parameters", 1_000_000),
        ("end", "fc1", "parameters", 520_000),
        ("end", "block1_conv1", "multiply_adds", 3_456_000),
    ]
    results = together(
        *(run_of("B", seed, error, (), costs) for seed, error in enumerate((0.10, 0.12))),
        *(run_of("B_5x5", seed, error) for seed, error in enumerate((0.14, 0.16))),
    )
    stacked, single = rows_of(RECEPTIVE_FIELD.table(results), "B")
    errors = ["5.50 ± 0.71", "not run", "11.00 ± 1.41"]
    assert stacked == ["two 3x3", "1.52 M", "3.46 M", *errors, "-", "2"]
    # As in the table of depth.
    assert single[-2:] == ["+4.00 (-2.08 to +10.08)", "2"]


def test_single_convolutions_see_as_much_as_stacked_ones():
    here = RECEPTIVE_FIELD.recipes["fashion"]
    seen = {}
    for name in RECEPTIVE_FIELD.variants:
        recipe = RECEPTIVE_FIELD.recipe_of(name, here, 0)
        rows = kc.describe(recipe.model, classes=10, **recipe.model_arguments).rows
        seen[name] = [row.receptive_field for row in rows if row.layer.endswith("pool")]
    assert seen["B"] == seen["B_5x5"]
    assert seen["D"] == seen["D_7x7"]
