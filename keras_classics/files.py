"""Files that are either whole under their own name or not there."""

import contextlib
import csv
import ctypes
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_classics.errors import UserError

# Of Linux's renameat2: paths are relative to the working directory, and change places.
AT_FDCWD = -100
RENAME_EXCHANGE = 2


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike, overwrite: bool = False) -> Iterator[Path]:
    """Gives a path beside `path` to write a file or a folder to, and renames it when all went well.

    A file replaces a file. One process at a time writes to a path. After an exception nothing is
    left; after a crash, a name that starts with `.aside-`, which the next writer of the same path
    removes.

    Args:
        path: Where the file or folder shall be. Its parent folder is made.
        overwrite: Whether to replace a folder, too. Else none must be there.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The ending stays, because savers look at it.
    aside = path.with_name(f".aside-{path.name}")
    remove(aside)
    try:
        yield aside
        if aside.is_file():
            _flush(aside)
        if overwrite and path.is_dir():
            _exchange(aside, path)
        else:
            os.replace(aside, path)
        _flush(path.parent)
    except BaseException:
        remove(aside)
        raise
    # What was there before, if it was a folder.
    remove(aside)


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file, whole or not at all."""
    with atomic_write(path) as aside:
        aside.write_text(json.dumps(content, indent=2) + "\n")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes a CSV file with a head, whole or not at all."""
    with atomic_write(path) as aside, open(aside, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def refuse_existing(path: Path) -> None:
    """Raises a `UserError` where something lies under `path` already."""
    if path.exists():
        raise UserError(f"{path} is there already. Remove it, or take another path.")


def refuse_unwritable(path: Path) -> None:
    """Raises a `UserError` where nothing can be written under `path`; makes its parent folder."""
    if path.name in ("", ".."):
        raise UserError(f"Name a file or folder of its own. Received: {path}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error


def refuse_escaping_members(path: Path) -> None:
    """Raises a `UserError` where an archive names a file outside of itself; others pass."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.startswith("/") or ".." in Path(name).parts or "\\" in name:
                raise UserError(f"it is an archive with a file outside of itself, {name!r}")


def remove(path: Path) -> None:
    """Removes a file or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _exchange(one: Path, other: Path) -> None:
    """Lets two paths in one folder change places, in one step where the system can."""
    with contextlib.suppress(AttributeError):
        rename = ctypes.CDLL(None).renameat2
        paths = (AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other))
        if rename(*paths, RENAME_EXCHANGE) == 0:
            return
    # Not every system and file system has it. Here is a moment in which nothing is under `other`.
    spare = one.with_name(f"{one.name}.old")
    remove(spare)
    os.replace(other, spare)
    os.replace(one, other)
    os.replace(spare, one)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
