"""The training loop: what it writes, and that nothing is lost however it ends."""

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_classics.data import plan
from keras_classics.errors import NonFiniteLossError, StoppedError, UserError
from keras_classics.models import get_model
from keras_classics.training import Recipe, loop, recipes, train
from keras_classics.training.run_directory import HISTORY_COLUMNS, RunDirectory
from keras_classics.training.schedules import PiecewiseConstant
from tests.helpers.replicas import mirrored
from tests.helpers.runs import MODERN, assert_same_bits, final_weights, history

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


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "run"
    return run_dir, train(MODERN, run_dir)


def test_a_run_directory_holds_what_the_contract_says(finished):
    run_dir, result = finished
    names = {str(path.relative_to(run_dir)) for path in run_dir.rglob("*") if path.is_file()}
    assert {
        "recipe.json",
        "environment.json",
        "history.csv",
        "final.weights.h5",
        "model.keras",
        "result.json",
        "plots/curves.png",
        "plots/confusion.png",
        "plots/mistakes.png",
    } <= names
    assert len([name for name in names if name.startswith("checkpoints/")]) == 2
    assert any(name.startswith("events/events.out.tfevents") for name in names)
    assert not any(".aside-" in name for name in names)
    assert json.loads((run_dir / "result.json").read_text()) == result


def test_result(finished):
    _run_dir, result = finished
    assert result["images"] == 40
    assert result["train_images"] == 96
    assert result["steps"] == 3 * 8
    assert result["parameters"] == 61_706
    assert result["paper"]["value"] == 0.0095
    assert result["metrics"]["test_error"] == 1 - result["metrics"]["test_accuracy"]
    assert result["environment"]["versions"]["keras"] == keras.__version__
    assert result["protocol"] == "single view, whole test split, after the last epoch"


def test_history(finished):
    run_dir, result = finished
    rows = history(run_dir)
    assert list(rows[0]) == list(HISTORY_COLUMNS)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [row["step"] for row in rows] == [8, 16, 24]
    assert rows[-1]["test_accuracy"] == result["metrics"]["test_accuracy"]
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]


def test_saved_model_is_the_trained_one(finished, digits):
    run_dir, result = finished
    model = keras.models.load_model(run_dir / "model.keras")
    test = digits.limited(96, 40).test
    images = MODERN.make_preprocessing()(tf.constant(test.images))
    accuracy = np.mean(model(images).numpy().argmax(axis=1) == test.labels)
    assert accuracy == pytest.approx(result["metrics"]["test_accuracy"])


def test_events_hold_each_epoch(finished):
    run_dir, result = finished
    values = {}
    for path in (run_dir / "events").iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                values[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    assert values["test_accuracy", 3] == pytest.approx(result["metrics"]["test_accuracy"])
    assert {step for _, step in values} == {1, 2, 3}


def test_a_finished_run_is_not_done_again(finished):
    run_dir, result = finished
    before = {p: p.stat().st_mtime_ns for p in run_dir.rglob("*.h5")}
    assert train(MODERN, run_dir) == result
    assert before == {p: p.stat().st_mtime_ns for p in run_dir.rglob("*.h5")}


def test_the_first_loss_is_that_of_the_initial_network(digits, monkeypatch, tmp_path):
    # One batch with all images, rate 0: loss and accuracy can be computed without the loop.
    recipe = dataclasses.replace(
        MODERN, batch_size=96, epochs=1, schedule=PiecewiseConstant((0.0,), (1,)), limit_test=None
    )
    train(recipe, tmp_path)
    keras.utils.set_random_seed(recipe.seed)
    model = get_model("lenet5")
    train_split = digits.train.limited(96)
    probabilities = model(recipe.make_preprocessing()(tf.constant(train_split.images))).numpy()
    losses = -np.log(probabilities[np.arange(96), train_split.labels])
    row = history(tmp_path)[0]
    assert row["train_loss"] == pytest.approx(losses.mean(), rel=1e-5)
    hits = probabilities.argmax(axis=1) == train_split.labels
    assert row["train_accuracy"] == pytest.approx(hits.mean())
    assert row["learning_rate"] == 0


def random_kills(seed: int) -> list[tuple[int, bool]]:
    draw = np.random.default_rng(seed)
    return [(int(draw.integers(2, 4)), bool(draw.integers(2))) for _ in range(10)]


@pytest.mark.parametrize(
    ("name", "kills"),
    [
        # 9 blocks in the whole run of `modern` (3 epochs of 8 steps), 16 of `paper` (2 of 24).
        ("modern", [(1, False), (2, True), (3, False)]),
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("block", [1, 4])
def test_a_signal_saves_and_the_run_goes_on_to_the_same_bits(
    tmp_path, monkeypatch, few_digits, set_handler, number, block
):
    set_handler(number, signal.SIG_DFL)
    monkeypatch.setattr(plan, "BLOCK_STEPS", 3)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(MODERN, whole, data=few_digits)
    blocks = []

    def watch(progress, plan):
        blocks.append(progress)
        if len(blocks) == block:
            os.kill(os.getpid(), number)

    with pytest.raises(StoppedError, match=r"step \d+ is saved in .*/checkpoints") as stopped:
        train(MODERN, cut, data=few_digits, on_progress=watch)
    assert stopped.value.signum == number
    assert len(blocks) == block
    train(MODERN, cut, data=few_digits)
    assert_same_bits(whole, cut)
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


# In a process of its own for each number of replicas: TensorFlow keeps the group of replicas that
# a process has summed gradients over.
MIRRORED = """
import sys
from keras_classics.training import make_strategy, train
from tests.helpers.runs import MODERN

train(MODERN, sys.argv[1], make_strategy("mirrored", int(sys.argv[2])))
"""


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [2, 3])
def test_replicas_equal_one_device_at_the_same_global_batch(
    run_program, tmp_path, finished, replicas
):
    done = run_program("-c", MIRRORED, str(tmp_path), str(replicas))
    assert done.returncode == 0, done.stderr
    run_dir, _ = finished
    one, many = final_weights(run_dir), final_weights(tmp_path)
    for name in one:
        np.testing.assert_allclose(many[name], one[name], atol=1e-5, err_msg=name)
    for row, other in zip(history(run_dir), history(tmp_path), strict=True):
        assert other["train_loss"] == pytest.approx(row["train_loss"], rel=1e-5)
        assert other["test_loss"] == pytest.approx(row["test_loss"], rel=1e-5)


def test_bfloat16_trains_like_float32(tmp_path, few_digits, finished):
    result = train(
        dataclasses.replace(MODERN, dtype_policy="mixed_bfloat16"), tmp_path, data=few_digits
    )
    _, in_float32 = finished
    loss = in_float32["metrics"]["train_loss"]
    assert result["metrics"]["train_loss"] == pytest.approx(loss, rel=0.05)


def test_a_loss_that_is_not_finite_ends_the_run_and_leaves_the_last_checkpoint(
    tmp_path, few_digits
):
    recipe = dataclasses.replace(MODERN, schedule=PiecewiseConstant((0.01, 1e38), (1, 1)))
    with pytest.raises(NonFiniteLossError, match="no longer finite in epoch 2"):
        train(recipe, tmp_path, data=few_digits)
    (checkpoint,) = (tmp_path / "checkpoints").iterdir()
    assert checkpoint.name == "step_000000008.npz"
    with np.load(checkpoint) as content:
        arrays = [content[name] for name in content.files if name != "progress"]
    assert all(np.isfinite(array).all() for array in arrays)
    assert not (tmp_path / "result.json").exists()


@dataclasses.dataclass(frozen=True)
class WildLastStep:
    """A rate that no network survives, in the last step of the second pass."""

    def __call__(self, info):
        return float("inf") if info.epoch == 2 - 1 / 8 else 0.01


def test_a_network_lost_in_the_last_step_of_an_epoch_is_not_saved(tmp_path, few_digits):
    recipe = dataclasses.replace(MODERN, schedule=WildLastStep())
    with pytest.raises(NonFiniteLossError, match="test loss is no longer finite after epoch 2"):
        train(recipe, tmp_path, data=few_digits)
    (checkpoint,) = (tmp_path / "checkpoints").iterdir()
    assert checkpoint.name == "step_000000008.npz"


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


def test_a_run_that_is_out_of_time_stops_and_goes_on(tmp_path, few_digits, finished):
    with pytest.raises(StoppedError, match="Stopped before the end; step 8 is saved") as stopped:
        train(MODERN, tmp_path, data=few_digits, options=loop.RunOptions(max_minutes=0))
    assert stopped.value.status == 75
    train(MODERN, tmp_path, data=few_digits)
    assert_same_bits(finished[0], tmp_path)


def test_a_run_may_end_in_the_midst_of_a_pass(tmp_path, few_digits):
    recipe = dataclasses.replace(MODERN, epochs=None, steps=11)
    result = train(recipe, tmp_path, data=few_digits)
    assert result["steps"] == 11
    assert result["epochs"] == 2
    assert [row["step"] for row in history(tmp_path)] == [8, 11]
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["step_000000008.npz", "step_000000011.npz"]


GUESSING = dataclasses.replace(
    MODERN,
    model="vgg9",
    model_arguments={
        "filters": (2, 2, 2, 2),
        "hidden": (4,),
        "kernel_initializer": "zeros",
    },
    preprocessing_arguments={"channels": 3},
    schedule=PiecewiseConstant((0.0,), (1,)),
)


def test_a_network_that_only_guesses_is_told_of_once(tmp_path, few_digits, monkeypatch, caplog):
    monkeypatch.setattr(loop, "STUCK_STEPS", 9)
    monkeypatch.setattr(plan, "BLOCK_STEPS", 2)
    train(GUESSING, tmp_path, data=few_digits)
    (message,) = [r.getMessage() for r in caplog.records if "guesses" in r.getMessage()]
    assert message.startswith("The loss has stayed at ln(classes), 2.303, for 10 steps")


def test_it_is_told_of_after_500_steps(tmp_path, few_digits, monkeypatch, caplog):
    monkeypatch.setattr(plan, "BLOCK_STEPS", 1)
    recipe = dataclasses.replace(GUESSING, epochs=None, steps=502, batch_size=1)
    train(recipe, tmp_path, data=few_digits)
    (message,) = [r.getMessage() for r in caplog.records if "guesses" in r.getMessage()]
    assert message.startswith("The loss has stayed at ln(classes), 2.303, for 500 steps")


def test_one_that_learns_is_not(finished, tmp_path, few_digits, monkeypatch, caplog):
    monkeypatch.setattr(loop, "STUCK_STEPS", 9)
    train(MODERN, tmp_path, data=few_digits)
    assert "guesses" not in caplog.text


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1. Received: 0"),
        ({"limit_test": -4}, "limit_test must be at least 1. Received: -4"),
        ({"loss": "cros_entropy"}, "Unknown loss 'cros_entropy'. Did you mean cross_entropy"),
        ({"preprocessing": "canvass"}, "Unknown preprocessing 'canvass'. Did you mean canvas"),
        ({"dtype_policy": "float61"}, "Unknown dtype_policy"),
    ],
)
def test_recipes_that_are_not_right(changes, message):
    with pytest.raises(UserError, match=message):
        dataclasses.replace(MODERN, **changes)


def test_batches_that_do_not_fit(tmp_path, few_digits):
    with pytest.raises(UserError, match="a multiple of the 2 replicas. Received: 3"):
        train(
            dataclasses.replace(MODERN, batch_size=3), tmp_path / "a", mirrored(2), data=few_digits
        )
    with pytest.raises(UserError, match="at most the 96 training images. Received: 97"):
        train(dataclasses.replace(MODERN, batch_size=97), tmp_path / "b", data=few_digits)


def test_recipe_as_json():
    content = json.loads(json.dumps(recipes.LENET5_PAPER.to_json()))
    fields = {field.name for field in dataclasses.fields(Recipe)}
    assert content.keys() == fields
    assert content["optimizer"]["kind"] == "LevenbergMarquardt"
    assert content["schedule"]["epochs"] == [2, 3, 3, 4, 8]
    assert set(content["sources"]) <= fields
