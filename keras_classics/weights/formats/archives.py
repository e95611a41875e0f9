"""Zip archives of weights: their sizes are compared with the model before they are unpacked."""

import contextlib
import io
import os
import shutil
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

from keras_classics.errors import UserError

# The list of members, from which zipfile makes objects of 15 times its size.
DIRECTORY_BYTES = 4_000_000

CHUNK_BYTES = 1 << 20


@contextlib.contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Opens an archive.

    Raises:
        UserError: If two members have one name, or one a path that leads out of the archive.
    """
    _check_directory(path)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        for name in names:
            if name.startswith("/") or ".." in Path(name).parts or "\\" in name:
                raise UserError(f"it is an archive with a path that leads out of it, {name!r}")
        if len(set(names)) < len(names):
            raise UserError("it is an archive with two members of one name")
        yield archive


def _check_directory(path: Path) -> None:
    """Refuses a list of members that is too long, before zipfile reads it."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        # The end of the archive with its longest comment, and before it the one for large files.
        file.seek(max(0, size - (76 + 22 + (1 << 16))))
        tail = file.read()
    position = tail.find(b"PK\5\6")
    while 0 <= position <= len(tail) - 22:
        (length,) = struct.unpack_from("<L", tail, position + 12)
        if position >= 76 and tail[position - 76 :].startswith(b"PK\6\6"):
            (length,) = struct.unpack_from("<Q", tail, position - 76 + 40)
        if DIRECTORY_BYTES < length <= size:
            raise UserError(f"it is an archive with a list of members of {length:,} bytes")
        position = tail.find(b"PK\5\6", position + 1)


def check_sizes(members: list[zipfile.ZipInfo], archive: zipfile.ZipFile, allowance: int) -> None:
    """Raises a `UserError` if members, once unpacked, exceed the archive by an allowance."""
    packed = os.path.getsize(str(archive.filename))
    unpacked = sum(member.file_size for member in members)
    if unpacked > packed + allowance:
        raise UserError(
            f"it must unpack to at most {packed + allowance:,} bytes, for {packed:,} bytes of the "
            f"file and the size of the model. Received: {unpacked:,} bytes"
        )


def read_member(path: Path, name: str, allowance: int) -> io.BytesIO:
    """Returns a member of an archive, unpacked in memory, after checking its checksum.

    Args:
        path: The archive.
        name: Name of the member.
        allowance: Bytes by which the unpacked member may be larger than the archive.
    """
    with opened(path) as archive:
        check_sizes([archive.getinfo(name)], archive, allowance)
        content = io.BytesIO()
        with archive.open(name) as member:
            shutil.copyfileobj(member, content, CHUNK_BYTES)
    return content


def check_checksums(archive: zipfile.ZipFile) -> None:
    """Reads all members and compares their checksums; torch writes 0 where it was told to omit it.

    Raises:
        zipfile.BadZipFile: If a checksum is wrong.
    """
    for member in archive.infolist():
        if member.CRC:
            with archive.open(member) as content:
                while content.read(CHUNK_BYTES):
                    pass
