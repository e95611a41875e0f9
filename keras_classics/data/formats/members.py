"""Files in a folder or an archive, found by their names. Archives are read, never unpacked to disk.

A member `NAME.gz` stands for `NAME`, and one of gzip's content is unpacked when it is read.
"""

import contextlib
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from keras_classics import files
from keras_classics.errors import UserError, short_reason

# Most bytes that a file may hold, and an archive after it is unpacked: more than STL-10's, the
# largest of these sets, which has 3.1 GB.
UNPACKED_BYTES = 2**32

# How gzip files begin.
GZIP = b"\x1f\x8b"

# Endings of archives, for files that are too damaged to show what they are.
TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
ZIP_ENDINGS = (".zip", ".npz")

CHUNK_BYTES = 1 << 20

# What reading a damaged archive or gzip file raises. zipfile raises RuntimeError for an encrypted
# member, and NotImplementedError, one of its kinds, for an unknown compression.
DAMAGED = (
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Member:
    """A file in a folder or an archive.

    Attributes:
        name: What messages call it.
        content: Its bytes as they are stored.
    """

    name: str
    content: bytes

    @contextlib.contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """Opens the file, unpacked if it is one of gzip.

        Raises:
            UserError: If it is damaged.
        """
        stored = io.BytesIO(self.content)
        is_gzip = self.content[:2] == GZIP
        with naming_damage(self.name), gzip.open(stored) if is_gzip else stored as file:
            yield file

    def read(self, most: int = UNPACKED_BYTES) -> bytes:
        """Returns the bytes of the file, unpacked if it is one of gzip.

        Args:
            most: Largest size that it may have, in bytes.

        Raises:
            UserError: If it is damaged, or larger.
        """
        with self.opened() as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise _too_large(self.name, most)
        return content


@contextlib.contextmanager
def naming_damage(name: str) -> Iterator[None]:
    """Turns errors about a damaged file into one that names it."""
    try:
        yield
    except UserError:
        raise
    except DAMAGED as error:
        if isinstance(error, OSError) and error.strerror:
            raise UserError(f"{name} cannot be read: {error.strerror}.") from error
        raise UserError(
            f"{name} cannot be read: {short_reason(error)}. It is cut short or damaged; download "
            "it again."
        ) from error


def read_members(path: Path, names: Mapping[str, str]) -> dict[str, Member]:
    """Reads some files of a folder or an archive.

    Args:
        path: A tar or zip archive, or a folder, of which the folders in it are looked at too. One
            of the files stands for the folder that it is in.
        names: From a file's name, without folders and `.gz`, to the name that it is returned by.

    Returns:
        The files that are there. Of a file and its `.gz`, the file.

    Raises:
        UserError: If a file is damaged or too large, has a path that leads out of the archive, or
            two have one name.
    """
    kind = kind_of(path)
    if kind is None:
        folders = [path, *sorted(folder for folder in path.iterdir() if folder.is_dir())]
        found = _of_folder(folders, names)
    elif kind == "zip":
        found = _of_zip(path, names)
    elif kind == "tar":
        found = _of_tar(path, names)
    else:
        found = _of_folder([path.parent], names) if _is_wanted(path.name, names) else {}
    plain = {names[name]: found[name] for name in found if name in names}
    return {names[name.removesuffix(".gz")]: member for name, member in found.items()} | plain


def kind_of(path: Path) -> str | None:
    """Returns what a file is by its content: `zip`, `tar` (compressed or not) or `file`.

    Of archives that are too damaged to show it, the ending decides. Of a folder, None.

    Raises:
        UserError: If it cannot be read.
    """
    if path.is_dir():
        return None
    with naming_damage(str(path)):
        with open(path, "rb") as file:
            if file.read(2) == b"PK":
                return "zip"
        with contextlib.suppress(EOFError, ValueError, lzma.LZMAError, zlib.error):
            if tarfile.is_tarfile(path):
                return "tar"
    endings = {"tar": TAR_ENDINGS, "zip": ZIP_ENDINGS}
    named = (kind for kind, ends in endings.items() if path.name.lower().endswith(ends))
    return next(named, "file")


def _is_wanted(name: str, names: Mapping[str, str]) -> bool:
    return name.removesuffix(".gz") in names


def _of_folder(folders: list[Path], names: Mapping[str, str]) -> dict[str, Member]:
    paths: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.iterdir()):
            if path.is_file() and _is_wanted(path.name, names):
                _check_single(path.name, paths, folders[0])
                paths[path.name] = path
    packed = [name for name in paths if name.endswith(".gz") and name.removesuffix(".gz") in paths]
    return {
        name: Member(str(path), files.read_bytes(path, UNPACKED_BYTES))
        for name, path in paths.items()
        if name not in packed
    }


def _of_zip(path: Path, names: Mapping[str, str]) -> dict[str, Member]:
    found: dict[str, Member] = {}
    with naming_damage(str(path)), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > UNPACKED_BYTES:
            raise _too_large(str(path), UNPACKED_BYTES)
        for member in members:
            name = _checked_name(member.filename, path)
            if _is_wanted(name, names) and not member.is_dir():
                _check_single(name, found, path)
                found[name] = Member(f"{path}, {member.filename}", archive.read(member))
    return found


def _of_tar(path: Path, names: Mapping[str, str]) -> dict[str, Member]:
    """Reads members in their order, because going back in a compressed archive reads it anew."""
    found: dict[str, Member] = {}
    with naming_damage(str(path)), tarfile.open(path) as archive:
        limited = _Limited(archive.fileobj, path)
        archive.fileobj = limited
        for member in archive:
            name = _checked_name(member.name, path)
            if _is_wanted(name, names) and member.isreg():
                _check_single(name, found, path)
                if member.size > UNPACKED_BYTES:
                    raise _too_large(str(path), UNPACKED_BYTES)
                content = archive.extractfile(member).read()
                found[name] = Member(f"{path}, {member.name}", content)
            archive.members.clear()
        # The checksum of compressed archives is at their end.
        while limited.read(CHUNK_BYTES):
            pass
    return found


class _Limited:
    """A file of which no more than `UNPACKED_BYTES` can be read."""

    def __init__(self, file: IO[bytes], path: Path):
        self.file, self.path = file, path

    def read(self, size: int) -> bytes:
        self._check(self.file.tell() + size)
        return self.file.read(size)

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        self._check(position)
        return self.file.seek(position, whence)

    def tell(self) -> int:
        return self.file.tell()

    def close(self) -> None:
        self.file.close()

    def _check(self, position: int) -> None:
        if position > UNPACKED_BYTES + CHUNK_BYTES:
            raise _too_large(str(self.path), UNPACKED_BYTES)


def _checked_name(name: str, path: Path) -> str:
    """Returns the last part of a member's path.

    Raises:
        UserError: If the path leads out of the archive.
    """
    parts = PurePosixPath(name.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts:
        raise UserError(f"{path} has a member with a path that leads out of it: {name!r}.")
    return parts.name


def _check_single(name: str, found: Mapping[str, object], path: Path) -> None:
    if name in found:
        raise UserError(f"{path} holds two files {name}. Give the folder or archive of one set.")


def _too_large(name: str, most: int) -> UserError:
    return UserError(f"{name} must unpack to at most {most:,} bytes. It has more.")
