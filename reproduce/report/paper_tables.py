"""The papers' tables beside what was measured here, for docs/papers.md.

The papers' figures are in papers.csv, the measured ones in results/evaluations.csv. papers.py
decides which evaluation measures which figure.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from keras_classics.errors import natural_key
from reproduce.harness.tables import NOT_RUN, Row, read_rows
from reproduce.report.papers import (
    AND,
    EVALUATIONS,
    PAPERS,
    by_training,
    error,
    measurable,
    measured,
    measures,
    names,
)

# Names of the columns that hold numbers.
PUBLISHED = {
    "top1": "published, top-1",
    "top5": "published, top-5",
    "test_top5": "published, test top-5",
}
MEASURED = {"top1": "here, top-1", "top5": "here, top-5"}
REDUCTION = {"top1": "top-1, points", "top5": "top-5, points"}
NUMBERS = {*PUBLISHED.values(), *MEASURED.values(), *REDUCTION.values(), "images"}

Line = dict[str, str]


def paper_tables() -> dict[str, str]:
    """Returns all tables of the page by name, rendered from the stored rows."""
    return tables(read_rows(PAPERS), read_rows(EVALUATIONS))


def tables(papers: Sequence[Row], evaluations: Sequence[Row]) -> dict[str, str]:
    """Returns all tables of the page by name.

    Args:
        papers: Rows of papers.csv.
        evaluations: Rows of evaluations.csv.
    """
    groups: dict[str, list[Row]] = {}
    for paper in papers:
        groups.setdefault(table_name(paper["table"]), []).append(paper)
    rendered = {name: _paper_table(rows, evaluations) for name, rows in groups.items()}
    return {**rendered, "other_evaluations": _others_table(papers, evaluations)}


def table_name(table: str) -> str:
    """Returns the name of a paper's table in the page."""
    return re.sub(r"\W+", "_", table.lower())


def _paper_table(rows: Sequence[Row], evaluations: Sequence[Row]) -> str:
    return _table([line for row in rows for line in _paper_lines(row, evaluations)])


def _paper_lines(paper: Row, evaluations: Sequence[Row]) -> list[Line]:
    """One line for each training that measures a paper's row, or one line if none does."""
    head = {
        "row": ", ".join(filter(None, (paper["row"], paper["statistic"]))),
        "network": _network(paper) if paper["model"] else "",
        "training": paper["training"],
        "data": paper["dataset"],
        "protocol": paper["protocol"],
    }
    if paper["quantity"] == "reduction":
        points = {name: paper[f"{metric}_error"] for metric, name in REDUCTION.items()}
        return [{**head, **points, "source": paper["source"]}]
    head |= {name: _printed(paper, metric) for metric, name in PUBLISHED.items()}
    groups = measured(paper, evaluations) or [[]]
    return [{**head, **_measured(paper, group)} for group in groups]


def _printed(paper: Row, metric: str) -> str:
    """A figure as the paper prints it. Papers print deviations of top-1 errors only."""
    figure = paper[f"{metric}_error"]
    spread = paper["deviation"] if metric == "top1" else ""
    return f"{figure} ± {spread}" if spread else figure


def _measured(paper: Row, group: Sequence[Row]) -> Line:
    """The measured figures beside a paper's row, and how they were measured."""
    errors = {name: _beside(paper, group, metric) for metric, name in MEASURED.items()}
    return {**errors, "how": _how(group) if group else ""}


def _beside(paper: Row, group: Sequence[Row], metric: str) -> str:
    if not (measurable(paper) and paper[f"{metric}_error"]):
        return ""
    return error(group, metric) if group else NOT_RUN


def _how(group: Sequence[Row]) -> str:
    first = group[0]
    seeds = _seeds(group) and f"seed {_seeds(group)}"
    words = (first["weights"], seeds, _length(first), f"on {_count(first['images'])} images")
    return f"{', '.join(filter(None, words))}: {first['protocol']}"


def _others_table(papers: Sequence[Row], evaluations: Sequence[Row]) -> str:
    """The evaluations that measure no paper's row, such as those on other data."""
    others = [row for row in evaluations if not any(measures(row, paper) for paper in papers)]
    if not others:
        return NOT_RUN
    return _table([_other_line(group) for group in sorted(by_training(others), key=_order)])


def _order(group: Sequence[Row]) -> tuple:
    first = group[0]
    return first["dataset"], first["protocol"], natural_key(first["model"]), first["weights"]


def _other_line(group: Sequence[Row]) -> Line:
    first = group[0]
    return {
        "data": first["dataset"],
        "protocol": first["protocol"],
        "network": _network(first),
        "weights": first["weights"],
        "training": _length(first),
        "seeds": _seeds(group),
        **{name: error(group, metric) for metric, name in MEASURED.items()},
        "images": _count(first["images"]),
    }


def _network(row: Row) -> str:
    """The names of one or several networks, and their arguments."""
    counts = Counter(names(row)).items()
    words = [AND.join(f"{n} x `{name}`" if n > 1 else f"`{name}`" for name, n in counts)]
    arguments = json.loads(row["arguments"])
    if isinstance(arguments, list):
        return f"{words[0]}, {row['arguments']}"
    return ", ".join(words + [f"{name} {value}" for name, value in arguments.items()])


def _seeds(group: Sequence[Row]) -> str:
    """The seeds of several rows. The row of an ensemble holds a list of its members' seeds."""
    return " ".join(re.sub(r"[\[\],]", "", row["seed"]) for row in group)


def _length(row: Row) -> str:
    """How long a network was trained, if that is known."""
    if not row["train_images"]:
        return ""
    return f"{row['epochs']} epochs of {_count(row['train_images'])} images"


def _count(text: str) -> str:
    """A number of images. The row of an ensemble may hold a list of them."""
    return f"{int(text):,}" if text.isdigit() else text


def _table(lines: Sequence[Mapping[str, str]]) -> str:
    """A table of lines with the same columns. Columns without any value are left out."""
    columns = [name for name in lines[0] if any(line[name] for line in lines)]
    rules = ["--:" if name in NUMBERS else "---" for name in columns]
    rows = [[line[name] or "-" for name in columns] for line in lines]
    head, *body = (f"| {' | '.join(row)} |" for row in [columns, *rows])
    return "\n".join([head, f"|{'|'.join(rules)}|", *body])
