"""Rows of results, and tables of them in README.md and docs.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`.
"""

import csv
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from keras_classics import files
from keras_classics.errors import UserError

README = Path(__file__).parents[2] / "README.md"

# Columns that say what a row was measured with; its program's command ends them.
ENVIRONMENT = ("commit", "device", "python", "tensorflow", "keras", "command")

# In the place of a figure.
NOT_RUN = "not run"

Row = Mapping[str, str]


def read_rows(path: Path) -> list[Row]:
    """Returns the rows of a CSV file; none where there is no file."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def rendered(text: str, tables: Mapping[str, str]) -> str:
    """Returns a text with the tables that are given in their places; others stay as they are."""

    def replace(match: re.Match) -> str:
        name = match[1]
        return f"<!-- table: {name} -->\n{tables.get(name, match[2])}\n<!-- end -->"

    return re.sub(r"<!-- table: (\w+) -->\n(.*?)\n?<!-- end -->", replace, text, flags=re.DOTALL)


def update_readme(tables: Mapping[str, str], check: bool) -> None:
    """Writes the tables into README.md, or checks that they are there. See `update`."""
    update(README, tables, check)


def update(path: Path, tables: Mapping[str, str], check: bool) -> None:
    """Writes the tables into a file, or checks that they are there.

    Raises:
        UserError: With `check`, the file holds another table.
    """
    write_or_check(path, rendered(path.read_text(), tables), check)


def write_or_check(path: Path, text: str, check: bool) -> None:
    """Writes a file with tables in it, or checks that it is that already.

    Raises:
        UserError: With `check`, the file is another.
    """
    if not check:
        with files.atomic_write(path) as aside:
            aside.write_text(text)
    elif not path.exists() or path.read_text() != text:
        name = path.relative_to(README.parent)
        raise UserError(f"{name}'s tables are out of date. Run: make report")


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Returns a table: as many columns as told stand at the left, numbers at the right."""
    rule = ["---"] * left + ["--:"] * (len(head) - left)
    lines = [" | ".join(head), "|".join(rule), *(" | ".join(row) for row in rows)]
    return "\n".join(f"|{line}|" if line is lines[1] else f"| {line} |" for line in lines)


def spread(values: Sequence[float], digits: int = 2, none: str = NOT_RUN) -> str:
    """Returns mean and standard deviation; of one value alone itself."""
    if not values:
        return none
    mean = f"{statistics.mean(values):,.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):,.{digits}f}"
