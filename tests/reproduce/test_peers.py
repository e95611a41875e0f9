"""Speed beside other libraries: turns, rows, tables, and the programs that are measured."""

import csv
import dataclasses
import sys

import pytest

import keras_classics as kc
from reproduce.benchmark import sides
from reproduce.benchmark.peer_rows import COLUMNS, SIDES, WORKS
from reproduce.benchmark.sides import Case, SideProcess, measured, started
from reproduce.report import peer_tables
from tests.helpers.figures import caption, panels
from tests.helpers.programs import assert_one_line

VERSIONS = {"tensorflow": "2.21", "keras": "3.15", "version": "torch 2.13", "commit": "c" * 40}


def row(work, side, rate, network="resnet50", precision="float32", gflops=None):
    values = {"network": network, "work": work, "precision": precision, "side": side, "batch": 16}
    values |= {"images_per_second": rate, "lowest": rate, "highest": rate, "turns": 7, "steps": 3}
    values |= {"gflops": 8 * rate if gflops is None else gflops, "limit_gflops": 320.0}
    values |= {"peak_mb": 900, "threads": 2, "device": "a CPU", "python": "3", "command": "c"}
    return {name: str((values | VERSIONS)[name]) for name in COLUMNS}


def cells_of(table: str, line: int) -> list[str]:
    return [cell.strip() for cell in table.splitlines()[line].strip("|").split("|")]


def test_ratios_are_of_operations_to_the_best_of_a_library():
    rows = [
        row("infer", "keras_classics", 24),
        row("infer", "torch", 12),
        row("infer", "torch_trace", 16),
        # As many images a second, of a network of fewer operations.
        row("infer", "keras", 24, gflops=180),
    ]
    table = peer_tables.peer_tables(rows)["peers_infer"]
    assert cells_of(table, 2) == [
        *("`resnet50`", "float32", "24.0", "not run", "not run", "12.0", "16.0", "24.0"),
        *(f"{24 / 16:.2f}", f"{192 / 180:.2f}", f"{100 * 192 / 320:.0f}"),
    ]
    assert cells_of(table, 3)[2:] == ["not run"] * 6 + ["-"] * 3


def test_of_one_image_the_best_export_counts():
    rows = [
        row("latency", "keras_classics", 20),
        row("latency", "litert", 30),
        row("latency", "openvino", 36),
        row("latency", "torch", 24),
        row("latency", "torch", 300, precision="bfloat16"),
    ]
    table = peer_tables.peer_tables(rows)["peers_latency"]
    ratios = [f"{36 / 24:.2f}", f"{20 / 24:.2f}"]
    assert cells_of(table, 2)[-3:] == [*ratios, f"{100 * 8 * 36 / 320:.0f}"]
    assert cells_of(table, 3)[:2] == ["`resnet50`", "bfloat16"]
    assert cells_of(table, 3)[-3:] == ["-", "-", "-"]


def test_the_line_of_the_machine():
    rows = [row("train", "keras_classics", 5), {**row("train", "torch", 4), "limit_gflops": "310"}]
    assert peer_tables.peer_tables(rows)["peers_machine"] == (
        "*a CPU, 2 threads; Keras 3.15, TensorFlow 2.21, torch 2.13; commit cccccccc. Medians of 7 "
        "turns. Product of two matrices in float32: 310 to 320 GFLOP/s.*"
    )
    assert peer_tables.peer_tables([])["peers_machine"] == "not run"


def test_the_line_of_the_readme():
    rows = [
        row("train", "keras_classics", 5),
        row("train", "torch", 4),
        row("latency", "keras_classics", 20),
        row("latency", "litert", 30),
        row("latency", "torch", 22),
        row("latency", "torch_trace", 24),
    ]
    line = peer_tables.peer_tables(rows)["peers_few"]
    assert line.startswith(
        "*Images per second here and by torch on a CPU: training ResNet-50 5.0 and 4.0; "
        "training ResNet-20 not run and not run; "
    )
    assert "; one image of ResNet-50 30.0 and 24.0; " in line


def test_rows_are_added_from_the_file_of_a_run(tmp_path, monkeypatch):
    table = dataclasses.replace(peer_tables.PEERS, path=tmp_path / "benchmark.csv")
    monkeypatch.setattr(peer_tables, "PEERS", table)
    for rates in ((4, 5), (6,)):
        path = tmp_path / "rows.csv"
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            for rate, work in zip(rates, WORKS, strict=False):
                writer.writerow(row(work, "keras_classics", rate))
        assert peer_tables.is_peers(path)
        peer_tables.add_peers(path)
    assert [r["images_per_second"] for r in table.read()] == ["6", "5"]
    path.write_text("model,seed\na,1\n")
    assert not peer_tables.is_peers(path)


def test_the_figure_shows_what_part_of_the_limit_is_reached(tmp_path, drawn):
    rows = [row("train", "keras_classics", 10), row("train", "torch", 8)]
    rows += [row("latency", "litert", 30, "resnet20"), row("latency", "openvino", 10, "resnet20")]
    peer_tables.draw_peers(rows, tmp_path / "a.png")
    shown = panels(drawn[-1])
    assert list(shown) == ["training steps", "one image"]
    assert caption(drawn[-1]) == ["here", "torch, the better", "best export"]
    widths = [[bar.get_width() for bar in ax.patches] for ax in shown.values()]
    assert widths == [[25, 20], [75]]
    assert [line.get_xdata()[0] for line in shown["training steps"].get_lines()] == [100]


class Fixed:
    """A side whose turns have the rates that it is given."""

    def __init__(self, case, rates):
        self.case, self.steps, self.closed = case, 3, False
        self._rates = iter(rates)

    def settle(self, seconds):
        assert seconds == 0.5

    def turn(self):
        return next(self._rates)

    def description(self):
        return {"version": "one"}

    def close(self):
        self.closed = True


def test_medians_of_the_turns_of_those_that_compete(capsys):
    cases = [Case(n, "train", "float32", s, 2) for n in ("lenet5", "vgg9") for s in ("a", "b")]

    def make(case):
        if case == cases[3]:
            raise kc.errors.UserError("b failed")
        return Fixed(case, [5.0, 1.0, 3.0])

    with started(cases, make) as ready:
        first, second = measured(ready, 3, {"train": 0.5})
    assert capsys.readouterr().err == "b failed; it is left out.\n"
    assert [(r["network"], r["side"]) for r in first + second] == [
        ("lenet5", "a"),
        ("lenet5", "b"),
        ("vgg9", "a"),
    ]
    for found in (first[0], first[1], second[0]):
        wanted = {"images_per_second": 3.0, "lowest": 1.0, "highest": 5.0, "turns": 3, "steps": 3}
        assert wanted.items() <= found.items()
        assert found["version"] == "one"
    assert all(side.closed for side in ready)


# A side that needs no library: a step is a thousandth of a second of nothing.
TOY = """
import json, sys
from reproduce.benchmark.sides import serve
ran = []
print("a word of a framework", flush=True)
serve(ran.append, dict(version=json.loads(sys.argv[1])["network"]))
"""


def test_a_process_runs_the_steps_that_it_is_told_to(monkeypatch):
    case = Case("toy", "train", "float32", "toy", 4)
    monkeypatch.setattr(sides, "RUN_SIDE", TOY)
    with started([case], lambda case: SideProcess(case, "", {})) as (side,):
        side.settle(1e-3)
        assert side.steps > 1
        assert side.turn() > 0
        assert side.description()["version"] == "toy"
        if sys.platform == "linux":
            assert side.description()["peak_mb"] > 1


def test_a_process_that_fails_is_named(monkeypatch):
    monkeypatch.setattr(sides, "RUN_SIDE", "raise SystemExit(1)")
    with pytest.raises(kc.errors.UserError, match="side='toy'.* failed"):
        SideProcess(Case("toy", "train", "float32", "toy", 4), "", {})


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--peers=torhc", "Unknown peer 'torhc'. Did you mean torch"),
        ("--networks=resnet21", "Unknown network 'resnet21'. Did you mean resnet20"),
        ("--precisions=", "At least one precision must be named. Known: float32, bfloat16."),
    ],
)
def test_wrong_flags(run_program, flag, message, tmp_path):
    flags = ("--what=train", "--turns=1", f"--out={tmp_path / 'rows.csv'}")
    done = run_program("-m", "reproduce.benchmark", *flags, flag)
    assert_one_line(done, 2, message)


@pytest.mark.slow
@pytest.mark.parametrize("work", WORKS)
def test_every_side_that_is_installed_has_a_row(run_program, work, tmp_path):
    out = tmp_path / "rows.csv"
    done = run_program(
        "-m", "reproduce.benchmark", f"--what={work}", "--quick", "--turns=1", f"--out={out}"
    )
    assert done.returncode == 0, done.stderr
    with open(out, newline="") as file:
        rows = list(csv.DictReader(file))
    missing = {line.split()[0] for line in done.stderr.splitlines() if "left out" in line}
    wanted = [s for s, (_, works) in SIDES.items() if work in works and s not in missing]
    assert [r["side"] for r in rows] == [side for side in wanted if side != "keras"]
    macs = 40_551_680 * 2e-9 * (3 if work == "train" else 1)
    for found in rows:
        rate = float(found["images_per_second"])
        assert float(found["gflops"]) == pytest.approx(rate * macs, rel=0.02, abs=0.01)
        assert float(found["gflops"]) < float(found["limit_gflops"])
