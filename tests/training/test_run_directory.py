"""The run directory: one recipe, one process at a time."""

import dataclasses
import json
import shutil
import subprocess
import sys
import zipfile

import pytest

from keras_classics.errors import UserError
from keras_classics.training import load_run, read_result, result, train
from keras_classics.training.recipe import LATER, recipe_digest
from keras_classics.training.run_directory import RunDirectory, is_run, run_folder
from reproduce.harness.result_table import finished_runs
from tests.helpers.runs import MODERN


def test_a_run_directory_of_another_recipe(finished):
    run_dir, _ = finished
    with pytest.raises(UserError, match=r"another recipe \(batch_size: 12 there, 24 now; seed: 0"):
        train(dataclasses.replace(MODERN, batch_size=24, seed=5), run_dir)


def test_a_run_that_could_not_begin_leaves_the_directory_to_the_next(tmp_path, few_digits):
    with pytest.raises(UserError, match="batch_size"):
        train(dataclasses.replace(MODERN, batch_size=97), tmp_path, data=few_digits)
    train(dataclasses.replace(MODERN, epochs=1), tmp_path, data=few_digits)
    assert (tmp_path / "result.json").exists()


# Locks a run directory, says so, and waits.
HOLDER = """
import sys, time
from filelock import FileLock

with FileLock(sys.argv[1]):
    print("locked", flush=True)
    time.sleep(600)
"""


def test_a_run_directory_in_use_until_its_process_is_killed(tmp_path, few_digits):
    command = [sys.executable, "-c", HOLDER, str(tmp_path / ".lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "locked\n"
            with pytest.raises(UserError, match="in use by another process"):
                train(MODERN, tmp_path, data=few_digits)
        finally:
            holder.kill()
    with RunDirectory(tmp_path).claimed(MODERN):
        pass


def test_a_run_directory_in_use_by_another_run_of_the_same_process(tmp_path, few_digits):
    with (
        RunDirectory(tmp_path).claimed(MODERN),
        pytest.raises(UserError, match="in use by another process"),
    ):
        train(MODERN, tmp_path, data=few_digits)


def test_a_run_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be a run directory: Not a directory"):
        train(MODERN, tmp_path / "file" / "run")


def test_a_fine_tuning_counts_as_its_last_stage(finished, tmp_path):
    run_dir, of_finished = finished
    folder = tmp_path / "tuned"
    assert not is_run(folder)
    shutil.copytree(run_dir, folder / "head")
    assert is_run(folder)
    with pytest.raises(
        UserError, match=r"tuned holds no finished run: .*whole/result.json. Repeat"
    ):
        load_run(folder)
    with pytest.raises(UserError, match="tuned holds no finished run"):
        finished_runs(folder)
    whole = shutil.copytree(run_dir, folder / "whole")
    assert run_folder(folder) == run_folder(whole) == whole
    assert load_run(folder).path == whole
    assert load_run(folder).result == of_finished
    assert finished_runs(folder) == [whole]
    one = shutil.copytree(run_dir, tmp_path / "one")
    assert finished_runs(tmp_path) == [one, whole]


OTHER = dataclasses.replace(MODERN, seed=5)


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of a finished run."""
    return shutil.copytree(finished[0], tmp_path / "run")


def test_a_run_without_its_recipe_answers_for_none(copied, few_digits):
    (copied / "recipe.json").unlink()
    for recipe in (MODERN, OTHER):
        with pytest.raises(UserError, match=r"recipe.json is missing, and it alone says which run"):
            train(recipe, copied, data=few_digits)
    with pytest.raises(UserError, match=r"recipe.json cannot be read: No such file"):
        load_run(copied)
    # Checkpoints belong to a run too.
    for name in ("result.json", "model.keras", "final.weights.h5"):
        (copied / name).unlink()
    with pytest.raises(UserError, match=r"is missing, and it alone says .*step_0000000\d\d.npz"):
        train(OTHER, copied, data=few_digits)


def test_a_recipe_that_was_swapped_gets_no_result_of_another(copied, few_digits):
    (copied / "recipe.json").write_text(json.dumps(OTHER.to_json()))
    with pytest.raises(UserError, match=r"result.json is the result of another recipe"):
        train(OTHER, copied, data=few_digits)
    with pytest.raises(UserError, match=r"result.json is the result of another recipe"):
        load_run(copied)
    # Results of before there were digests are compared with what they say themselves.
    content = json.loads((copied / "result.json").read_text())
    del content["recipe_digest"]
    (copied / "result.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"result.json is the result of another recipe"):
        train(OTHER, copied, data=few_digits)
    (copied / "recipe.json").write_text(json.dumps(MODERN.to_json()))
    assert train(MODERN, copied, data=few_digits) == content
    # Nor the checkpoints.
    (copied / "recipe.json").write_text(json.dumps(OTHER.to_json()))
    (copied / "result.json").unlink()
    with pytest.raises(UserError, match=r"24.npz cannot be read \(it belongs to another recipe\)"):
        train(OTHER, copied, data=few_digits)


SHORT = dataclasses.replace(MODERN, epochs=2, limit_train=24)


def test_a_run_from_before_recipes_had_a_field_is_the_same_run(copied, few_digits):
    recipe = MODERN
    content = json.loads((copied / "recipe.json").read_text())
    older = {name: value for name, value in content.items() if name not in LATER}
    assert len(older) == len(content) - len(LATER)
    (copied / "recipe.json").write_text(json.dumps(older))
    assert recipe_digest(older) == recipe.digest
    result = train(recipe, copied, data=few_digits)
    assert result["recipe_digest"] == recipe.digest
    changed = dataclasses.replace(recipe, sampling="balanced")
    assert changed.digest != recipe.digest
    with pytest.raises(UserError, match=r"recipe \(sampling: 'shuffle' there, 'balanced' now"):
        train(changed, copied, data=few_digits)


@pytest.mark.parametrize("what", ["folder", "another"])
def test_a_run_whose_directory_is_deleted_ends(tmp_path, few_digits, what):
    run_dir = tmp_path / "run"

    def delete(progress, plan):
        if what == "another":
            (run_dir / "recipe.json").write_text(json.dumps(OTHER.to_json()))
        else:
            shutil.rmtree(run_dir)

    with pytest.raises(UserError, match="during the run, which ends here") as raised:
        train(SHORT, run_dir, data=few_digits, on_progress=delete)
    assert "\n" not in str(raised.value)
    assert not (run_dir / "checkpoints").exists()
    assert run_dir.exists() == (what != "folder")


def test_what_stands_in_the_place_of_a_file_is_told(tmp_path, few_digits):
    (tmp_path / "environment.json").mkdir()
    with pytest.raises(UserError, match=r"environment.json cannot be written or read: Is a direct"):
        train(SHORT, tmp_path, data=few_digits)
    (tmp_path / "environment.json").rmdir()
    (tmp_path / "events").write_text("")
    with pytest.raises(UserError, match=r"events cannot be written: "):
        train(SHORT, tmp_path, data=few_digits)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrics": {}}, "metrics.test_accuracy is missing"),
        ({"seed": "0"}, "seed must be a whole number. Received: '0'"),
        ({"class_names": [1]}, "class_names[0] must be a string. Received: 1"),
        ({"environment": {}}, "environment.versions is missing"),
        ({"paper": {"value": 1}}, "paper.metric is missing"),
        ({"images": 10**30}, "images must be a whole number"),
        ({"seconds": float("nan")}, "seconds must be a finite number"),
    ],
)
def test_a_result_with_a_fault(finished, tmp_path, change, message):
    path = tmp_path / "result.json"
    path.write_text(json.dumps({**finished[1], **change}))
    with pytest.raises(UserError) as raised:
        read_result(path)
    assert str(raised.value).startswith(f"{path} does not hold the result of a run: {message}")


def test_a_network_that_unpacks_to_much_more_is_refused(copied, monkeypatch):
    monkeypatch.setattr(result, "UNPACKED_BYTES", 1000)
    with zipfile.ZipFile(copied / "model.keras", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("assets/zeros", bytes(100_000))
    with pytest.raises(UserError, match="that Keras can load: it must unpack to at most"):
        load_run(copied)


def test_a_network_of_other_classes_is_not_that_of_the_run(copied):
    content = json.loads((copied / "result.json").read_text())
    content["class_names"].append("eleven")
    (copied / "result.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="an output for each of the 11 classes"):
        load_run(copied)
