"""Files of answers: CSV, JSON and Parquet, written while the answers come."""

import json
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from keras_classics import files
from keras_classics.cli._answers import Answer, batched
from keras_classics.errors import UserError, require
from keras_classics.evaluation.metrics import THRESHOLD

# A row for each of an image's answers, the best first, or one with a fault. An image of which no
# class is likely to apply has a row without an answer.
COLUMNS = ("image", "rank", "class", "label", "probability", "fault")
# Rows of a Parquet file that are written at once.
ROWS = 10_000


def best(outputs: np.ndarray, labels: Sequence[str], top: int | None) -> list[dict[str, Any]]:
    """Returns the most probable classes of an image, or for None those that are likely to apply."""
    if top is None:
        top = int((outputs > THRESHOLD).sum())
    return [
        {"class": int(i), "label": labels[i], "probability": float(outputs[i])}
        for i in np.argsort(-outputs, kind="stable")[:top]
    ]


def as_json(answers: Iterable[Answer], labels: Sequence[str], top: int | None) -> Iterator[str]:
    """Yields the lines of a JSON list: of each image its name and its predictions, or its fault."""
    before = "["
    for answer in answers:
        found: dict[str, Any] = {"image": answer.image.path, "predictions": []}
        if answer.outputs is None:
            found["fault"] = answer.fault
        else:
            found["predictions"] = best(answer.outputs, labels, top)
        yield f"{before}\n{textwrap.indent(json.dumps(found, indent=2), '  ')}"
        before = ","
    yield "\n]\n"


def refuse_ending(path: Path, known: Iterable[str]) -> None:
    """Raises a `UserError` if a file does not end as one of a known format."""
    if path.suffix not in known:
        raise UserError(f"--out must end in {', '.join(known)}. Received: {path}.")


def write_answers(
    path: Path, answers: Iterable[Answer], labels: Sequence[str], top: int | None
) -> None:
    """Writes a file of answers, whole or not at all; its ending decides the format.

    Raises:
        UserError: If pyarrow is needed and not installed; and the errors of the answers.
    """
    FORMATS[path.suffix](path, answers, labels, top)


def _rows(
    answers: Iterable[Answer], labels: Sequence[str], top: int | None
) -> Iterator[dict[str, Any]]:
    for answer in answers:
        if answer.outputs is None:
            yield {"image": answer.image.path, "fault": answer.fault}
            continue
        likely = best(answer.outputs, labels, top)
        if not likely:
            yield {"image": answer.image.path}
        for rank, found in enumerate(likely, 1):
            yield {"image": answer.image.path, "rank": rank, **found}


def _write_csv(
    path: Path, answers: Iterable[Answer], labels: Sequence[str], top: int | None
) -> None:
    files.write_csv(path, COLUMNS, _rows(answers, labels, top))


def _write_json(
    path: Path, answers: Iterable[Answer], labels: Sequence[str], top: int | None
) -> None:
    with files.atomic_write(path) as aside, open(aside, "w", encoding="ascii") as file:
        file.writelines(as_json(answers, labels, top))


def _write_parquet(
    path: Path, answers: Iterable[Answer], labels: Sequence[str], top: int | None
) -> None:
    arrow, parquet = require("pyarrow", "parquet"), require("pyarrow.parquet", "parquet")
    kinds = (arrow.string(), arrow.int32(), arrow.int32(), arrow.string(), arrow.float32())
    schema = arrow.schema(list(zip(COLUMNS, (*kinds, arrow.string()), strict=True)))
    rows = map(_in_utf8, _rows(answers, labels, top))
    with files.atomic_write(path) as aside, parquet.ParquetWriter(aside, schema) as writer:
        for batch in batched(rows, ROWS):
            writer.write_table(arrow.Table.from_pylist(list(batch), schema))


def _in_utf8(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a row whose texts can be UTF-8, as `files.write_csv` writes them."""
    encode = partial(str.encode, errors="backslashreplace")
    return {n: encode(v).decode() if isinstance(v, str) else v for n, v in row.items()}


FORMATS = {".csv": _write_csv, ".json": _write_json, ".parquet": _write_parquet}
