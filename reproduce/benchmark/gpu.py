"""Inference and training on a GPU: Keras on JAX beside torch.

Each side runs in a process of its own (`gpu_sides`), and the sides take turns. All sides of a group
of networks are built and compiled first, then measured while nothing else runs.
"""

import contextlib
import itertools
import sys
import threading
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from keras_classics import files
from keras_classics.errors import UserError
from reproduce.benchmark.gpu_rows import COLUMNS, GROUPS, PRECISIONS, SIDES, WORKS, Group
from reproduce.benchmark.peer_rows import BATCHES
from reproduce.benchmark.sides import Case, SideProcess, measured, started
from reproduce.benchmark.turns import (
    NETWORKS,
    QUICK,
    TURNS,
    chosen,
    out_path,
    print_rows,
    row_command,
)

# Seconds of a turn. Each `fit` has a beginning, which few steps would feel.
TURN_SECONDS = {"infer": 0.2, "train": 0.5}
# Sides of JAX that compile at once: they time kernels to choose among them.
AUTOTUNED_AT_ONCE = 2

ENVIRONMENT = {
    "KERAS_BACKEND": "jax",
    # torch's sides need no Keras.
    "KERAS_CLASSICS_LAZY": "1",
    # The sides share the GPU's memory.
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "TORCHINDUCTOR_COMPILE_THREADS": "2",
}


def benchmark_gpu() -> None:
    """Measures all cases, prints the medians and writes the rows."""
    missing = {side: needed for side, needed in SIDES.items() if find_spec(needed) is None}
    for side, needed in missing.items():
        print(f"{side} is left out: {needed} is not installed.", file=sys.stderr)
    sides = [side for side in SIDES if side not in missing]
    if not sides:
        raise UserError("The benchmark gpu needs jax or torch. Received: neither is installed.")
    rows: list[dict[str, Any]] = []
    for group in ({"resnet20": 2},) if QUICK.value else _chosen_groups():
        cases = [
            Case(network, work, precision, side, batch)
            for network, batch in group.items()
            for work, precision, side in itertools.product(WORKS, PRECISIONS, sides)
        ]
        with started(cases, _side(threading.Semaphore(AUTOTUNED_AT_ONCE))) as ready:
            seconds = dict.fromkeys(WORKS, 0.01) if QUICK.value else TURN_SECONDS
            for of_case in measured(ready, TURNS.value, seconds):
                print_rows(of_case)
                command = {"command": row_command()}
                rows += [{name: (row | command)[name] for name in COLUMNS} for row in of_case]
                # After each case, so that an interrupted run leaves what it has measured.
                files.write_csv(out_path("benchmark_gpu.csv"), COLUMNS, rows)
    if not rows:
        raise UserError("No side of the benchmark could run. The messages above say why.")


def _chosen_groups() -> list[Group]:
    """The groups, without the networks that --networks leaves out."""
    names = chosen("network", NETWORKS.value, BATCHES)
    groups = [{name: group[name] for name in group if name in names} for group in GROUPS]
    if not any(groups):
        known = ", ".join(name for group in GROUPS for name in group)
        raise UserError(f"--what=gpu measures {known}. Received: --networks={','.join(names)}.")
    return [group for group in groups if group]


def _side(turnstile: threading.Semaphore) -> Callable[[Case], SideProcess]:
    def make(case: Case) -> SideProcess:
        with turnstile if case.side == "keras_jax" else contextlib.nullcontext():
            return SideProcess(case, "gpu_sides", ENVIRONMENT)

    return make
