"""The programs as people run them: what they print, write and exit with."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys

import pytest

from reproduce.harness.tables import rendered
from tests.helpers.folders import folder_of_images
from tests.helpers.programs import ROOT, assert_one_line
from tests.helpers.runs import RESULT

LENET5 = ("-m", "reproduce.lenet5_mnist")
TINY = ("--dataset=digits", "--limit_train=64", "--limit_test=32")

# A recipe whose second epoch has a rate that no network survives.
WILD = """
import dataclasses, os
os.environ["KERAS_CLASSICS_LAZY"] = "1"
from keras_classics.cli._terminal import prepare_terminal
prepare_terminal()
from keras_classics.cli._program import run
from keras_classics.training import recipes
from keras_classics.training.schedules import PiecewiseConstant
from reproduce.harness.run import run_recipe

wild = dataclasses.replace(recipes.LENET5_MODERN, schedule=PiecewiseConstant((0.01, 1e38), (1, 1)))
run(lambda: run_recipe("wild", {"wild": wild}))
"""


def test_a_run_from_data_to_export_and_again(run_program, tmp_path):
    command = (*LENET5, "--dataset=digits", "--smoke", "--export", f"--run_dir={tmp_path}")
    done = run_program(*command)
    assert done.returncode == 0, done.stderr
    assert "epoch   2/2" in done.stdout
    assert "lenet5 on digits, recipe modern, seed 0, 2 epochs" in done.stdout
    assert "0.95" not in done.stdout
    assert "\npaper   no figure for this run, which changes dataset, epochs, limit_t" in done.stdout
    assert done.stderr == ""
    manifest = json.loads((tmp_path / "export" / "manifest.json").read_text())
    assert set(manifest["exports"]) == {"saved_model", "model.tflite"}
    again = run_program(*command)
    assert again.returncode == 0
    assert f"{tmp_path} holds this run, finished." in again.stdout
    assert "epoch   2/2" not in again.stdout
    other = run_program(*command, "--seed=1")
    assert_one_line(other, 2, "holds a run of another recipe (seed: 0 there, 1 now)")


@pytest.mark.slow
def test_a_stored_recipe_is_run_again(run_program, tmp_path):
    one, again = tmp_path / "one", tmp_path / "again"
    fields = ("--set", "optimizer.momentum=0.95", "--set=augmentation=null", "--learning_rate=0.02")
    done = run_program(*LENET5, *TINY, "--epochs=1", *fields, f"--run_dir={one}")
    assert done.returncode == 0, done.stderr
    recipe = json.loads((one / "recipe.json").read_text())
    assert recipe["optimizer"]["momentum"] == 0.95
    assert recipe["schedule"] == {"kind": "Cosine", "rate": 0.02}
    done = run_program(*LENET5, f"--recipe={one / 'recipe.json'}", f"--run_dir={again}")
    assert done.returncode == 0, done.stderr
    assert (again / "recipe.json").read_bytes() == (one / "recipe.json").read_bytes()
    metrics = [json.loads((run / "result.json").read_text())["metrics"] for run in (one, again)]
    assert metrics[0] == metrics[1]


def test_a_mirrored_run(run_program, tmp_path):
    done = run_program(
        *LENET5,
        *TINY,
        "--epochs=1",
        "--strategy=mirrored",
        "--num_replicas=2",
        f"--run_dir={tmp_path}",
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["images"] == 32
    # The limits of TINY, in alphabetical order; auto is the default.
    assert result["environment"]["command"] == (
        "python -m reproduce.lenet5_mnist --dataset=digits --epochs=1 --limit_test=32 "
        f"--limit_train=64 --num_replicas=2 --run_dir={tmp_path} --strategy=mirrored"
    )
    assert result["environment"]["devices"] == ["CPU:0", "CPU:1"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--dataset=fashon_mnist"], "Unknown dataset 'fashon_mnist'. Did you mean fashion_mnist"),
        (["--recipe=papr"], "Unknown recipe 'papr'. Did you mean paper?"),
        (["--epochs=-1"], "flag --epochs=-1"),
        (["--set=optimizer.momentun=1"], "Unknown field 'optimizer.momentun'. Did you mean optim"),
        (["--set=schedule.rate"], "--set takes FIELD=VALUE, such as schedule.rate=0.005. Received"),
        (["--recipe=none.json"], "none.json cannot be read: No such file or directory."),
        (["--recipe=paper", "--learning_rate=1"], "--learning_rate needs a schedule with one rate"),
        (["--epoch=1"], "Unknown command line flag 'epoch'"),
        (["digits"], "Takes no arguments besides flags, --NAME=VALUE. Received: digits."),
        (["--strategy=miror"], "Unknown strategy 'miror'. Did you mean mirrored?"),
        ([*TINY, "--batch_size=65"], "batch_size must be at most the 64 training images"),
    ],
)
def test_wrong_flags(run_program, tmp_path, flags, message):
    done = run_program(*LENET5, f"--run_dir={tmp_path / 'run'}", *flags)
    assert_one_line(done, 2, message)
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_folder_with_an_empty_class(run_program, tmp_path):
    root = folder_of_images(tmp_path / "images")
    (root / "train" / "empty").mkdir()
    done = run_program(*LENET5, f"--dataset=folder:{root}", f"--run_dir={tmp_path / 'run'}")
    assert_one_line(done, 2, "train/empty holds none")


@pytest.mark.slow
def test_a_folder_of_images(run_program, tmp_path):
    root = folder_of_images(tmp_path / "images")
    done = run_program(
        *LENET5,
        f"--dataset=folder:{root}",
        f"--run_dir={tmp_path / 'run'}",
        "--batch_size=2",
        "--epochs=2",
        "--export",
    )
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "run" / "export" / "manifest.json").read_text())
    assert manifest["output"]["labels"] == ["cat", "dog"]


def test_a_run_directory_in_use(run_program, tmp_path):
    with open(tmp_path / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run_program(*LENET5, *TINY, f"--run_dir={tmp_path}")
    assert_one_line(done, 2, "in use by another process")


def test_a_loss_that_is_not_finite(run_program, tmp_path):
    done = run_program("-c", WILD, *TINY, f"--run_dir={tmp_path}", "--epochs=2")
    assert_one_line(done, 3, "The training loss is no longer finite in epoch 2")
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step_000000002.npz"]


@pytest.mark.slow  # In one process, `tests/training/test_interrupts.py` does it.
def test_sigterm_saves_and_the_same_command_goes_on(run_program, tmp_path):
    command = (*LENET5, *TINY, "--epochs=60", f"--run_dir={tmp_path}")
    # Without it Python keeps what goes into a pipe to itself, and the first epoch is seen late.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline().startswith("epoch   1/60")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate()
    assert process.returncode == 143
    assert errors.startswith("Stopped by SIGTERM; ")
    assert errors.rstrip().endswith("/checkpoints.")
    done = run_program(*command)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^Resumes from .*/step_\d+.npz: \d+ of 60 epochs are finished", done.stderr)
    assert "epoch   1/60" not in done.stdout
    assert "epoch  60/60" in done.stdout


def test_tables_are_what_the_rows_say(run_program):
    done = run_program("-m", "reproduce.report", "--check")
    assert done.returncode == 0, done.stderr


def test_a_run_that_no_table_is_for_gives_no_row(run_program, tmp_path):
    done = run_program("-m", "reproduce.report", f"--add={tmp_path}")
    assert_one_line(done, 2, "holds no finished run")
    (tmp_path / "result.json").write_text(json.dumps({**RESULT, "recipe": "whole"}))
    done = run_program("-m", "reproduce.report", f"--add={tmp_path}")
    assert_one_line(done, 2, "lenet5 on digits, recipe whole. Leave it out")


@pytest.mark.slow
def test_the_zoo_table_is_up_to_date(run_program):
    done = run_program("-m", "reproduce.report", "--check", "--zoo")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "what", ["loop", "towers", "build", "export", pytest.param("train", marks=pytest.mark.torch)]
)
def test_this_side_is_faster(run_program, what):
    done = run_program("-m", "reproduce.benchmark", f"--what={what}", "--turns=3")
    assert done.returncode == 0, done.stderr
    first, *_ = done.stdout.splitlines()
    assert float(first.split()[-1]) > 1


def test_tables_take_their_places_and_leave_the_rest():
    one = "<!-- table: one -->\nold\n<!-- end -->"
    two = "<!-- table: two -->{}\n<!-- end -->"
    text = f"a\n{one}\nb\n{two}\nc\n"
    once = rendered(text.format(""), {"two": "| new |"})
    assert once == text.format("\n| new |")
    assert rendered(once, {"two": "| new |"}) == once
    assert "old" not in rendered(once, {"one": ""})


def test_unknown_benchmark(run_program):
    done = run_program("-m", "reproduce.benchmark", "--what=loops")
    assert_one_line(done, 2, "Unknown benchmark 'loops'. Did you mean loop?")
