"""What runs on a GPU without TensorFlow: rows, tables, and the programs on the CPU."""

import csv
import dataclasses
import json
import os

import pytest

import keras_classics as kc
from reproduce.report import gpu_tables
from tests.helpers.programs import assert_one_line

VERSIONS = {"python": "3", "keras": "3.15", "jax": "0.11", "torch": "2.11", "commit": "c" * 40}


def speed_row(side, rate, network="resnet50", precision="bfloat16"):
    rates = {"images_per_second": rate, "lowest": 0.9 * rate, "highest": 1.1 * rate}
    row = {"network": network, "work": "train", "precision": precision, "side": side, "batch": 64}
    row |= rates | {"turns": 7, "steps": 9, "device": "a GPU", "command": "c"} | VERSIONS
    return {name: str(value) for name, value in row.items()}


def test_speed_is_compared_with_the_better_of_torch():
    rows = [
        speed_row("keras_jax", 3000),
        speed_row("torch", 1500),
        speed_row("torch_compile", 2000),
    ]
    lines = gpu_tables.speed_table(rows).splitlines()
    assert len(lines) == 2 + 16
    assert lines[5] == (
        "| `resnet50` | training | bfloat16 | 64 | 3,000 (2,700-3,300) | 1,500 (1,350-1,650) "
        "| 2,000 (1,800-2,200) | 1.50 |"
    )
    assert lines[2].endswith("| not run | not run | not run | - |")
    assert gpu_tables.speed_machine(rows) == (
        "*a GPU; Keras 3.15; JAX 0.11; torch 2.11; commit cccccccc. Medians of 7 turns, lowest and "
        "highest in brackets.*"
    )
    assert gpu_tables.speed_machine([]) == "not run"


def test_a_side_alone_has_no_ratio():
    table = gpu_tables.speed_table([speed_row("keras_jax", 3000)])
    assert "| 3,000 (2,700-3,300) | not run | not run | - |" in table


@pytest.fixture
def tables(monkeypatch, tmp_path):
    """The tables of rows, as files of the test's own."""
    for name in ("SPEED", "FULL_LENGTH", "FULL_LENGTH_HISTORY"):
        table = getattr(gpu_tables, name)
        own = dataclasses.replace(table, path=tmp_path / table.path.name)
        monkeypatch.setattr(gpu_tables, name, own)
    return gpu_tables


def write_run(folder, model, steps, train_error):
    """A run as `reproduce.full_length` leaves it."""
    folder.mkdir(parents=True)
    result = dict.fromkeys(gpu_tables.FULL_LENGTH_COLUMNS, 1) | {
        "model": model,
        "seed": 0,
        "steps": steps,
        "recipe_steps": 64000,
        "test_error": 0.05,
        "train_error": train_error,
        "running_train_error": 0.02,
        "seconds": 90,
        "dtype_policy": "float32",
        "environment": {"device": "a GPU", **VERSIONS, "versions": VERSIONS},
    }
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "state.npz").touch()
    history = {"seconds": 1} | dict.fromkeys(gpu_tables.HISTORY_COLUMNS[3:], 0.123456789)
    with open(folder / "history.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, history)
        writer.writeheader()
        writer.writerows([{**history, "step": float(step)} for step in range(500, steps + 1, 500)])


def test_rows_of_full_length(tables, tmp_path, drawn):
    write_run(tmp_path / "runs" / "resnet56_seed0", "resnet56", 1000, None)
    write_run(tmp_path / "runs" / "plain20_seed0", "plain20", 64000, 0.01)
    assert len(tables.full_length_runs(tmp_path / "runs")) == 2
    for _ in range(2):
        tables.add_full_length(tmp_path / "runs")
    rows, history = tables.FULL_LENGTH.read(), tables.FULL_LENGTH_HISTORY.read()
    assert [row["model"] for row in rows] == ["plain20", "resnet56"]
    assert len(history) == 128 + 2
    assert history[0]["test_error"] == "0.123457"
    lines = tables.full_length_table(rows).splitlines()
    assert lines[2] == "| `plain20` | 64,000 | 2.00 | 1.00 | 5.00 | - | 1 | 1.5 |"
    assert lines[3] == "| `plain56` | 64,000 | not run | not run | not run | - | - | - |"
    assert lines[5] == "| `resnet56` | 1,000 of 64,000 | 2.00 | not run | 5.00 | 6.97 | 1 | 1.5 |"
    assert tables.full_length_machine(rows) == (
        "*a GPU; Keras 3.15, JAX 0.11, float32; commits cccccccc.*"
    )
    tables.draw_full_length(history, tmp_path / "figure.png")
    assert [ax.get_title() for ax in drawn[-1].axes] == ["plain", "residual"]
    # A run that goes on replaces its row and its history.
    write_run(tmp_path / "more" / "resnet56_seed0", "resnet56", 2000, None)
    tables.add_full_length(tmp_path / "more")
    assert [row["steps"] for row in tables.FULL_LENGTH.read()] == ["64000", "2000"]
    assert len(tables.FULL_LENGTH_HISTORY.read()) == 128 + 4


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--networks=resnet57", "Unknown network 'resnet57'. Did you mean resnet56"),
        ("--seeds=a", "--seeds must be whole numbers. Received: a."),
        ("--networks=", "--networks and --seeds must name at least one each."),
    ],
)
def test_wrong_flags_of_full_length(run_program, flag, message):
    assert_one_line(run_program("-m", "reproduce.full_length", flag), 2, message)


@pytest.fixture
def without_tensorflow(tmp_path):
    """The environment of programs that find no TensorFlow."""
    pytest.importorskip("jax")
    (tmp_path / "sitecustomize.py").write_text('import sys\nsys.modules["tensorflow"] = None\n')
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    return {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


@pytest.mark.slow
def test_full_length_resumes_to_the_same_bits(run_python, tmp_path, without_tensorflow):
    command = ("-m", "reproduce.full_length", "--smoke", "--networks=resnet20")
    cut, whole = (f"--run_dir={tmp_path / name}" for name in ("cut", "whole"))
    assert run_python(*command, whole, **without_tensorflow).returncode == 0
    done = run_python(*command, cut, "--max_minutes=0", **without_tensorflow)
    assert done.returncode == 75, done.stderr
    assert "2 of 4 steps; repeat the command to resume" in done.stderr
    result = tmp_path / "cut" / "resnet20_seed0" / "result.json"
    assert json.loads(result.read_text())["steps"] == 2
    done = run_python(*command, cut, **without_tensorflow)
    assert done.returncode == 0, done.stderr
    results = [
        json.loads((tmp_path / name / "resnet20_seed0" / "result.json").read_text())
        for name in ("cut", "whole")
    ]
    assert [result["steps"] for result in results] == [4, 4]
    assert results[0]["weights_sha256"] == results[1]["weights_sha256"]
    other = run_python(*command, cut, "--seeds=0", "--dtype_policy=mixed_bfloat16")
    assert_one_line(other, 2, "holds a run of another recipe")


PARTS = """
import os
os.environ["KERAS_BACKEND"] = "jax"
import dataclasses
import jax
import numpy as np
from keras_classics.training import recipes
from reproduce.full_length.recipe import generated_images, recipe_of
from reproduce.full_length.training import Training, shortened

recipe = dataclasses.replace(shortened(recipe_of("resnet20"), 4), batch_size=4)
assert recipe.schedule.at == (2, 3)
training = Training(recipe, generated_images(), 2)
images = np.random.default_rng(0).normal(size=(3, 40, 40, 1)).astype("float32")
random = np.array([[0, 0, 0.9], [0.999, 0.5, 0.9], [0.5, 0.12, 0.1]], "float32")
cropped = np.asarray(training._cropped(images, random))
expected = [images[0, :32, :32], images[1, 8:, 4:36], images[2, 4:36, 1:33][:, ::-1]]
np.testing.assert_array_equal(cropped, expected)
pixels, labels = training._train
assert pixels.shape == (12, 40, 40, 1)
np.testing.assert_allclose(pixels[:, :6], -0.1)
weights, rest = training.state["weights"], training.state["statistics"]
x = np.random.default_rng(1).normal(size=(4, 32, 32, 3)).astype("float32")
state, (loss, error) = training._updated(training.state, x, labels[:4], 0.1)
again, _ = training._updated(state, x, labels[:4], 0.1)

def loss_of(weights):
    scores, _ = training._model.stateless_call(weights, rest, x, training=True)
    return -jax.nn.log_softmax(scores)[np.arange(4), labels[:4]].mean()

for names, old, new, velocity, gradient in zip(
    training._model.trainable_variables, weights, state["weights"], state["velocities"],
    jax.grad(loss_of)(weights), strict=True
):
    decay = 1e-4 if names.name == "kernel" else 0
    np.testing.assert_allclose(velocity, -0.1 * (gradient + decay * old), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(new, old + velocity, atol=1e-6)
try:
    Training(dataclasses.replace(recipe, clip_norm=1.0), generated_images(), 2)
except ValueError as error:
    print(error)
"""


@pytest.mark.slow
def test_the_parts_of_a_step(run_python, without_tensorflow):
    done = run_python("-c", PARTS, **without_tensorflow)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "clip_norm needs TensorFlow's loop. Received: 1.0.\n"


@pytest.mark.slow
def test_the_benchmark_needs_no_tensorflow(run_python, tmp_path, without_tensorflow):
    out = tmp_path / "rows.csv"
    command = ("-m", "reproduce.benchmark", "--what=gpu", "--quick", "--turns=2", f"--out={out}")
    done = run_python(*command, **without_tensorflow)
    assert done.returncode == 0, done.stderr
    with open(out, newline="") as file:
        ours = [row for row in csv.DictReader(file) if row["side"] == "keras_jax"]
    assert [(row["work"], row["precision"]) for row in ours] == [
        ("infer", "float32"),
        ("infer", "bfloat16"),
        ("train", "float32"),
        ("train", "bfloat16"),
    ]
    assert all(float(row["images_per_second"]) > 0 for row in ours)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ("vgg61", "Unknown network 'vgg61'. Did you mean"),
        ("resnet18", "--what=gpu measures resnet50, resnet20, vgg16, alexnet_owt. Received: "),
    ],
)
def test_networks_that_it_does_not_measure(run_python, networks, message, without_tensorflow):
    command = ("-m", "reproduce.benchmark", "--what=gpu", f"--networks={networks}")
    done = run_python(*command, **without_tensorflow)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(message)


@pytest.mark.torch
@pytest.mark.parametrize("name", ["resnet50", "vgg16", "alexnet_owt", "resnet20"])
def test_both_sides_have_the_same_parameters(name):
    from reproduce.benchmark import baselines

    parameters = sum(p.numel() for p in baselines.torch_network(name).parameters())
    profile = kc.describe(name)
    assert parameters == profile.params
