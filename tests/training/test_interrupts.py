"""Runs that are killed, stopped or out of disk space: nothing is lost, and they resume."""

import dataclasses
import os
import re
import shutil
import signal
import subprocess

import numpy as np
import pytest

from keras_classics.data import plan
from keras_classics.errors import StoppedError, UserError
from keras_classics.training import loop, train
from tests.helpers.runs import MODERN, assert_same_bits, history

# Trains in small blocks with a checkpoint after each, and ends by SIGKILL: at the block number
# KILL_AT, or in the middle of writing the checkpoint after it.
VICTIM = """
import json, os, signal, sys
import numpy as np
from keras_classics import files
from keras_classics.data import plan
from keras_classics.training import loop, train
from tests.helpers.runs import VICTIMS

plan.BLOCK_STEPS = 3
recipe = VICTIMS[sys.argv[1]]
run_dir, kill_at, in_checkpoint = sys.argv[2], int(sys.argv[3]), sys.argv[4] == "True"
blocks = 0

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def watch(progress, plan):
    global blocks
    blocks += 1
    if blocks == kill_at:
        if in_checkpoint:
            files.os.replace = die
        else:
            die()

train(recipe, run_dir, on_progress=watch, options=loop.RunOptions(checkpoint_steps=1))
"""


def random_kills(seed: int) -> list[tuple[int, bool]]:
    draw = np.random.default_rng(seed)
    return [(int(draw.integers(2, 4)), bool(draw.integers(2))) for _ in range(10)]


@pytest.mark.parametrize(
    ("name", "kills"),
    [
        # 9 blocks in the whole run of `modern` (3 epochs of 8 steps), 16 of `paper` (2 of 24).
        ("modern", [(1, False), (3, True)]),
        pytest.param("paper", [(3, True), (6, False)], marks=pytest.mark.slow),
        # Ten each, at random: of the 24 blocks of the run 1 or 2 go by between two.
        pytest.param("resnet20", random_kills(0), marks=pytest.mark.slow),
        pytest.param("vgg16_mini", random_kills(1), marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_goes_on_to_the_same_bits(run_program, tmp_path, name, kills):
    whole = tmp_path / "whole"
    assert run_program("-c", VICTIM, name, str(whole), "-1", "False").returncode == 0
    cut = tmp_path / "cut"
    for kill_at, in_checkpoint in kills:
        victim = run_program("-c", VICTIM, name, str(cut), str(kill_at), str(in_checkpoint))
        assert victim.returncode == -signal.SIGKILL, victim.stderr
        assert not (cut / "result.json").exists()
    last = run_program("-c", VICTIM, name, str(cut), "-1", "False")
    assert last.returncode == 0, last.stderr
    assert_same_bits(whole, cut)
    measured = ("images_per_second", "seconds")
    for one, two in zip(history(whole), history(cut), strict=True):
        assert {k: v for k, v in one.items() if k not in measured} == {
            k: v for k, v in two.items() if k not in measured
        }


@pytest.fixture
def set_handler():
    """Sets a signal's handler for one test; the tests may run where SIGINT is ignored."""
    before = {}

    def set_(number, handler):
        before[number] = signal.signal(number, handler)

    yield set_
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def in_small_blocks(few_digits, tmp_path_factory):
    """A whole run in blocks of three steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "BLOCK_STEPS", 3)
        run_dir = tmp_path_factory.mktemp("whole")
        train(MODERN, run_dir, data=few_digits)
    return run_dir


@pytest.mark.parametrize(("number", "block"), [(signal.SIGTERM, 1), (signal.SIGINT, 4)])
def test_a_signal_saves_and_the_run_goes_on_to_the_same_bits(
    tmp_path, monkeypatch, few_digits, in_small_blocks, set_handler, number, block
):
    set_handler(number, signal.SIG_DFL)
    monkeypatch.setattr(plan, "BLOCK_STEPS", 3)
    blocks = []

    def watch(progress, plan):
        blocks.append(progress)
        if len(blocks) == block:
            os.kill(os.getpid(), number)

    with pytest.raises(StoppedError, match=r"step \d+ is saved in .*/checkpoints") as stopped:
        train(MODERN, tmp_path, data=few_digits, on_progress=watch)
    assert stopped.value.signum == number
    assert len(blocks) == block
    train(MODERN, tmp_path, data=few_digits)
    assert_same_bits(in_small_blocks, tmp_path)
    assert signal.getsignal(number) == signal.SIG_DFL


def test_an_ignored_signal_stays_ignored(tmp_path, few_digits, set_handler):
    set_handler(signal.SIGINT, signal.SIG_IGN)
    train(
        dataclasses.replace(MODERN, epochs=1),
        tmp_path,
        data=few_digits,
        on_progress=lambda *_: os.kill(os.getpid(), signal.SIGINT),
    )
    assert (tmp_path / "result.json").exists()


@pytest.mark.slow
def test_an_unreadable_checkpoint_is_passed_over(tmp_path, few_digits, finished, caplog):
    def stop(progress, plan):
        if progress.epoch == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedError):
        train(dataclasses.replace(MODERN, epochs=3), tmp_path, data=few_digits, on_progress=stop)
    newest = max((tmp_path / "checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:1000])
    train(MODERN, tmp_path, data=few_digits)
    assert re.search(rf"{newest.name} cannot be read", caplog.text)
    assert_same_bits(finished[0], tmp_path)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1.5 MiB; a checkpoint of LeNet-5 takes half of one."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=1536k", "tmpfs", str(tmp_path)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_full_disk_leaves_the_last_checkpoint(small_disk, tmp_path_factory, few_digits, finished):
    run_dir = small_disk / "run"
    with pytest.raises(UserError, match=f"No space is left for {run_dir}. Its last checkpoint"):
        train(MODERN, run_dir, data=few_digits)
    kept = sorted(path.name for path in (run_dir / "checkpoints").iterdir())
    assert kept
    assert all(name.startswith("step_") for name in kept)
    roomy = tmp_path_factory.mktemp("roomy") / "run"
    shutil.copytree(run_dir, roomy)
    train(MODERN, roomy, data=few_digits)
    assert_same_bits(finished[0], roomy)


def test_a_run_that_is_out_of_time_stops_and_goes_on(tmp_path, few_digits, finished, caplog):
    with pytest.raises(StoppedError, match="Stopped before the end; step 8 is saved") as stopped:
        train(MODERN, tmp_path, data=few_digits, options=loop.RunOptions(max_minutes=0))
    assert stopped.value.status == 75
    with caplog.at_level("INFO", "keras_classics"):
        train(MODERN, tmp_path, data=few_digits)
    checkpoint = tmp_path / "checkpoints" / "step_000000008.npz"
    assert f"Resumes from {checkpoint}: 1 of 3 epochs are finished, and step 8 of 24." in (
        caplog.messages
    )
    assert_same_bits(finished[0], tmp_path)


class CutError(Exception):
    """Ends a run like a power cut: before the checkpoint of the block is written."""


def test_carried_images_come_again_after_an_interruption(tmp_path, few_digits, monkeypatch):
    # 96 images in batches of 20: the fifth batch holds images of two epochs.
    recipe = dataclasses.replace(MODERN, batch_size=20, last_batch="carry")
    monkeypatch.setattr(plan, "BLOCK_STEPS", 2)
    train(recipe, tmp_path / "whole", data=few_digits)
    assert [row["step"] for row in history(tmp_path / "whole")] == [5, 10, 15]

    def cut(progress, plan):
        if (progress.epoch, progress.block) == (1, 2):
            raise CutError

    options = loop.RunOptions(checkpoint_steps=1)
    with pytest.raises(CutError):
        train(recipe, tmp_path / "cut", data=few_digits, on_progress=cut, options=options)
    train(recipe, tmp_path / "cut", data=few_digits)
    assert_same_bits(tmp_path / "whole", tmp_path / "cut")
