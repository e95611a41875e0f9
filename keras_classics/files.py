"""Atomic writing of files and folders: they are complete or do not exist."""

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

import filelock

from keras_classics.errors import UserError

# Arguments of Linux's renameat2: relative to the working directory; exchange both paths.
AT_FDCWD = -100
RENAME_EXCHANGE = 2


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike, overwrite: bool = False) -> Iterator[Path]:
    """Yields a temporary path beside `path`, and renames it to `path` if no exception occurs.

    A file replaces an existing file. Only one process at a time may write to a path. After an
    exception nothing is left. After a crash a path that starts with `.aside-` is left, which the
    next writer of the same path removes.

    Args:
        path: File or folder to write. Its parent folder is created.
        overwrite: Whether to replace an existing folder; if not, no folder may exist.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Keeps the ending, by which savers choose the format.
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
    # After an exchange, the folder that was replaced.
    remove(aside)


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file atomically."""
    with atomic_write(path) as aside:
        aside.write_text(json.dumps(content, indent=2) + "\n")


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes a CSV file with a header atomically."""
    with atomic_write(path) as aside, open(aside, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def process_lock(path: str | os.PathLike, timeout: float = -1) -> filelock.BaseFileLock:
    """Returns a lock that one process at a time holds, and that ends with the process.

    Args:
        path: The file of the lock.
        timeout: Seconds to wait before `filelock.Timeout` is raised; -1 waits for ever.
    """
    # A soft lock, which filelock falls back to by default, would outlive a killed process.
    return filelock.FileLock(path, timeout=timeout, fallback_to_soft=False)


def refuse_existing(path: Path) -> None:
    """Raises a `UserError` if `path` exists."""
    if path.exists():
        raise UserError(f"{path} already exists. Remove it, or use another path.")


def refuse_unwritable(path: Path) -> None:
    """Creates the parent folder of `path`; raises a `UserError` if `path` cannot be written."""
    if path.name in ("", ".."):
        raise UserError(f"The path must end in the name of a file or folder. Received: {path}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error


def refuse_escaping_members(path: Path) -> None:
    """Raises a `UserError` if an archive contains a path that leads out of it."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.startswith("/") or ".." in Path(name).parts or "\\" in name:
                raise UserError(f"it is an archive with a path that leads out of it, {name!r}")


def remove(path: Path) -> None:
    """Removes a file, or a folder with its contents, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _exchange(one: Path, other: Path) -> None:
    """Exchanges two paths in one folder, atomically if the system supports it."""
    with contextlib.suppress(AttributeError):
        rename = ctypes.CDLL(None).renameat2
        paths = (AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other))
        if rename(*paths, RENAME_EXCHANGE) == 0:
            return
    # Other systems and file systems: for a moment, `other` does not exist.
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
