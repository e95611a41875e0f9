"""The run directory: one recipe, one process at a time."""

import dataclasses
import subprocess
import sys

import pytest

from keras_classics.errors import UserError
from keras_classics.training import train
from keras_classics.training.run_directory import RunDirectory
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
