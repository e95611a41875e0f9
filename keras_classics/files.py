"""Files: written whole or not at all, and read with one line for whatever is wrong with them."""

import contextlib
import csv
import ctypes
import io
import json
import os
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import filelock
import numpy as np

from keras_classics.errors import UserError

# Arguments of Linux's renameat2: relative to the working directory; exchange both paths.
AT_FDCWD = -100
RENAME_EXCHANGE = 2

# Largest size of a JSON file that is read.
JSON_BYTES = 2**26


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
    """Writes a CSV file with a header atomically, row by row.

    It is UTF-8; what is not, such as bytes of a file's name, is escaped as in Python's strings.
    """
    with (
        atomic_write(path) as aside,
        open(aside, "w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.DictWriter(_EndingInNewline(file), columns)
        writer.writeheader()
        writer.writerows(rows)


class _EndingInNewline:
    """Takes rows that end in CR LF, as `csv` has to write them to quote a CR inside of one."""

    def __init__(self, file: TextIO):
        self._file = file

    def write(self, row: str) -> None:
        self._file.write(row.removesuffix("\r\n") + "\n")


def read_bytes(path: str | os.PathLike, most: int | None = None) -> bytes:
    """Returns the content of a file.

    Args:
        path: The file.
        most: Largest size that it may have, in bytes; None for any.

    Raises:
        UserError: If it cannot be read, is larger, or is no file, such as a folder or a FIFO.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UserError(f"{path} cannot be read: it is no file.")
            if most is not None and status.st_size > most:
                raise UserError(
                    f"{path} must have at most {most:,} bytes. Received: {status.st_size:,}."
                )
            return file.read()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error


def _open_at_once(path: str, flags: int) -> int:
    """Opens a file without waiting for the writer of a FIFO."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_json(path: str | os.PathLike) -> Any:
    """Returns the content of a JSON file.

    Raises:
        UserError: If it cannot be read, or is no JSON.
    """
    try:
        return json.loads(read_bytes(path, JSON_BYTES))
    except UserError:
        raise
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not a JSON file: {error}.") from error


def read_arrays(content: bytes) -> dict[str, np.ndarray]:
    """Returns the arrays of a file that `np.savez` wrote, after checking all of its checksums.

    Raises:
        UserError: If it is damaged, or holds something else; the message says what only.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > len(content):
                raise UserError("its arrays are larger than the file")
            if len({member.filename for member in members}) < len(members):
                raise UserError("two of its arrays have one name")
            if archive.testzip() is not None:
                raise UserError("its checksums are wrong")
        with np.load(io.BytesIO(content)) as arrays:
            found = dict(arrays)
    except UserError:
        raise
    except Exception as error:
        # Wrong bytes lead to any exception of zipfile, zlib and NumPy.
        raise UserError(" ".join(str(error).split()) or type(error).__name__) from error
    if not all(isinstance(array, np.ndarray) for array in found.values()):
        raise UserError("it does not hold arrays alone")
    return found


def keras_folder() -> Path:
    """Returns the folder where Keras keeps its cache and settings, `~/.keras`."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")


def process_lock(path: str | os.PathLike, timeout: float = -1) -> filelock.BaseFileLock:
    """Returns a lock that one process at a time holds, and that ends with the process.

    Args:
        path: The file of the lock.
        timeout: Seconds to wait before `filelock.Timeout` is raised; -1 waits for ever.
    """
    # A soft lock, which filelock falls back to by default, would outlive a killed process.
    return filelock.FileLock(path, timeout=timeout, fallback_to_soft=False)


def user_path(text: str | os.PathLike) -> Path:
    """Returns the path that a user wrote, with `~` and `~USER` expanded.

    Raises:
        UserError: If it cannot be a path, or leads to what reading would wait for: a FIFO, a socket
            or a device.
    """
    text = os.fspath(text)
    if not text or "\0" in text:
        raise UserError(f"A path has at least one character, and no NUL. Received: {text!r}.")
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        raise UserError(f"{text} starts with ~ and the name of an unknown user.") from error
    with contextlib.suppress(OSError):
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise UserError(f"{path} is neither a file nor a folder.")
    return path


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
