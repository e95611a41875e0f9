"""What docs/scaling.md says: bytes, times, tables."""

import csv
import subprocess
import sys

import pytest
import tensorflow as tf

from keras_classics.analysis import plots
from keras_classics.analysis.plots import drawing
from keras_classics.data import load
from keras_classics.errors import UserError
from keras_classics.training import Momentum, Recipe
from keras_classics.training.schedules import Constant
from keras_classics.training.trainer import Trainer
from reproduce.scaling import loopback
from reproduce.scaling.model import (
    A100,
    ETHERNET,
    NVLINK,
    Cluster,
    Link,
    all_reduce_seconds,
    batch_for,
    cluster_of,
    cost,
    efficiency,
    fitted,
    interpolated,
    modelled,
    reduced_bytes,
    ring_seconds,
    tree_seconds,
)
from tests.helpers.figures import caption, labels, panels, rounded
from tests.helpers.images import read_png
from tests.helpers.replicas import mirrored

# A gigabyte a second; a millisecond a step of a ring, two a level of a tree.
SLOW = Link("slow", 1e9, 1e-3, 2e-3, "")

TABLES = """
import sys
from pathlib import Path
from reproduce.harness.tables import read_rows
from reproduce.scaling.measured_tables import all_reduces_table, machine_line, measured_table

for path in sys.argv[1:]:
    rows = read_rows(Path(path))
    print(machine_line(rows))
    print(all_reduces_table(rows))
    print(measured_table(rows))
"""


@pytest.mark.slow
def test_bytes():
    assert cost("vgg16").bytes == 4 * 138_357_544 + 12
    # Means and variances of 16 channels seven times, of 32 and of 64 six times.
    assert cost("resnet20").bytes == 4 * (269_722 + 2 * (7 * 16 + 6 * 32 + 6 * 64) + 3)


def test_a_step_sums_these_bytes_at_once():
    recipe = Recipe(
        name="test",
        model="vgg16_mini",
        model_arguments={"batch_norm": "all"},
        dataset="digits",
        batch_size=4,
        optimizer=Momentum(),
        schedule=Constant(0.01),
        epochs=1,
        preprocessing_arguments={"channels": 3, "size": 64},
    )
    data = load("digits").limited(8, 1)
    trainer = Trainer(recipe, data, recipe.make_preprocessing(), mirrored(2))
    inputs, labels = next(trainer.blocks())
    block = trainer._train_block.get_concrete_function(
        inputs, labels, tf.zeros((2, 1)), tf.constant(0.0)
    )
    reduces = [op for op in operations(block.graph) if op.type.startswith("CollectiveReduce")]
    # One on each replica.
    assert len(reduces) == 2
    for reduce in reduces:
        assert 4 * reduce.inputs[0].shape.num_elements() == reduced_bytes(trainer.model)


def operations(graph):
    """All operations of a graph and of those inside it."""
    yield from graph.get_operations()
    for inner in graph._functions.values():
        inner = getattr(inner, "graph", None)
        if inner is not None:
            yield from operations(inner)


def test_formulas():
    # Six times a quarter of 100 MB.
    assert ring_seconds(100e6, 4, SLOW) == pytest.approx(6 * (1e-3 + 0.025))
    # Up three levels and down.
    assert tree_seconds(90e6, 8, SLOW) == pytest.approx(6 * 2e-3 + 0.2)
    assert ring_seconds(100e6, 1, SLOW) == tree_seconds(100e6, 1, SLOW) == 0
    both = Cluster(machines=2, gpus=4, inside=SLOW, between=SLOW)
    assert all_reduce_seconds(100e6, both) == pytest.approx(0.156 + 2 * (1e-3 + 0.05))
    # Few bytes and many machines: up and down ten levels.
    many = Cluster(machines=1024, between=SLOW)
    assert all_reduce_seconds(9e3, many) == pytest.approx(20 * 2e-3 + 2e-5)


def test_efficiency():
    assert efficiency(3.0, 1.0) == 0.75
    assert efficiency(3.0, 1.0, overlap=True) == 1
    assert efficiency(3.0, 4.0, overlap=True) == 0.6


@pytest.mark.slow
def test_modelled():
    seconds = 128 * 6 * 3_857_973_248 / A100.flops()
    moved = 4 * (25_557_032 + 53_120 + 3)
    sums = 14 * (NVLINK.ring + moved / 8 / 235e9) + 14 * (ETHERNET.ring + moved / 8 / 12e9)
    assert modelled("resnet50", cluster_of(64)) == pytest.approx(seconds / (seconds + sums))
    assert cluster_of(4) == Cluster(1, 4)
    assert cluster_of(1024) == Cluster(128, 8)
    assert modelled("alexnet", cluster_of(1)) == 1
    batch = batch_for(0.9, "alexnet", cluster_of(64))
    reached = [modelled("alexnet", cluster_of(64), batch=n) for n in (batch - 1, batch)]
    assert reached[0] < 0.9 <= reached[1]


def test_dense_layers():
    assert cost("alexnet").dense == (58_631_144, 9216 + 4096 + 4096)


def test_fit_finds_the_constants():
    measured = {size: ring_seconds(size, 4, SLOW) for size in loopback.SIZES}
    link = fitted(measured, 4)
    assert link.ring == pytest.approx(1e-3)
    assert link.bandwidth == pytest.approx(1e9)
    assert interpolated({10: 1.0, 1000: 100.0}, 200) == pytest.approx(20)
    assert interpolated({10: 1.0, 1000: 100.0}, 2000) == pytest.approx(200)


@pytest.mark.slow
def test_the_page_is_up_to_date(run_program):
    done = run_program("-m", "reproduce.scaling", "--check")
    assert done.returncode == 0, done.stderr


def test_tables_of_what_was_measured(run_program, tmp_path):
    environment = dict.fromkeys(("device", "tensorflow", "keras", "commit", "turns", "load"), "3")
    common = {**environment, "workers": 4, "network": "", "batch": ""}
    rows = [
        {**common, "what": "all_reduce", "bytes": n, "seconds": ring_seconds(n, 4, SLOW)}
        for n in loopback.SIZES
    ]
    rows += [
        {**common, "what": what, "network": "vgg9", "bytes": 100_000_000, "seconds": seconds}
        for what, seconds in (("apart", 0.5), ("together", 0.7))
    ]
    with open(tmp_path / "rows.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    done = run_program("-c", TABLES, str(tmp_path / "rows.csv"), str(tmp_path / "none.csv"))
    assert done.returncode == 0, done.stderr
    measured, not_run = done.stdout.split("not run\n", maxsplit=1)
    assert "load before the start 3. **Other work ran" in measured
    assert "| 4 | 1,000 | 1.00 | 6.00 / 6.00 |" in measured
    assert "| `vgg9` | 4 | 100.00 | 500 | 700 | 200 | 156 | 156 | 71 | 76 |" in measured
    assert "| 4 | not run |" in not_run
    assert "| `vgg9` | 4 | not run |" in not_run


def test_a_worker_that_fails_ends_all(monkeypatch):
    started = []

    def start(config, folder, index):
        code = "print('no luck'); raise SystemExit(3)" if index else "import time; time.sleep(99)"
        with open(folder / f"worker{index}.log", "w") as log:
            started.append(subprocess.Popen([sys.executable, "-c", code], stdout=log))
        return started[-1]

    monkeypatch.setattr(loopback, "_start", start)
    with pytest.raises(UserError, match="no luck"):
        loopback.measure([2])
    assert [worker.poll() for worker in started] == [-9, 3]


@pytest.mark.slow
def test_workers_are_measured():
    rows = loopback.measure([2])
    assert [row["what"] for row in rows] == ["all_reduce"] * 6 + ["apart", "together"] * 2
    assert all(row["seconds"] > 0 for row in rows)
    assert rows[0]["seconds"] < rows[5]["seconds"]


def test_figure(tmp_path, drawn):
    shown = {"left": {"a": [1, 0.5], "b": [1, 0.48]}, "right": {"a": [1, 0.9], "b": [1, 0]}}
    plots.scaling(shown, [1, 8], ["a"], tmp_path / "a.png", accent="dense")
    assert read_png(tmp_path / "a.png").size
    left, right = panels(drawn[0]).values()
    assert list(panels(drawn[0])) == ["left", "right"]
    assert [labels(ax) for ax in (left, right)] == [
        ("GPUs", "time spent computing, %"),
        ("GPUs", ""),
    ]
    assert [rounded(line.get_ydata()) for line in left.get_lines()] == [[100, 50], [100, 48]]
    assert [rounded(line.get_ydata()) for line in right.get_lines()] == [[100, 90], [100, 0]]
    assert caption(drawn[0]) == ["dense", "others"]
    assert {line.get_color() for line in left.get_lines()} == {drawing.ACCENT, drawing.INK}
    # Names stand at the ends of the lines, and so far apart that they can be read.
    assert [(text.get_text(), text.xy[1]) for text in left.texts] == [("a", 50), ("b", 44.5)]
    assert [text.get_text() for text in left.get_xticklabels()] == ["1", "8"]
