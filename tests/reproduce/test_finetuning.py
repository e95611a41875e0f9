"""The small sets of fine-tuning, and the table of what the defaults reach on them."""

import dataclasses
import json

import numpy as np
import pytest

from keras_classics.data import load
from keras_classics.training import finetuning_recipes
from reproduce.finetuning import sets
from reproduce.report import finetuning_table as table
from tests.helpers.runs import RESULT


def test_sets_that_choose_and_sets_that_test_share_no_class():
    def classes(group):
        return {(small.dataset, name) for small in group.values() for name in small.classes}

    assert not classes(sets.SEARCH) & classes(sets.TESTED)
    assert all(60 <= small.images <= 300 for small in sets.TESTED.values())
    assert [small.dataset for small in sets.TESTED.values()].count("fashion_mnist") == 3
    # No weights have seen the images.
    assert all(small.weights != small.dataset for small in sets.TESTED.values())


def test_motifs_differ():
    drawn = [sets.draw(motif, np.random.default_rng(0)) for motif in sets.MOTIFS]
    assert len(np.unique([image.tobytes() for image in drawn])) == len(drawn)
    assert drawn[0].shape == (48, 48, 3)


def test_a_seed_has_its_own_training_images(tmp_path, monkeypatch):
    monkeypatch.setattr(sets, "GENERATED_TEST", 2)
    small = sets.SmallSet(("circle", "bar"), 3, "resnet20", "fashion_mnist")
    folders = [sets.write_set(tmp_path / str(seed), small, seed, None) for seed in (0, 1)]
    first, second = (load(f"folder:{folder}") for folder in folders)
    assert (len(first.train), len(first.test), first.class_names) == (6, 4, ("bar", "circle"))
    assert (first.train.images != second.train.images).any()
    np.testing.assert_array_equal(first.test.images, second.test.images)


@pytest.fixture
def run(tmp_path):
    """A folder with the result of a run that did not happen."""
    path = tmp_path / "shapes_seed0"
    path.mkdir()
    result = {**RESULT, "tags": {"sets": "tested", "variant": "shapes"}}
    (path / "result.json").write_text(json.dumps(result))
    return path


def test_rows_become_a_table(run, tmp_path, monkeypatch):
    results = table.ResultTable(tmp_path / "rows.csv", table.COLUMNS, table._identity)
    monkeypatch.setattr(table, "FINETUNED", results)
    assert table.is_finetuned(run)
    table.add_finetuned([run, run])
    (row,) = results.read()
    assert (row["sets"], row["variant"], row["test_error"]) == ("tested", "shapes", "0.25")
    lines = table.finetuning_table([row, {**row, "seed": "1", "test_error": "0.05"}]).splitlines()
    name = "generated: circle, square, triangle"
    assert lines[2] == f"| {name} | `resnet20`, Fashion-MNIST | 3 | 60 | 85.0 | 75.0 | 2 |"
    assert lines[3].endswith("| 5 | 150 | not run | not run | - |")


def test_rows_of_the_search_hold_what_was_tried(tmp_path, monkeypatch):
    searched = table.ResultTable(
        tmp_path / "rows.csv", table.SEARCH_COLUMNS, table._search_identity
    )
    monkeypatch.setattr(table, "SEARCHED", searched)
    monkeypatch.setattr(table, "FINETUNED", None)
    recipes = finetuning_recipes(
        *("lenet5", "digits", "folder:x", tmp_path),
        batch_size=8,
        head_epochs=2,
        epochs=5,
        rate_whole=0.125,
    )
    tags = {"sets": "search", "variant": "outlines"}
    for recipe, steps in zip(recipes, (15, 38), strict=True):
        folder = tmp_path / recipe.name
        folder.mkdir()
        content = dataclasses.replace(recipe, tags=tags).to_json()
        (folder / "recipe.json").write_text(json.dumps(content))
        result = {**RESULT, "tags": tags, "epochs": recipe.epochs, "steps": steps}
        (folder / "result.json").write_text(json.dumps(result))
    for _ in range(2):
        table.add_finetuned([tmp_path / "whole"])
    assert searched.path.read_text().splitlines()[1:] == [
        "outlines,lenet5,digits,kept,0,8,15,38,0.05,0.125,0.1,distortion,5,momentum,0.7500,0.7500"
    ]


# In a process of its own: programs define flags of the same names.
SET = """
import json, sys
from absl import flags
from keras_classics.cli._recipe_flags import with_set_fields
from keras_classics.training import finetuning_recipes
from keras_classics.training.finetune import STAGES
from reproduce.finetuning.__main__ import _command

flags.FLAGS(sys.argv)
recipes = finetuning_recipes(
    *("lenet5", "digits", "folder:x", "run"), batch_size=8, head_epochs=2, epochs=5
)
changed = [with_set_fields(recipe, STAGES) for recipe in recipes]
print(json.dumps([[(one.clip_norm, one.average) for one in changed], _command("shapes", 1)]))
"""


def test_set_changes_one_stage_and_the_command_says_so(run_program):
    done = run_program("-c", SET, "--set=whole.clip_norm=1", "--set=average=0.9")
    assert done.returncode == 0, done.stderr
    changed, command = json.loads(done.stdout)
    assert changed == [[5, 0.9], [1, 0.9]]
    assert command.endswith("--names=shapes --seeds=2 --set=whole.clip_norm=1 --set=average=0.9")
