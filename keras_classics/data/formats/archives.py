"""Tar and zip archives of images, read in place: an index of their members, and nothing unpacked.

An uncompressed tar and a zip archive, whose members are compressed one by one, let any image be
read alone. A compressed tar does not.
"""

import posixpath
import stat
import struct
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from keras_classics.data import image_files
from keras_classics.data.file_names import FileNames
from keras_classics.data.listings import Listing
from keras_classics.data.packed import ArchiveSplit, first_inflated
from keras_classics.data.trees import (
    SYSTEM_FILES,
    SYSTEM_FOLDERS,
    Tree,
    ending_of,
    named_as_image,
)
from keras_classics.errors import UserError, short_reason

# What a zip archive's member begins with: a mark, and at its end the lengths of a name and of an
# extra field, after which its bytes follow.
ZIP_HEAD = struct.Struct("<4s22xHH")
ZIP_MARK = b"PK\3\4"

ENCRYPTED = 1

# First bytes of files that hold a compressed tar.
COMPRESSED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"(\xb5/\xfd": "zstd"}

# Bytes that are unpacked to see whether a compressed member is an image.
START = 16


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    Attributes:
        file: Path of the archive.
        offset: Where its bytes start in it.
        length: How many they are.
        size: Bytes of the file itself: more, if it is compressed.
        deflated: Whether it is compressed.
    """

    file: str
    offset: int
    length: int
    size: int
    deflated: bool = False


class ArchiveTree(Tree):
    """Folders of images in archives.

    Args:
        root: Path that messages name.
        members: The files by their paths in the archive.
    """

    def __init__(self, root: Path, members: dict[str, Member]):
        self.root = root
        self._members = members
        self._folders: dict[str, Listing] = {"": Listing()}
        for name in members:
            self._add(name)
        for listing in self._folders.values():
            for names in (listing.folders, listing.images, listing.others):
                names.sort()

    def _add(self, name: str) -> None:
        *folders, file = name.split("/")
        if any(map(SYSTEM_FOLDERS.match, folders)) or SYSTEM_FILES.match(file):
            return
        listing = self._folders[self._added_folder("/".join(folders))]
        (listing.images if self._is_image(name) else listing.others).append(file)

    def _added_folder(self, folder: str) -> str:
        if folder not in self._folders:
            parent, _, name = folder.rpartition("/")
            self._folders[self._added_folder(parent)].folders.append(name)
            self._folders[folder] = Listing()
        return folder

    def listing(self, folder: str) -> Listing:
        """See `Tree`."""
        return self._folders.get(folder, Listing())

    def kind(self, name: str) -> str:
        """See `Tree`."""
        return "folder" if name in self._folders else ending_of(name)

    def real(self, folder: str) -> str:
        """See `Tree`. Links to folders in archives are not followed."""
        return folder

    def split(self, names: Sequence[str], labels: np.ndarray, exif: bool) -> ArchiveSplit:
        """See `Tree`."""
        members = [self._members[name] for name in names]
        files = sorted({member.file for member in members})
        return ArchiveSplit(
            tuple(files),
            np.array([files.index(member.file) for member in members], "int32"),
            np.array([member.offset for member in members], "int64"),
            np.array([member.length for member in members], "int64"),
            FileNames.of(names),
            np.array([member.size for member in members], "int64"),
            np.array([member.deflated for member in members], bool),
            labels,
            exif,
        )

    def _is_image(self, name: str) -> bool:
        if named_as_image(name):
            return True
        member = self._members[name]
        with open(member.file, "rb") as file:
            file.seek(member.offset)
            # Some hundred bytes hold the first 16, compressed.
            start = file.read(min(member.length, 1024))
        if member.deflated:
            start = first_inflated(start, START)
        return image_files.format_of(start[:START]) is not None


def is_archive(path: Path) -> bool:
    """Returns whether a file is a tar or zip archive, by its content; a compressed tar too."""
    if not path.is_file():
        return False
    return zipfile.is_zipfile(path) or _compression(path) is not None or _is_tar(path)


def open_archive(path: Path) -> ArchiveTree:
    """Reads the index of a tar or zip archive.

    Raises:
        UserError: If it is damaged, compressed as a whole or encrypted, or a member would be
            written outside of the folder that it is unpacked to.
    """
    if zipfile.is_zipfile(path):
        return ArchiveTree(path, dict(_checked(path, zip_members(path))))
    kind = _compression(path)
    if kind is not None:
        raise UserError(
            f"{path} is compressed by {kind}: images of it cannot be read one by one. Unpack it, "
            "or repack it as a tar without compression; JPEG files are compressed already."
        )
    return ArchiveTree(path, dict(_checked(path, tar_members(path))))


def tar_members(
    path: Path, start: int = 0, size: int | None = None
) -> Iterator[tuple[str, Member]]:
    """Yields name and place of each file in an uncompressed tar archive.

    Args:
        path: The file.
        start: Where the archive starts in it, if it is a member of another archive.
        size: Its bytes, or None: all that follow.

    Raises:
        UserError: If it is cut short or no tar archive.
    """
    found: dict[str, Member] = {}
    try:
        with open(path, "rb") as file:
            end = file.seek(0, 2) if size is None else start + size
            file.seek(start)
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for info in archive:
                    member = _tar_member(path, info, found)
                    if member is not None:
                        if member.offset + member.length > end:
                            raise UserError(f"{path} is cut short at its member {info.name!r}.")
                        found[info.name] = member
                        yield info.name, member
                    # It keeps all members, which ImageNet has many of.
                    archive.members = []  # type: ignore[misc]
                # It takes a damaged header for the end, which is a block of zeros.
                file.seek(archive.offset)
                if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                    raise UserError(f"{path} is cut short or damaged at byte {archive.offset:,}.")
    except tarfile.TarError as error:
        raise UserError(f"{path} is no intact tar archive: {short_reason(error)}.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error


def _tar_member(path: Path, info: tarfile.TarInfo, found: dict[str, Member]) -> Member | None:
    """Returns where a member lies; a link is where the file lies that it links to."""
    if info.issym() or info.islnk():
        base = posixpath.dirname(info.name) if info.issym() else ""
        return found.get(posixpath.normpath(posixpath.join(base, info.linkname)))
    if not info.isreg() or info.sparse is not None:
        return None
    return Member(str(path), info.offset_data, info.size, info.size)


def zip_members(path: Path) -> Iterator[tuple[str, Member]]:
    """Yields name and place of each file in a zip archive.

    Raises:
        UserError: If it is damaged, or a member is encrypted or compressed in a rare way.
    """
    try:
        with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
            for info in archive.infolist():
                if info.is_dir() or stat.S_ISLNK(info.external_attr >> 16):
                    continue
                yield info.filename, _zip_member(path, info, file)
    except (zipfile.BadZipFile, struct.error, NotImplementedError) as error:
        raise UserError(f"{path} is no intact zip archive: {short_reason(error)}.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error


def _zip_member(path: Path, info: zipfile.ZipInfo, file: IO[bytes]) -> Member:
    if info.flag_bits & ENCRYPTED:
        raise UserError(f"{path} is encrypted. Unpack it with its password.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        kind = zipfile.compressor_names.get(info.compress_type, info.compress_type)
        raise UserError(
            f"{path} must hold stored or deflated files. Received: {info.filename!r}, compressed "
            f"by {kind}. Unpack it."
        )
    file.seek(info.header_offset)
    mark, name, extra = ZIP_HEAD.unpack(file.read(ZIP_HEAD.size))
    if mark != ZIP_MARK:
        raise UserError(f"{path} is no intact zip archive: {info.filename!r} is not where it says.")
    offset = info.header_offset + ZIP_HEAD.size + name + extra
    deflated = info.compress_type == zipfile.ZIP_DEFLATED
    return Member(str(path), offset, info.compress_size, info.file_size, deflated)


def _checked(path: Path, members: Iterator[tuple[str, Member]]) -> Iterator[tuple[str, Member]]:
    """Yields members under tidy names, the last of each name; refuses those that would escape."""
    for name, member in members:
        parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
        if ".." in parts or name.startswith(("/", "\\")):
            raise UserError(
                f"{path} must hold files below its own folder. Received: the member {name!r}."
            )
        if parts:
            yield "/".join(parts), member


def _compression(path: Path) -> str | None:
    with open(path, "rb") as file:
        start = file.read(8)
    return next((kind for mark, kind in COMPRESSED.items() if start.startswith(mark)), None)


def _is_tar(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except OSError:
        return False
