"""Files that are either whole under their own name or not there."""

import contextlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from keras_classics.errors import UserError


@contextlib.contextmanager
def written_aside(path: str | os.PathLike) -> Iterator[Path]:
    """Gives a path beside `path` to write a file or a folder to, and renames it when all went well.

    A file replaces what is under `path`. A folder must not be there yet. After an exception
    nothing is left; after a crash, a name that starts with `.aside-`, which the next writer of
    the same path removes.

    Args:
        path: Where the file or folder shall be. Its parent folder is made.
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
        os.replace(aside, path)
        _flush(path.parent)
    except BaseException:
        remove(aside)
        raise


def refuse_existing(path: Path) -> None:
    """Raises a `UserError` where something lies under `path` already."""
    if path.exists():
        raise UserError(f"{path} is there already. Remove it, or take another path.")


def refuse_unwritable(path: Path) -> None:
    """Raises a `UserError` where nothing can be written under `path`; makes its parent folder."""
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


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
