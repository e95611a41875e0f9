"""Diagnoses trainings with a planted fault, and healthy ones.

python -m reproduce.doctor
python -m reproduce.doctor --kinds=bgr,dead_relus --seeds=1
python -m reproduce.report --add=runs/doctor

A fault is planted in a training that would work: on digits, Fashion-MNIST (`make data`) or
generated colour images, with a small network; five seeds each, which also choose the network and
the images. It counts as found if a finding with its name is among the findings; findings with other
names are counted too. A healthy training is diagnosed before its first epoch and after its last
one, with its log; each finding is a false alarm. It is healthy if its accuracy on images held out
is at least 60 %.

The thresholds of the checks were chosen on other seeds, from 100 on. All takes about half an hour
on two cores; repeat the command to resume. docs/diagnosing.md has the results.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from absl import flags

from keras_classics.cli._paths import define_path
from keras_classics.cli._program import run
from keras_classics.diagnosis import Diagnosis
from keras_classics.environment import current_environment
from keras_classics.errors import UserError, unknown_name
from reproduce.doctor.faults import FAULTS
from reproduce.doctor.trainings import HEALTHY
from reproduce.harness.result_table import ResultTable, cells
from reproduce.harness.tables import Row
from reproduce.report.doctor_table import COLUMNS, HEALTHY_KIND, identity

# A training with less on images held out would be no proof that nothing was wrong with it.
HEALTHY_ACCURACY = 0.6

KINDS = flags.DEFINE_list("kinds", [], f"Some of the kinds, {HEALTHY_KIND} included; all if empty.")
SEEDS = flags.DEFINE_integer(
    "seeds", None, f"Number of seeds; 5 of a fault and {len(HEALTHY)} if unset.", lower_bound=1
)
FIRST_SEED = flags.DEFINE_integer("first_seed", 0, "The first of the seeds.", lower_bound=0)
RUN_DIR = define_path("run_dir", "runs/doctor", "Folder of the rows.")

Found = dict[str, Any]


def main() -> None:
    """Diagnoses all trainings that have no row yet, and prints what was found."""
    kinds = KINDS.value or [*FAULTS, HEALTHY_KIND]
    for kind in kinds:
        if kind not in (*FAULTS, HEALTHY_KIND):
            raise unknown_name("kind", kind, (*FAULTS, HEALTHY_KIND))
    rows = ResultTable(Path(RUN_DIR.value) / "doctor.csv", COLUMNS, identity)
    done = {identity(row) for row in rows.read()}
    for kind, seed in _cases(kinds):
        if (kind, seed) in done:
            continue
        start = time.perf_counter()
        found = _healthy(seed) if kind == HEALTHY_KIND else _faulty(kind, seed)
        row = _row(kind, seed, found, time.perf_counter() - start)
        rows.add([row])
        print(f"{kind} {seed}, {row['training']}: {row['found'] or 'nothing'}", flush=True)


def _cases(kinds: list[str]) -> Iterator[tuple[str, int]]:
    """The faults of a seed one after another, because some share a trained network."""
    first = FIRST_SEED.value
    for seed in range(first, first + (SEEDS.value or 5)):
        yield from ((kind, seed) for kind in kinds if kind != HEALTHY_KIND)
    if HEALTHY_KIND in kinds:
        count = SEEDS.value or len(HEALTHY)
        yield from ((HEALTHY_KIND, seed) for seed in range(first, first + count))


def _faulty(kind: str, seed: int) -> Found:
    planted = FAULTS[kind].plant(seed)
    diagnosis = planted.diagnosed()
    stage = f"after {planted.epochs} epochs" if planted.epochs else "before training"
    return {"training": planted.name, "stage": stage, "found": _names(diagnosis), "accuracy": None}


def _healthy(seed: int) -> Found:
    healthy = HEALTHY[seed % len(HEALTHY)]
    started = healthy.start(seed)
    found = [f"{name} (before)" for name in _names(started.diagnosed())]
    accuracy, diagnosis = started.trained(healthy.epochs)
    if accuracy < HEALTHY_ACCURACY:
        raise UserError(
            f"A healthy training must reach {HEALTHY_ACCURACY:.0%} on images held out. Received: "
            f"{accuracy:.0%} by number {seed % len(HEALTHY)}, {started.name}."
        )
    found += [f"{name} (after)" for name in _names(diagnosis)]
    return {
        "training": f"{started.name}, {type(started.model.optimizer).__name__}",
        "stage": f"before, and after {healthy.epochs} epochs",
        "found": found,
        "accuracy": accuracy,
    }


def _names(diagnosis: Diagnosis) -> list[str]:
    return [finding.check for finding in diagnosis.findings]


def _row(kind: str, seed: int, found: Found, seconds: float) -> Row:
    environment = current_environment()
    values = {
        **environment,
        **environment["versions"],
        **found,
        "found": "; ".join(found["found"]),
        "kind": kind,
        "seed": seed,
        "seconds": f"{seconds:.1f}",
        "command": f"python -m reproduce.doctor --kinds={kind} --first_seed={seed} --seeds=1",
    }
    return cells(values, COLUMNS)


if __name__ == "__main__":
    run(main)
