"""The closing table: when a paper's figure stands beside a result."""

import dataclasses

import pytest

from keras_classics.cli._closing_table import closing_table
from keras_classics.cli._training_flags import changed_fields, published_of
from keras_classics.training import recipes
from keras_classics.training.recipes.by_name import RECIPES
from keras_classics.training.recipes.resnet import variant
from keras_classics.training.run_directory import RunDirectory
from tests.helpers.runs import RESULT

LENET5 = recipes.LENET5_MODERN
PAPER = recipes.RESNET_CIFAR10_PAPER


def table(dataset: str, changed: list[str]) -> str:
    paper = dataclasses.asdict(LENET5.paper)
    result = {**RESULT, "dataset": dataset, "paper": paper}
    return closing_table(result, RunDirectory("run"), None, changed)


def test_a_figure_beside_a_result_that_it_can_be_compared_with():
    text = table("mnist", [])
    assert "0.95 on mnist" in text
    assert "\npaper   LeCun et al. 1998, Figure 9\n" in text


@pytest.mark.parametrize(
    ("dataset", "changed", "told"),
    [
        ("folder:flowers", ["dataset"], "dataset"),
        ("digits", ["dataset", "epochs"], "dataset, epochs"),
        # As the recipes of claims, which name a paper's figure on other data.
        ("digits", [], "dataset"),
        ("mnist", ["limit_train"], "limit_train"),
    ],
)
def test_no_figure_beside_any_other(dataset, changed, told):
    text = table(dataset, changed)
    assert "0.95" not in text
    assert f"\npaper   no figure for this run, which changes {told}\n" in text


def test_a_recipe_without_a_figure_has_no_line_for_it():
    assert "\npaper" not in closing_table(RESULT, RunDirectory("run"), None)


@pytest.mark.parametrize("name", recipes.LENET5)
@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"seed": 3, "dtype_policy": "mixed_bfloat16", "jit_compile": True}, []),
        ({"dataset": "folder:x"}, ["dataset"]),
        ({"limit_train": 100, "limit_test": 10}, ["limit_test", "limit_train"]),
        ({"only_classes": (0, 1)}, ["only_classes"]),
        ({"epochs": 1, "batch_size": 7}, ["batch_size", "epochs"]),
        ({"model": "lenet5_tanh"}, ["model"]),
        ({"model_arguments": {"activation": "relu"}}, ["model_arguments"]),
    ],
)
def test_what_a_run_changes(name, change, names):
    published = recipes.LENET5[name]
    assert changed_fields(dataclasses.replace(published, **change), published) == names


def test_what_the_run_of_a_stored_recipe_changes():
    def changed(recipe):
        return changed_fields(recipe, published_of(recipe, RECIPES.values()))

    deeper = variant(PAPER, 56)
    assert changed(deeper) == []
    assert changed(dataclasses.replace(deeper, steps=10)) == ["steps"]
    other = PAPER.with_fields({"model_arguments.kernel_initializer": "zeros"})
    assert changed(other) == ["model_arguments"]
    assert changed(dataclasses.replace(PAPER, name="mine")) == ["name"]
