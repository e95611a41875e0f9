"""The tables of AlexNet's claims, from made-up runs whose figures are worked out by hand."""

import dataclasses
import math

import pytest

from keras_classics.data.augment import CropFlip, WithColour
from keras_classics.data.colour import GreyShift, PCAColour
from keras_classics.training import Recipe
from reproduce.claims import alexnet_ablation, alexnet_relu
from reproduce.claims.alexnet_relu import CLAIM as RELU
from reproduce.claims.alexnet_relu import chosen_rate, compared, steps_to, times
from reproduce.claims.results import Results
from tests.helpers.claims import accuracies, rows_of, run_of, together
from tests.helpers.figures import curves, dashed, labels, legend, panels
from tests.helpers.images import read_png

ABLATION = alexnet_ablation.CLAIM


def training(variant: str, seed: int, errors: list[float], recipe: str = "fashion") -> Results:
    """A run of epochs of 100 steps, with a training error for each, which is that of the test."""
    known = {"recipe": recipe, "steps": 100 * len(errors), "train_accuracy": 1 - errors[-1]}
    return run_of(variant, seed, errors[-1], accuracies(*errors), **known)


def reaching(variant: str, seed: int, steps: float, recipe: str = "fashion") -> Results:
    """A run of 900 steps that is at twice its level halfway to some steps, and is at it then."""
    level = alexnet_relu.LEVELS[recipe]
    # The first epoch stands for step 50: from there a straight line to the middle of the ninth.
    slope = level / (steps - 50)
    errors = [2 * level - slope * 100 * number for number in range(9)]
    return training(variant, seed, errors, recipe)


@pytest.mark.parametrize(
    ("level", "errors", "steps"),
    [
        # Middles of the epochs: 50, 150, 250.
        (0.2, [0.5, 0.3, 0.1], 200),
        (0.3, [0.5, 0.3, 0.1], 150),
        # From 90 % at the start.
        (0.5, [0.1, 0.05], 25),
        # An error that rises again does not count.
        (0.2, [0.3, 0.1, 0.4], 100),
        (0.2, [0.5, 0.3, 0.21], None),
    ],
)
def test_steps_to_a_level(level, errors, steps):
    epochs = training("relu_2012_0.002", 0, errors).epochs
    found = steps_to(level, epochs)
    assert found == (steps and pytest.approx(steps))


def test_a_last_epoch_that_is_cut():
    epochs = [dict(epoch) for epoch in training("relu_2012_0.002", 0, [0.5, 0.3]).epochs]
    epochs[1]["step"] = "120"
    # The middle of its 20 steps is 110, and 31 % are at 19 of the 20 points from 50 % down to 30 %.
    assert steps_to(0.31, epochs) == pytest.approx(50 + 0.95 * 60)


def test_rates_are_chosen_by_a_seed_that_is_not_compared():
    results = together(
        reaching("relu_2012_0.002", 100, 400),
        reaching("relu_2012_0.005", 100, 300),
        training("relu_2012_0.01", 100, [0.9] * 9),
        # Of the seeds that are compared another one would be faster.
        reaching("relu_2012_0.002", 0, 100),
        reaching("relu_2012_0.005", 0, 350),
    )
    assert chosen_rate(results, "2012", "relu") == 0.005
    assert compared(results, "2012")["relu"].steps == pytest.approx([350])
    assert chosen_rate(results, "2012", "tanh") is None


def test_a_rate_at_which_a_run_does_not_come_down_is_chosen_last():
    results = together(
        reaching("tanh_2012_0.01", 0, 800),
        reaching("tanh_2012_0.01", 1, 800),
        reaching("tanh_2012_0.05", 0, 100),
        training("tanh_2012_0.05", 1, [0.9] * 9),
    )
    assert chosen_rate(results, "2012", "tanh") == 0.01


def test_where_no_run_comes_down_the_last_error_chooses():
    errors = {0.01: 0.9, 0.05: 0.4, 0.1: 0.7}
    runs = [training(f"sigmoid_2012_{rate}", 100, [0.9, error]) for rate, error in errors.items()]
    assert chosen_rate(together(*runs), "2012", "sigmoid") == 0.05


def relu_results() -> Results:
    return together(
        reaching("relu_2012_0.002", 100, 110),
        reaching("relu_2012_0.005", 100, 100),
        *(reaching("relu_2012_0.005", seed, steps) for seed, steps in enumerate((100, 200, 400))),
        *(reaching("tanh_2012_0.05", seed, steps) for seed, steps in enumerate((400, 800, 800))),
        reaching("sigmoid_2012_0.05", 0, 500),
        *(training("sigmoid_2012_0.05", seed, [0.9] * 9) for seed in (1, 2)),
    )


def test_the_table_of_activations():
    table = RELU.table(relu_results())
    deviation = math.sqrt(((700 / 3 - 100) ** 2 + (700 / 3 - 200) ** 2 + (400 - 700 / 3) ** 2) / 2)
    expected = ["0.005", f"233 ± {deviation:.0f}", "2.3 ± 1.5", "-", "3"]
    assert rows_of(table, "as in 2012 | ReLU")[0] == expected
    # Logarithms to the base 2 of a hundredth: 2, 3, 3 against 0, 1, 2: means 8/3 and 1, variances
    # 1/3 and 1, (4/9)^2 / ((1/9)^2 / 2 + (1/3)^2 / 2) = 3.2 degrees of freedom, of which Student's
    # t is 3.0729.
    low, high = (2 ** (5 / 3 + sign * 3.0729 * math.sqrt(4 / 9)) for sign in (-1, 1))
    expected = [f"{2 ** (5 / 3):.1f} ({low:.1f} to {high:.1f})", "3"]
    assert rows_of(table, "as in 2012 | tanh")[0][3:] == expected
    assert rows_of(table, "Glorot | tanh")[0] == ["-", "not run", "-", "-", "-"]


def test_runs_that_do_not_come_down_are_shown_and_bound_the_ratio():
    cells = rows_of(RELU.table(relu_results()), "as in 2012 | logistic")[0]
    # (500 + 900 + 900) / 3 against 700 / 3.
    bound = "more than 3.3"
    assert cells[1:] == ["more than 900 in 2 of 3", "more than 9.0 in 2 of 3", bound, "3"]
    found = compared(relu_results(), "2012")
    assert times(found["relu"], found["sigmoid"]) == "-"


def test_one_run_has_no_interval():
    runs = reaching("relu_2012_0.005", 0, 100), reaching("tanh_2012_0.05", 0, 250)
    cells = rows_of(RELU.table(together(*runs)), "as in 2012 | tanh")[0]
    assert cells[1:] == ["250", "2.5", "2.5", "1"]


def test_the_table_of_rates():
    table = RELU.table(relu_results())
    rates = sorted({rate for several in alexnet_relu.RATES.values() for rate in several})
    shown = dict(zip(rates, rows_of(table, "as in 2012 | ReLU")[1], strict=True))
    assert shown[0.002] == "110"
    assert shown[0.005] == "**100**"
    assert shown[0.01] == "not run"
    assert shown[0.1] == "-"


def test_the_paper_s_level_is_25_percent():
    results = training("relu_2012_0.005", 0, [0.35, 0.15], recipe="paper")
    assert compared(results, "2012")["relu"].steps == pytest.approx([100])


def test_tables_without_runs():
    assert rows_of(RELU.table(Results()), "Glorot | ReLU")[0] == ["-", "not run", "-", "-", "-"]
    cells = rows_of(ABLATION.table(Results()), "dropout")[0]
    assert cells[1:] == ["not run", "not run", "not run", "-", "-"]


def test_the_table_of_what_is_left_out():
    results = together(
        *(training("all", seed, [0.5, error]) for seed, error in enumerate((0.09, 0.10, 0.11))),
        *(training("no_lrn", seed, [0.5, error]) for seed, error in enumerate((0.12, 0.13, 0.14))),
        training("no_colour", 0, [0.5, 0.1]),
    )
    table = ABLATION.table(results)
    assert rows_of(table, "nothing")[0][1:] == ["10.00 ± 1.00", "not run", "10.00 ± 1.00", "-", "3"]
    # Variances of 1, three each: 4 degrees of freedom, of which Student's t is 2.7764.
    half = 2.7764 * math.sqrt(2 / 3)
    assert rows_of(table, "response normalisation")[0][4:] == [
        f"+3.00 ({3 - half:+.2f} to {3 + half:+.2f})",
        "3",
    ]
    assert rows_of(table, "colour shift")[0][1:] == ["10.00", "not run", "10.00", "-", "1"]


def test_figures_are_drawn(tmp_path, drawn):
    RELU.draw(relu_results(), tmp_path / "relu.png")
    results = together(*(training(v, s, [0.5, 0.1]) for v in ABLATION.variants for s in (0, 1)))
    ABLATION.draw(results, tmp_path / "ablation.png")
    assert all(read_png(tmp_path / f"{name}.png").size for name in ("relu", "ablation"))
    relu, ablation = drawn
    (ax,) = panels(relu).values()
    assert labels(ax) == ("epoch", "training error, %")
    relus = [reaching("relu_2012_0.005", 0, steps).epochs for steps in (100, 200, 400)]
    means = [
        sum(100 * (1 - float(epoch["train_accuracy"])) for epoch in epochs) / 3
        for epochs in zip(*relus, strict=True)
    ]
    names = ["ReLU, rate 0.005", "tanh, rate 0.05", "logistic, rate 0.05", "level of 20 %"]
    assert list(curves(ax)) == legend(ax) == names
    assert curves(ax)[names[0]][1] == pytest.approx(means)
    assert curves(ax)["level of 20 %"] == (list(range(1, 10)), [20] * 9)
    left_out = [name for name, _ in alexnet_ablation.LEFT_OUT.values()]
    assert list(panels(ablation)) == [f"without {name}" for name in left_out]
    for number, ax in enumerate(panels(ablation).values()):
        assert ax.get_xlabel() == "epoch"
        assert ax.get_ylabel() == ("" if number % 2 else "error, %")
        assert curves(ax) == {"with all": ([1, 2], [50, 10]), "without": ([1, 2], [50, 10])}
        assert dashed(ax) == [[50, 10], [50, 10]]


def changed(before: Recipe, after: Recipe) -> dict:
    """What a variant changes, by name."""
    fields = [field.name for field in dataclasses.fields(Recipe)]
    return {
        name: getattr(after, name)
        for name in fields
        if getattr(before, name) != getattr(after, name)
    }


@pytest.mark.parametrize("name", ["fashion", "paper"])
def test_variants_differ_by_what_they_are_named_after(name):
    recipe = ABLATION.recipes[name]
    arguments = recipe.model_arguments
    expected = {
        "all": {},
        "no_lrn": {"model_arguments": {**arguments, "lrn": None}},
        "no_overlap": {"model_arguments": {**arguments, "overlapping": False}},
        "no_dropout": {"model_arguments": {**arguments, "dropout": 0.0}},
        "no_colour": {"augmentation": recipe.augmentation.first},
    }
    assert {v: changed(recipe, make(recipe)) for v, make in ABLATION.variants.items()} == expected
    assert arguments["dropout"] == 0.5
    shift = PCAColour() if name == "paper" else GreyShift(pixels=90.02)
    assert recipe.augmentation.colour == shift
    assert isinstance(recipe.augmentation, WithColour)
    assert isinstance(recipe.augmentation.first, CropFlip)


@pytest.mark.parametrize("name", ["fashion", "paper"])
def test_nothing_regularises_where_activations_are_compared(name):
    for make in RELU.variants.values():
        recipe = make(RELU.recipes[name])
        assert recipe.optimizer.weight_decay == 0
        assert recipe.augmentation is None
        assert recipe.model_arguments["lrn"] is None
        assert "hidden" not in recipe.model_arguments


def test_variants_have_an_activation_a_rate_and_a_start():
    recipe = RELU.recipes["fashion"]
    made = RELU.variants["tanh_2012_0.05"](recipe)
    assert (made.model_arguments["activation"], made.schedule.rate) == ("tanh", 0.05)
    assert made.preprocessing_arguments == recipe.preprocessing_arguments
    assert "kernel_initializer" not in made.model_arguments
    made = RELU.variants["relu_glorot_0.1"](recipe)
    assert made.model_arguments["kernel_initializer"] == "glorot_uniform"
    # Pixel 0 and pixel 255.
    ends = [made.preprocessing_arguments[name] for name in ("background", "foreground")]
    assert ends == pytest.approx([-0.8103, 2.0224], abs=1e-4)
    made = RELU.variants["relu_glorot_0.1"](RELU.recipes["paper"])
    assert made.preprocessing_arguments["std"] == (63.0, 62.1, 66.7)
