"""Rows of results, and tables of them in README.md and the pages of docs/.

A table stands between `<!-- table: NAME -->` and `<!-- end -->`.
"""

import csv
import io
import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from keras_classics import files
from keras_classics.errors import UserError

ROOT = Path(__file__).parents[2]

# Columns for the software and hardware of a run, and its command.
ENVIRONMENT = ("commit", "device", "python", "constraints", "tensorflow", "keras", "command")

# Stands in place of a figure.
NOT_RUN = "not run"

Row = Mapping[str, str]


def read_rows(path: Path) -> list[Row]:
    """Returns the rows of a CSV file, or none if the file does not exist.

    Raises:
        UserError: If it cannot be read, or is no such file.
    """
    if not path.exists():
        return []
    try:
        return list(csv.DictReader(io.StringIO(files.read_bytes(path).decode(), newline="")))
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not a CSV file: {error}.") from error


def rendered(text: str, tables: Mapping[str, str]) -> str:
    """Returns a text with the given tables in their places. Other tables stay as they are."""

    def replace(match: re.Match) -> str:
        name = match[1]
        return f"<!-- table: {name} -->\n{tables.get(name, match[2])}\n<!-- end -->"

    return re.sub(r"<!-- table: (\w+) -->\n(.*?)\n?<!-- end -->", replace, text, flags=re.DOTALL)


def pages() -> list[Path]:
    """Returns the pages that tables may stand in: README.md and all of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def update_pages(tables: Mapping[str, str], check: bool) -> None:
    """Writes tables into all pages that have a place for them, or checks that they are there.

    Args:
        tables: Markdown of each table by name. Places of other tables stay as they are.
        check: Whether to check only.

    Raises:
        UserError: With `check`, a page holds another table.
    """
    for page in pages():
        text = page.read_text()
        if (new := rendered(text, tables)) != text:
            write_or_check(page, new, check)


def write_or_check(path: Path, text: str, check: bool) -> None:
    """Writes a page, or checks that the file holds this text.

    Raises:
        UserError: With `check`, the file holds another text.
    """
    if not check:
        with files.atomic_write(path) as aside:
            aside.write_text(text)
    elif not path.exists() or path.read_text() != text:
        raise UserError(f"{path.relative_to(ROOT)} is out of date. Run: make report")


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Returns a Markdown table: the first `left` columns aligned left, the others right."""
    rule = ["---"] * left + ["--:"] * (len(head) - left)
    lines = [" | ".join(head), "|".join(rule), *(" | ".join(row) for row in rows)]
    return "\n".join(f"|{line}|" if line is lines[1] else f"| {line} |" for line in lines)


def spread(values: Sequence[float], digits: int = 2, none: str = NOT_RUN) -> str:
    """Returns mean ± standard deviation, or the value itself if there is only one."""
    if not values:
        return none
    mean = f"{statistics.mean(values):,.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):,.{digits}f}"
