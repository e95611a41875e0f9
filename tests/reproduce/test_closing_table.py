"""The closing table: when a paper's figure stands beside a result."""

import dataclasses
import json

import pytest
from absl import flags

from keras_classics.training import recipes
from keras_classics.training.recipes.resnet import variant
from keras_classics.training.run_directory import RunDirectory
from reproduce.harness.closing_table import closing_table
from reproduce.harness.flags import changed_fields
from tests.helpers.runs import RESULT

LENET5 = recipes.LENET5_MODERN
PAPER = recipes.RESNET_CIFAR10_PAPER


@pytest.fixture
def parse():
    """Parses the flags of all training programs."""

    def unparse():
        for name in flags.FLAGS:
            flags.FLAGS[name].unparse()

    yield lambda *arguments: flags.FLAGS(["program", *arguments])
    unparse()


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
def test_what_a_run_changes(parse, name, change, names):
    parse(f"--recipe={name}")
    recipe = dataclasses.replace(recipes.LENET5[name], **change)
    assert changed_fields(recipe, recipes.LENET5) == names


def test_what_the_run_of_a_stored_recipe_changes(parse, tmp_path):
    deeper = variant(PAPER, 56)
    parse()
    assert changed_fields(deeper, recipes.RESNET_CIFAR10, lambda r: variant(r, 56)) == []
    parse(f"--recipe={tmp_path}")
    (tmp_path / "recipe.json").write_text(json.dumps(deeper.to_json()))
    assert changed_fields(deeper, recipes.RESNET_CIFAR10) == []
    shorter = dataclasses.replace(deeper, steps=10)
    assert changed_fields(shorter, recipes.RESNET_CIFAR10) == ["steps"]
    other = PAPER.with_fields({"model_arguments.kernel_initializer": "zeros"})
    assert changed_fields(other, recipes.RESNET_CIFAR10) == ["model_arguments"]
    assert changed_fields(dataclasses.replace(PAPER, name="mine"), recipes.LENET5) == ["name"]
