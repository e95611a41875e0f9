"""Measures implementations in turns, so that a machine whose speed drifts treats all alike."""

import gc
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from keras_classics.cli._dataset_flags import define_data_dir
from keras_classics.cli._paths import define_path
from keras_classics.command import current_command
from keras_classics.errors import UserError, unknown_name
from keras_classics.timing import in_turns
from reproduce.benchmark.gpu_rows import PRECISIONS
from reproduce.benchmark.peer_rows import BATCHES, SIDES

TURNS = flags.DEFINE_integer(
    "turns", 7, "Turns of each implementation. The median counts.", lower_bound=1
)

DATASET = flags.DEFINE_string("dataset", "digits", "Data set of `loop`.")
DATA_DIR = define_data_dir()

OUT = define_path("out", None, "File for the rows of `train`, `infer` and `latency`, or of `gpu`.")
QUICK = flags.DEFINE_bool(
    "quick", False, "`train`, `infer` and `latency` of small networks; `gpu` on two images."
)
NETWORKS = flags.DEFINE_list(
    "networks", list(BATCHES), "Networks of `train`, `infer`, `latency`, `gpu`."
)
CHOSEN_PRECISIONS = flags.DEFINE_list("precisions", ["float32"], f"Of {' and '.join(PRECISIONS)}.")
PEERS = flags.DEFINE_list(
    "peers", [side for side in SIDES if side != "keras_classics"], "The other sides."
)

FLAG_GROUPS = {
    "Measurement": (TURNS, QUICK, OUT),
    "Benchmarks beside other libraries": (NETWORKS, CHOSEN_PRECISIONS, PEERS),
    "Data": (DATASET, DATA_DIR),
}

# Runs some work once.
Turn = Callable[[], object]


def compare(sides: dict[str, Turn], amount: float | dict[str, float], unit: str) -> None:
    """Runs implementations in turns and prints each rate and its ratio to the last one's.

    Args:
        sides: The work of a turn, by the name of the implementation. The first turn of each is for
            warming up and does not count.
        amount: How much a turn does; by name where that differs.
        unit: Unit of the rate.
    """
    seconds = {name: [] for name in sides}
    for turn, name in in_turns([*sides], TURNS.value + 1):
        # The garbage of one side must not slow down the next.
        gc.collect()
        start = time.perf_counter()
        sides[name]()
        if turn:
            seconds[name].append(time.perf_counter() - start)
    amounts = amount if isinstance(amount, dict) else dict.fromkeys(sides, amount)
    print_rates({n: amounts[n] / statistics.median(times) for n, times in seconds.items()}, unit)


def print_rates(rates: dict[str, float], unit: str) -> None:
    """Prints each rate and its ratio to the last one's."""
    *_, last = rates.values()
    for name, rate in rates.items():
        print(f"{name:<28}{rate:>10,.2f} {unit:<10}{rate / last:>8.2f}")


def out_path(default: str) -> Path:
    """Returns the file for rows."""
    return Path(OUT.value or default)


def row_command() -> str:
    """Returns the command that repeats a row, without --out, which names a file of one machine."""
    return re.sub(r" --out=\S+", "", current_command())


def chosen(kind: str, names: Sequence[str], known: Sequence[str] | Mapping[str, Any]) -> list[str]:
    """Returns the names that a flag chooses.

    Raises:
        UserError: A name is not known, or none is given.
    """
    for name in names:
        if name not in known:
            raise unknown_name(kind, name, known)
    if not names:
        raise UserError(f"At least one {kind} must be named. Known: {', '.join(known)}.")
    return list(names)


def print_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints the rate of each row."""
    for row in rows:
        name = f"{row['network']} {row['work']} {row['precision']} {row['side']}"
        print(f"{name:<48}{row['images_per_second']:>12,.1f} images/s", flush=True)
