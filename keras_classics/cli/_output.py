"""What commands print: aligned tables for people, or with --json one JSON text for programs."""

import json
from collections.abc import Collection, Sequence
from typing import Any

from absl import flags

JSON = flags.DEFINE_bool(
    "json", False, "Print JSON to standard output, and nothing else. Errors stay on standard error."
)

FLAG_GROUPS = {"Output": (JSON,)}


def print_json(content: Any) -> None:
    """Prints a result as JSON. Characters beyond ASCII are escaped."""
    print(json.dumps(content, indent=2))


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[str] = ()) -> str:
    """Returns a table for a terminal.

    Args:
        head: Titles of the columns.
        rows: The cells.
        right: Titles of the columns that are aligned right, as numbers are.
    """
    cells = [head, *rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if title in right else cell.ljust(width)
            for title, cell, width in zip(head, row, widths, strict=True)
        ).rstrip()
        for row in cells
    )
