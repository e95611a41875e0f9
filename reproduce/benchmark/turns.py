"""Measures implementations in turns, so that a machine whose speed drifts treats all alike."""

import gc
import statistics
import time
from collections.abc import Callable

from absl import flags

from keras_classics.cli._dataset_flags import define_data_dir
from keras_classics.timing import in_turns

TURNS = flags.DEFINE_integer(
    "turns", 7, "Turns of each implementation. The median counts.", lower_bound=1
)

DATASET = flags.DEFINE_string("dataset", "digits", "Data set of `loop`.")
DATA_DIR = define_data_dir()

FLAG_GROUPS = {"Measurement": (TURNS,), "Data": (DATASET, DATA_DIR)}

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
