"""What `reproduce.doctor` found: rows, and the table of docs/."""

from collections.abc import Sequence
from pathlib import Path

from keras_classics.evaluation import wilson
from reproduce.doctor.faults import FAULTS
from reproduce.harness.result_table import RESULTS, ResultTable
from reproduce.harness.tables import ENVIRONMENT, NOT_RUN, Row, markdown, read_rows

# The kind of the rows of trainings without a fault.
HEALTHY_KIND = "healthy"

# No row of these seeds and higher ones had been seen when the checks took their form.
NEW_SEEDS = 200

COLUMNS = ("kind", "seed", "training", "stage", "found", "accuracy", "seconds", *ENVIRONMENT)


def identity(row: Row) -> tuple:
    """Returns what identifies a row."""
    return row["kind"], int(row["seed"])


DOCTOR = ResultTable(RESULTS / "doctor.csv", COLUMNS, identity)


def is_doctor(path: Path) -> bool:
    """Returns whether a folder is one that `reproduce.doctor` wrote."""
    return (path / "doctor.csv").exists()


def add_doctor(path: Path) -> None:
    """Adds the rows of a folder; new rows replace old ones."""
    DOCTOR.add(read_rows(path / "doctor.csv"))


def doctor_table(rows: Sequence[Row]) -> str:
    """Returns the table: a line per kind of fault, one for all, and one for healthy trainings."""
    lines = []
    for kind, fault in FAULTS.items():
        of_kind = [row for row in rows if row["kind"] == kind]
        others = sorted({name for row in of_kind for name in other_findings(row)})
        shares = (_share(sum(map(is_found, some)), len(some)) for some in _seen_and_new(of_kind))
        lines.append([fault.title, *shares, ", ".join(map(_code, others)) or "-"])
    faulty = [row for row in rows if row["kind"] in FAULTS]
    found = (_interval(sum(map(is_found, some)), len(some)) for some in _seen_and_new(faulty))
    others = [row for row in faulty if other_findings(row)]
    lines.append(["**all**", *found, f"in {_share(len(others), len(faulty))} trainings"])
    healthy = [row for row in rows if row["kind"] == HEALTHY_KIND]
    names = sorted({name for row in healthy for name in row["found"].split("; ") if name})
    alarms = (
        _interval(sum(bool(row["found"]) for row in some), len(some))
        for some in _seen_and_new(healthy)
    )
    lines.append(["healthy trainings with a finding", *alarms, ", ".join(map(_code, names)) or "-"])
    head = ["planted fault", "found", "on new seeds", "other findings"]
    return markdown(head, lines, left=1)


def _seen_and_new(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Returns rows of seeds that were seen while the checks were mended, and of new ones."""
    seen = [row for row in rows if int(row["seed"]) < NEW_SEEDS]
    return seen, [row for row in rows if int(row["seed"]) >= NEW_SEEDS]


def is_found(row: Row) -> bool:
    """Whether a finding with the name of the fault is among the findings."""
    return bool({*row["found"].split("; ")} & {*FAULTS[row["kind"]].found_by})


def other_findings(row: Row) -> list[str]:
    """Returns the findings that neither name the fault nor follow from it."""
    fault = FAULTS[row["kind"]]
    right = (*fault.found_by, *fault.follows)
    return [name for name in row["found"].split("; ") if name and name not in right]


def _code(name: str) -> str:
    check, space, stage = name.partition(" ")
    return f"`{check}`{space}{stage}"


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole}" if whole else NOT_RUN


def _interval(part: int, whole: int) -> str:
    """The share in percent, with Wilson's interval of 95 %."""
    if not whole:
        return NOT_RUN
    low, high = wilson(part, whole)
    return f"{part} of {whole}: {part / whole:.0%} ({low:.0%} to {high:.0%})"
