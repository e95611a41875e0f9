"""Inference and training on a GPU: Keras on JAX beside torch.

Each side runs in a process of its own (`gpu_sides`), and the sides take turns. All sides of a group
of networks are built and compiled first, then measured while nothing else runs.
"""

import contextlib
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from absl import flags

from keras_classics import files
from keras_classics.cli._paths import define_path
from keras_classics.command import current_command
from keras_classics.errors import UserError
from reproduce.benchmark.gpu_rows import COLUMNS, GROUPS, PRECISIONS, SIDES, WORKS
from reproduce.benchmark.turns import TURNS

# Seconds of a turn. Each `fit` has a beginning, which few steps would feel.
TURN_SECONDS = {"infer": 0.2, "train": 0.5}
# A side that has not compiled after this time is left out.
START_SECONDS = 150
# Sides of JAX that compile at once: they time kernels to choose among them.
AUTOTUNED_AT_ONCE = 2

RUN_SIDE = "import sys; from reproduce.benchmark.gpu_sides import main; main(sys.argv[1])"

OUT = define_path("out", "benchmark_gpu.csv", "File for the rows of `gpu`.")
QUICK = flags.DEFINE_bool("quick", False, "`gpu` with ResNet-20 alone, on two images.")

FLAG_GROUPS = {"Benchmark gpu": (OUT, QUICK)}


@dataclass(frozen=True)
class Case:
    """What a side runs: see the constants of this module."""

    network: str
    work: str
    precision: str
    side: str
    batch: int


class Side:
    """A process that runs a case's steps when it is told to.

    Attributes:
        case: What it runs.
        description: What `gpu_sides` says of the process, or None if it failed.
    """

    def __init__(self, case: Case):
        self.case = case
        self.description: dict[str, Any] | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-c", RUN_SIDE, json.dumps(vars(case))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "KERAS_BACKEND": "jax",
                # torch's sides need no Keras.
                "KERAS_CLASSICS_LAZY": "1",
                # The sides share the GPU's memory.
                "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
                "TORCHINDUCTOR_COMPILE_THREADS": "2",
            },
        )

    def start(self) -> None:
        """Waits until the side has compiled, and keeps its description."""
        too_long = threading.Timer(START_SECONDS, self._process.kill)
        too_long.start()
        with contextlib.suppress(EOFError):
            self.description = self._answer()
        too_long.cancel()

    def seconds(self, steps: int) -> float:
        """Runs steps and returns how long they took."""
        print(steps, file=self._process.stdin, flush=True)
        return self._answer()["seconds"]

    def close(self) -> None:
        """Ends the process."""
        self._process.terminate()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def _answer(self) -> dict[str, Any]:
        for line in self._process.stdout:
            # A framework may print lines of its own.
            if line.startswith("{"):
                return json.loads(line)
        raise EOFError


def benchmark_gpu() -> None:
    """Measures all cases, prints the medians and writes the rows."""
    missing = {side: needed for side, needed in SIDES.items() if find_spec(needed) is None}
    for side, needed in missing.items():
        print(f"{side} is left out: {needed} is not installed.", file=sys.stderr)
    sides = [side for side in SIDES if side not in missing]
    if not sides:
        raise UserError("The benchmark gpu needs jax or torch. Received: neither is installed.")
    rows: list[dict[str, Any]] = []
    for group in ({"resnet20": 2},) if QUICK.value else GROUPS:
        cases = [
            Case(network, work, precision, side, batch)
            for network, batch in group.items()
            for work, precision, side in itertools.product(WORKS, PRECISIONS, sides)
        ]
        with started(cases) as ready:
            for row in measured(ready):
                rows.append(row)
                # After each case, so that an interrupted run leaves what it has measured.
                files.write_csv(Path(OUT.value), COLUMNS, rows)
    if not rows:
        raise UserError("No side of the benchmark could run. The messages above say why.")


@contextlib.contextmanager
def started(cases: Sequence[Case]) -> Iterator[list[Side]]:
    """Starts the sides of cases and yields those that compiled, when all have."""
    turnstile = threading.Semaphore(AUTOTUNED_AT_ONCE)
    sides: list[Side] = []

    def start(case: Case) -> None:
        with turnstile if case.side == "keras_jax" else contextlib.nullcontext():
            side = Side(case)
            sides.append(side)
            side.start()

    try:
        with ThreadPoolExecutor(len(cases)) as pool:
            list(pool.map(start, cases))
        for side in sides:
            if side.description is None:
                print(f"{vars(side.case)} failed and is left out.", file=sys.stderr)
        yield sorted((s for s in sides if s.description), key=lambda s: cases.index(s.case))
    finally:
        for side in sides:
            side.close()


def measured(sides: Sequence[Side]) -> Iterator[dict[str, Any]]:
    """Yields the rows of sides; those of one case in turns, one case after the other."""

    def case_of(side: Side) -> tuple[str, str, str]:
        return side.case.network, side.case.work, side.case.precision

    for (network, work, precision), group in itertools.groupby(sides, case_of):
        competing = list(group)
        steps = {side: _steps(side) for side in competing}
        seconds: dict[Side, list[float]] = {side: [] for side in competing}
        for _ in range(TURNS.value):
            for side in competing:
                seconds[side].append(side.seconds(steps[side]))
        for side in competing:
            row = _row(side, steps[side], seconds[side])
            name = f"{network} {work} {precision} {side.case.side}"
            print(f"{name:<44}{row['images_per_second']:>12,.1f} images/s", flush=True)
            yield row


def _steps(side: Side) -> int:
    """Warms a side up and returns how many steps fill a turn."""
    side.seconds(3)
    each = side.seconds(10) / 10
    target = 0.01 if QUICK.value else TURN_SECONDS[side.case.work]
    return max(2, math.ceil(target / each))


def _row(side: Side, steps: int, seconds: Sequence[float]) -> dict[str, Any]:
    rates = [steps * side.case.batch / s for s in seconds]
    return {
        **vars(side.case),
        **side.description,
        "images_per_second": round(statistics.median(rates), 1),
        "lowest": round(min(rates), 1),
        "highest": round(max(rates), 1),
        "turns": len(rates),
        "steps": steps,
        "command": current_command(),
    }
