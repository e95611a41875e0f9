"""Sides of a benchmark, each in a process of its own, which take turns.

A process builds and compiles, says what it runs on, and then runs as many steps as it is told to.
All sides of a case are ready before the first is measured, and one runs at a time.
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
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from keras_classics.errors import UserError
from keras_classics.timing import in_turns

# Runs a number of steps and returns when the device has finished them.
Steps = Callable[[int], object]

# A side that is not ready after this time is left out.
START_SECONDS = 150

RUN_SIDE = "import sys; from reproduce.benchmark.{} import main; main(sys.argv[1])"


@dataclass(frozen=True)
class Case:
    """What a side runs: see the constants of the benchmark.

    Attributes:
        network: Name of the network.
        work: "train", "infer" or "latency".
        precision: "float32" or "bfloat16".
        side: Who runs it.
        batch: Images of a step.
    """

    network: str
    work: str
    precision: str
    side: str
    batch: int


class Side(Protocol):
    """Something that runs a case.

    Attributes:
        case: What it runs.
        steps: Steps of a turn.
    """

    case: Case
    steps: int

    def settle(self, seconds: float) -> None:
        """Warms the side up, and finds how many steps fill a turn of some seconds."""

    def turn(self) -> float:
        """Runs a turn and returns images a second."""

    def description(self) -> Mapping[str, Any]:
        """Returns what the row says of the process."""

    def close(self) -> None:
        """Ends the process."""


class SideProcess:
    """A process that runs a case's steps when it is told to. It is a `Side`.

    Args:
        case: What it runs.
        module: The module of `reproduce.benchmark` whose `main` the process calls.
        environment: Variables besides those of this process.

    Raises:
        UserError: If it cannot compile.
    """

    def __init__(self, case: Case, module: str, environment: Mapping[str, str]):
        self.case = case
        self.steps = 0
        self._process = subprocess.Popen(
            [sys.executable, "-c", RUN_SIDE.format(module), json.dumps(vars(case))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Another library's side has no need of Keras and TensorFlow, nor of their memory.
            env={**os.environ, "KERAS_CLASSICS_LAZY": "1", **environment},
        )
        too_long = threading.Timer(START_SECONDS, self._process.kill)
        too_long.start()
        try:
            self._description = self._answer()
        except UserError:
            self.close()
            raise
        finally:
            too_long.cancel()

    def settle(self, seconds: float) -> None:
        """See `Side`."""
        once = self._seconds(1)
        few = min(10, math.ceil(seconds / once))
        each = self._seconds(few) / few
        self.steps = max(1, math.ceil(seconds / each))

    def turn(self) -> float:
        """See `Side`."""
        return self.steps * self.case.batch / self._seconds(self.steps)

    def description(self) -> dict[str, Any]:
        """See `Side`."""
        return self._description

    def close(self) -> None:
        """See `Side`."""
        self._process.terminate()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def _seconds(self, steps: int) -> float:
        print(steps, file=self._process.stdin, flush=True)
        answer = self._answer()
        self._description["peak_mb"] = answer["peak_mb"]
        return answer["seconds"]

    def _answer(self) -> dict[str, Any]:
        for line in self._process.stdout:
            # A framework may print lines of its own.
            if line.startswith("{"):
                return json.loads(line)
        raise UserError(f"{self.case} failed")


@contextlib.contextmanager
def started(cases: Sequence[Case], make: Callable[[Case], Side]) -> Iterator[list[Side]]:
    """Starts the sides of cases at once, and yields those that are ready when all are.

    Args:
        cases: The cases.
        make: Starts a side, or raises a `UserError`; then it is left out.
    """
    sides: dict[Case, Side] = {}

    def start(case: Case) -> None:
        try:
            sides[case] = make(case)
        except UserError as error:
            print(f"{error}; it is left out.", file=sys.stderr)

    try:
        with ThreadPoolExecutor(len(cases)) as pool:
            list(pool.map(start, cases))
        yield [sides[case] for case in cases if case in sides]
    finally:
        for side in sides.values():
            side.close()


def serve(run: Steps, description: Mapping[str, Any]) -> None:
    """Runs, in the process of a side, the steps that it is told to.

    Args:
        run: Runs steps.
        description: What the row says of this process.
    """
    print(json.dumps(description), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        run(int(line))
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "peak_mb": _peak_mb()}), flush=True)


def measured(
    sides: Sequence[Side], turns: int, seconds: Mapping[str, float]
) -> Iterator[list[dict[str, Any]]]:
    """Yields the rows of sides, those of a network, work and precision together.

    Args:
        sides: The sides; those that compete stand together.
        turns: Turns of each.
        seconds: Seconds of a turn, by the work.
    """

    def case_of(side: Side) -> tuple[str, str, str]:
        return side.case.network, side.case.work, side.case.precision

    for _, group in itertools.groupby(sides, case_of):
        competing = list(group)
        for side in competing:
            side.settle(seconds[side.case.work])
        rates: list[list[float]] = [[] for _ in competing]
        for _, number in in_turns(range(len(competing)), turns):
            rates[number].append(competing[number].turn())
        yield [_row(side, of_side) for side, of_side in zip(competing, rates, strict=True)]


def _row(side: Side, rates: Sequence[float]) -> dict[str, Any]:
    return {
        **vars(side.case),
        **side.description(),
        "images_per_second": round(statistics.median(rates), 2),
        "lowest": round(min(rates), 2),
        "highest": round(max(rates), 2),
        "turns": len(rates),
        "steps": side.steps,
    }


def _peak_mb() -> int | None:
    """The most memory that this process has held, in MiB, if the system says it."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024
    except (OSError, StopIteration):
        return None
