"""Plants small faults in the library, one at a time, and counts those that its tests catch.

    python -m tests.mutants --samples=300 --seed=0

A fault is a number changed, an operator swapped, a condition turned round, an error not raised and
so on (`mutations.py`). For each one a fork of this process imports the changed text - no file is
written - and runs the tests that call the changed function, the fastest files first, until one
fails. A fault that no test notices survived; one that the tests hang on is caught. Which test
calls what is measured when it is first needed and kept in build/mutants.

The exit status is 1 if fewer than 90 % of the faults were caught.
"""

import argparse
import random
import sys
import time
from collections import Counter
from pathlib import Path

from tests.mutants import processes
from tests.mutants.equivalent import EQUIVALENT
from tests.mutants.mutations import Mutation, find_mutations
from tests.mutants.suite import Measured
from tests.mutants.trial import CAUGHT, Trial

ROOT = Path(__file__).parents[2]
MODULES = (
    "keras_classics/models/*.py",
    "keras_classics/data/augment.py",
    "keras_classics/data/colour.py",
    "keras_classics/data/crops_on_decode.py",
    "keras_classics/data/random_crops.py",
    "keras_classics/training/schedules.py",
    "keras_classics/training/optimizer.py",
    "keras_classics/evaluation/*.py",
    "keras_classics/weights/*.py",
    "keras_classics/weights/formats/*.py",
    "keras_classics/export/verify.py",
)
LEAST_CAUGHT = 0.9


def main() -> int:
    flags = _flags()
    modules = sorted(
        path.relative_to(ROOT).as_posix()
        for pattern in flags.modules or MODULES
        for path in ROOT.glob(pattern)
    )
    if not modules:
        print(f"No module matches {flags.modules}.")
        return 2
    by_module = {module: _mutations(module) for module in modules}
    drawn = draw(by_module, flags.samples, random.Random(flags.seed))
    total = sum(map(len, by_module.values()))
    print(
        f"{len(drawn)} of {total} faults in {len(modules)} modules, seed {flags.seed}", flush=True
    )
    processes.import_libraries()
    folder = ROOT / "build/mutants"
    measured = Measured(ROOT, folder, modules, tell=lambda line: print(line, flush=True))
    trial = Trial(ROOT, measured, budget=flags.budget, own_alone=flags.quick)
    ends: list[tuple[Mutation, str, str]] = []
    start = time.monotonic()
    for number, mutation in enumerate(drawn, 1):
        seconds = time.monotonic() - start
        if seconds > 60 * flags.minutes:
            print(f"The time is up: {len(drawn) - len(ends)} faults were not tried.")
            break
        end, detail = trial.run(mutation)
        ends.append((mutation, end, detail))
        print(f"{number:3} {seconds:5.0f} s {end:8} {mutation}  [{detail}]", flush=True)
    unsound = trial.unsound({detail for _, end, detail in ends if end == "killed"})
    return _report([(m, "unsound" if detail in unsound else end) for m, end, detail in ends])


def draw(
    by_module: dict[str, list[Mutation]], samples: int, random_state: random.Random
) -> list[Mutation]:
    """Draws mutations from all modules, in proportion to the root of how many each has.

    So a table of numbers does not outweigh the code. The draw of a module depends on its own
    text alone.

    Args:
        by_module: The mutations of each module.
        samples: How many to draw in all; all of them if there are fewer.
        random_state: Decides which.
    """
    weights = {module: len(found) ** 0.5 for module, found in by_module.items() if found}
    shuffled = {}
    seed = random_state.random()
    for module in weights:
        shuffled[module] = list(by_module[module])
        random.Random(f"{seed} {module}").shuffle(shuffled[module])
    drawn: list[Mutation] = []
    taken = Counter()
    while len(drawn) < samples:
        left = [module for module in weights if taken[module] < len(shuffled[module])]
        if not left:
            break
        module = min(left, key=lambda m: (taken[m] + 1) / weights[m])
        drawn.append(shuffled[module][taken[module]])
        taken[module] += 1
    return drawn


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutants",
        description="Plants faults in the library and counts those that its tests catch.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("modules", nargs="*", help="patterns of modules, instead of the usual ones")
    parser.add_argument("--samples", type=int, default=300, help="number of faults")
    parser.add_argument("--seed", type=int, default=0, help="decides which faults")
    parser.add_argument(
        "--budget", type=float, default=60.0, help="processor seconds of tests for each fault"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="try a module that has a test file of its own name against that file alone",
    )
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="start no fault after this time"
    )
    return parser.parse_args()


def _mutations(module: str) -> list[Mutation]:
    found = find_mutations(module, (ROOT / module).read_text())
    return [m for m in found if (m.module, m.function, m.old, m.new) not in EQUIVALENT]


def _report(ends: list[tuple[Mutation, str]]) -> int:
    survivors = [f"  {end:8} {mutation}" for mutation, end in ends if end not in CAUGHT]
    caught = len(ends) - len(survivors)
    counts = Counter(end for _, end in ends)
    print("\nNot caught:", *survivors or ["  none"], sep="\n")
    print(f"\n{caught} of {len(ends)} caught ({caught / max(1, len(ends)):.1%}):", end=" ")
    print(", ".join(f"{end} {count}" for end, count in sorted(counts.items())))
    return int(caught < LEAST_CAUGHT * len(ends))


if __name__ == "__main__":
    sys.exit(main())
