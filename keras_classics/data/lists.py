"""Lists of image files: a path and a label on each line, or a table with a header."""

import csv
import io
import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from keras_classics import files
from keras_classics.data.file_names import FileNames
from keras_classics.data.parts import TESTS, TRAIN, held_out, part_to_test, say_unused
from keras_classics.data.splits import FileSplit
from keras_classics.errors import UserError
from keras_classics.files import user_path

# Names of a table's columns, in any case.
PATH_COLUMNS = ("path", "image", "file", "filename", "file_name", "image_path", "filepath", "name")
LABEL_COLUMNS = ("label", "class", "class_name", "target", "category", "label_name")
PART_COLUMNS = ("split", "part", "set", "subset")

ENDINGS = (".txt", ".csv", ".tsv", ".lst")

# Largest size of a list: ten times one of ImageNet's training images.
LIST_BYTES = 2**29

PLACE = re.compile(r"(?P<path>.*\S)\s+(?P<label>\S+)")


@dataclass(frozen=True)
class Row:
    """A line of a list.

    Attributes:
        path: Path of the image, from the list's folder or from the root.
        label: Name or number of its class.
        part: One of `TRAIN` and `TESTS`, or "" if the list does not say it.
    """

    path: str
    label: str
    part: str = ""


class PlacedRow(Protocol):
    """A line of any list: a path, and the part that it belongs to."""

    @property
    def path(self) -> str: ...

    @property
    def part(self) -> str: ...


AnyRow = TypeVar("AnyRow", bound=PlacedRow)


def load_list(
    path: str, parts: Sequence[str], *, exif: bool = False, share: float | None = None
) -> tuple[list[FileSplit], tuple[str, ...]]:
    """Lists the images of a list file, or of a folder with one for each part.

    A line holds a path, from the folder of the list, and a label after a space or tab. A table, of
    commas or tabs, has a header that names the columns, see `PATH_COLUMNS`, `LABEL_COLUMNS` and
    `PART_COLUMNS`. A folder holds `train.txt` and one of `test`, `validation`, `val` and `valid`,
    with one of `ENDINGS`. Labels are names of classes, sorted, or numbers.

    Args:
        path: The list, or the folder.
        parts: Some of `train` and `test`.
        exif: Whether images are turned as their EXIF orientation says.
        share: For a list without parts: the fraction of the images that is held out for the test
            split, see `folders.load_folder`.

    Returns:
        The splits, images sorted by class and path as in a folder, and the name of each label.

    Raises:
        UserError: If a list cannot be read, or gives an image two labels.
    """
    root = user_path(path)
    rows_of = rows_of_parts([*_all_rows(root)], parts, share, root)
    names = sorted_names({row.label for rows in rows_of.values() for row in rows})
    label_of = {name: label for label, name in enumerate(names)}
    folder = root if root.is_dir() else root.parent
    splits = []
    for part in parts:
        rows = sorted(rows_of[part], key=lambda row: (label_of[row.label], row.path.split("/")))
        paths = FileNames.of(os.path.join(folder, row.path) for row in rows)
        labels = np.array([label_of[row.label] for row in rows], "int32")
        splits.append(FileSplit(paths, labels, exif))
    return splits, names


def rows_of_parts(
    rows: list[AnyRow], parts: Sequence[str], share: float | None, root: Path
) -> dict[str, list[AnyRow]]:
    """Returns the rows of `train` and `test`, as the rows or a share of them say.

    Args:
        rows: All rows of a list.
        parts: Some of `train` and `test`: those that must have rows.
        share: See `load_list`.
        root: The list, for messages.

    Raises:
        UserError: If a part has no rows, or only some rows name their part.
    """
    by_part: dict[str, list[AnyRow]] = {}
    for row in rows:
        by_part.setdefault(row.part, []).append(row)
    if not rows:
        raise UserError(f"{root} lists no images.")
    if "" in by_part:
        if len(by_part) > 1:
            raise UserError(f"{root} must name the part of each image, or of none.")
        if share is None and TRAIN not in parts:
            return {TRAIN: [], "test": rows}
        return _shared(rows, share, root)
    first = part_to_test(root, by_part)
    if first is None and TRAIN in by_part:
        return _shared(by_part[TRAIN], share, root)
    say_unused(share, root, str(first))
    if TRAIN in parts and TRAIN not in by_part:
        raise UserError(f"{root} lists no images of {TRAIN}.")
    return {TRAIN: by_part.get(TRAIN, []), "test": by_part[str(first)]}


def _shared(rows: Sequence[AnyRow], share: float | None, root: Path) -> dict[str, list[AnyRow]]:
    found: dict[str, list[AnyRow]] = {TRAIN: [], "test": []}
    for row, held in zip(rows, held_out(root, [row.path for row in rows], share), strict=True):
        found["test" if held else TRAIN].append(row)
    return found


def _all_rows(root: Path) -> Iterator[Row]:
    if not root.is_dir():
        yield from _rows_of(root, "")
        return
    lists = {
        part: path
        for part in (TRAIN, *TESTS)
        for ending in ENDINGS
        if (path := root / f"{part}{ending}").is_file()
    }
    if not lists:
        raise UserError(
            f"{root} must hold lists of images named {TRAIN}.txt and test.txt, or with "
            f"{', '.join(TESTS[1:])} and {', '.join(ENDINGS[1:])}. Or name one list: list:PATH."
        )
    for part, path in lists.items():
        for row in _rows_of(path, part):
            if row.part != part:
                raise UserError(f"{path} lists images of {row.part} too. Use list:{path} alone.")
            yield row


def _rows_of(path: Path, part: str) -> Iterator[Row]:
    """Yields the rows of a list; `part` is that of the rows that name none."""
    # Names of files need not be UTF-8.
    text = files.read_bytes(path, LIST_BYTES).decode("utf-8-sig", errors="surrogateescape")
    labels: dict[str, str] = {}
    for number, (image, label, own) in enumerate(_cells(path, text), start=1):
        if not image or not label:
            raise UserError(f"{path} must have a path and a label in each line. Line: {number}.")
        if labels.setdefault(image, label) != label:
            raise UserError(
                f"{path} must give each image one label. Received: {image} as {labels[image]} and "
                f"as {label}."
            )
        if number == 1 and not os.path.lexists(path.parent / image):
            raise UserError(f"{path} lists {image}, and {path.parent / image} is not there.")
        yield Row(image, label, part_of(path, own) if own else part)


def _cells(path: Path, text: str) -> Iterator[tuple[str, str, str]]:
    """Yields path, label and part of each row, the last "" if the list does not say it."""
    start = text[: text.find("\n")] if "\n" in text else text
    comma = "\t" if path.suffix.lower() == ".tsv" or "\t" in start else ","
    if "\0" in text:
        raise UserError(f"{path} is no list of images: it is not text.")
    head = [cell.strip().lower() for cell in start.split(comma)]
    places = [_column(head, names) for names in (PATH_COLUMNS, LABEL_COLUMNS, PART_COLUMNS)]
    if None in places[:2] and path.suffix.lower() not in (".csv", ".tsv"):
        yield from _lines(path, text)
        return
    rows = csv.reader(io.StringIO(text), delimiter=comma)
    if None in places[:2]:
        if len(head) != 2:
            raise UserError(
                f"{path} must have a header with columns such as {PATH_COLUMNS[0]} and "
                f"{LABEL_COLUMNS[0]}. Received: {start[:80]!r}."
            )
        places = [0, 1, None]
    else:
        next(rows)
    try:
        for row in filter(None, rows):
            yield tuple("" if at is None else row[at].strip() for at in places)  # type: ignore[misc]
    except (IndexError, csv.Error) as error:
        raise UserError(f"{path} must have as many cells in each line as in the first.") from error


def _lines(path: Path, text: str) -> Iterator[tuple[str, str, str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            found = PLACE.fullmatch(line.strip())
            if found is None:
                raise UserError(
                    f"{path} must have a path and a label in each line. Received, in line "
                    f"{number}: {line.strip()[:80]!r}."
                )
            yield found["path"], found["label"], ""


def _column(head: Sequence[str], names: Sequence[str]) -> int | None:
    return next((head.index(name) for name in names if name in head), None)


def part_of(path: Path, own: str) -> str:
    """Returns the part that a cell of a list names: one of `TRAIN` and `TESTS`.

    Raises:
        UserError: If it names none.
    """
    name = own.lower().removesuffix("ing")
    if name not in (TRAIN, *TESTS):
        raise UserError(f"{path} must name parts {', '.join((TRAIN, *TESTS))}. Received: {own!r}.")
    return name


def sorted_names(names: Collection[str]) -> tuple[str, ...]:
    """Returns the classes of a list sorted, as numbers if all are numbers."""
    if all(re.fullmatch(r"\d{1,9}", name) for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))
