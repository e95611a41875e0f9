"""Tables of image files with any number of labels each."""

import csv
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keras_classics import files
from keras_classics.data.file_names import FileNames
from keras_classics.data.lists import (
    LABEL_COLUMNS,
    LIST_BYTES,
    PART_COLUMNS,
    PATH_COLUMNS,
    part_of,
    rows_of_parts,
    sorted_names,
)
from keras_classics.data.splits import FileSplit
from keras_classics.errors import UserError
from keras_classics.files import user_path

# Names of the column that holds all labels of an image, in any case.
LABELS_COLUMNS = ("labels", "classes", "tags", *LABEL_COLUMNS)

# What may stand between the labels of a cell; a comma only in a table that has none of the others.
BETWEEN, COMMA = re.compile(r"[|;]"), re.compile(",")

# What the cell of a class's column holds.
APPLIES = {"1": True, "1.0": True, "0": False, "0.0": False, "": False}


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes:
        path: Path of the image, from the table's folder or from the root.
        labels: Names of its classes.
        part: One of `TRAIN` and `TESTS`, or "" if the table does not say it.
    """

    path: str
    labels: frozenset[str]
    part: str


def load_multilabel(
    path: str, parts: Sequence[str], *, exif: bool = False, share: float | None = None
) -> tuple[list[FileSplit], tuple[str, ...]]:
    """Lists the images of a table with any number of labels for each.

    A table, of commas or tabs, has a header, a column with paths from the folder of the table, and
    if it says the part of each image, one of `lists.PART_COLUMNS`. Labels are in one column, one of
    `LABELS_COLUMNS`, with `|` or `;` between them, or a comma if there are neither; or each other
    column is a class and holds 1 where it applies, else 0.

    Args:
        path: The table.
        parts: Some of `train` and `test`.
        exif: Whether images are turned as their EXIF orientation says.
        share: For a table without parts: the fraction of the images that is held out for the test
            split, see `folders.load_folder`.

    Returns:
        The splits, images sorted by path, labels int32 of shape (count, classes), 0 or 1; and the
        name of each class: those of a column sorted, others in the order of the columns.

    Raises:
        UserError: If the table cannot be read, names an image twice or one that is not there.
    """
    table = user_path(path)
    rows, names = _read(table)
    places = {name: place for place, name in enumerate(names)}
    splits = []
    by_part = rows_of_parts(rows, parts, share, table)
    for part in parts:
        chosen = sorted(by_part[part], key=lambda row: row.path.split("/"))
        labels = np.zeros((len(chosen), len(names)), "int32")
        for image, row in enumerate(chosen):
            labels[image, [places[label] for label in row.labels]] = 1
        paths = FileNames.of(os.path.join(table.parent, row.path) for row in chosen)
        splits.append(FileSplit(paths, labels, exif))
    return splits, names


def _read(table: Path) -> tuple[list[Row], tuple[str, ...]]:
    """Returns the rows of a table, and the names of its classes."""
    # Names of files need not be UTF-8.
    text = files.read_bytes(table, LIST_BYTES).decode("utf-8-sig", errors="surrogateescape")
    if "\0" in text:
        raise UserError(f"{table} is no table of images: it is not text.")
    tabs = table.suffix.lower() == ".tsv" or "\t" in text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text), delimiter="\t" if tabs else ",", strict=True)
    try:
        return _rows(table, reader)
    except csv.Error as error:
        raise UserError(
            f"{table} is no table of images, line {reader.line_num}: {error}."
        ) from error


def _rows(table: Path, reader: csv.DictReader) -> tuple[list[Row], tuple[str, ...]]:
    columns = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = columns
    path, part = _column(columns, PATH_COLUMNS), _column(columns, PART_COLUMNS)
    cell = _column(columns, LABELS_COLUMNS)
    classes = tuple(name for name in columns if name not in (path, part))
    if path is None or not classes or len(set(columns)) < len(columns):
        shown = ", ".join(columns)[:200]
        raise UserError(
            f"{table} must have a header with a column such as {PATH_COLUMNS[0]}, and with a "
            f"column {LABELS_COLUMNS[0]} or one for each class. Received: {shown!r}."
        )
    rows: dict[str, Row] = {}
    cells: list[str] = []
    for line in reader:
        if None in line or None in line.values():
            raise UserError(f"{table} must have {len(columns)} cells in line {reader.line_num}.")
        image = line[path].strip()
        if not image or image in rows or not os.path.lexists(table.parent / image):
            fault = "is listed twice" if image in rows else "is not there"
            raise UserError(
                f"{table} must name an image file in each line, and each once. Received, in line "
                f"{reader.line_num}: {image!r}, which {fault}."
            )
        labels = frozenset() if cell else _marked(table, line, classes)
        own = line[part].strip() if part else ""
        rows[image] = Row(image, labels, part_of(table, own) if own else "")
        cells += [line[cell]] if cell else []
    if not cell:
        return [*rows.values()], classes
    named = _split(cells)
    full = [replace(row, labels=labels) for row, labels in zip(rows.values(), named, strict=True)]
    return full, sorted_names(set().union(*named))


def _split(cells: Sequence[str]) -> list[frozenset[str]]:
    """Returns the labels that each cell names."""
    between = BETWEEN if any(map(BETWEEN.search, cells)) else COMMA
    return [frozenset(filter(None, map(str.strip, between.split(cell)))) for cell in cells]


def _marked(table: Path, line: Mapping[str, str], classes: Sequence[str]) -> frozenset[str]:
    for name in classes:
        if line[name].strip() not in APPLIES:
            raise UserError(
                f"{table} must hold 0 or 1 in the column of a class. Received, in column {name!r}: "
                f"{line[name]!r}. Remove columns of other things, or name all labels of an image "
                f"in one column {LABELS_COLUMNS[0]}."
            )
    return frozenset(name for name in classes if APPLIES[line[name].strip()])


def _column(columns: Sequence[str], names: Sequence[str]) -> str | None:
    return next((c for name in names for c in columns if c.lower() == name), None)
