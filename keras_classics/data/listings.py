"""What is in the folders of a large data set, kept in Keras's cache from one program to the next.

To list ImageNet's 1.28 million files takes seconds, and minutes on a cold or remote disk. A file
system stamps a folder whenever a file in it is added, removed or renamed, and no program can undo
that. So a folder with the same stamps as when it was listed is not listed again. What names do not
decide is never kept: folders with links, and with files whose content must be looked at.
"""

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_classics import files

# Smaller data sets are listed in less time than an index is read.
SMALLEST = 10_000

# A folder that changed so short a time before it was listed may change again without a new stamp:
# file systems count in steps of up to two seconds.
SETTLED_NS = 2 * 10**9

# File systems that stamp folders. Others are listed each time: FAT, whose folders Windows does not
# stamp, and those of programs, such as mounts of object stores.
STAMPING = frozenset(
    ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "tmpfs", "overlay")
    + ("nfs", "nfs4", "lustre", "ceph", "gpfs")
)
MOUNTS = "/proc/self/mountinfo"

# Changes with the form of the file.
VERSION = 1


@dataclass
class Listing:
    """What is in a folder, sorted by name.

    Attributes:
        folders: Names of its folders.
        images: Names of its image files.
        others: Names of what else is in it. What a system adds to a folder is in none of the three.
        by_names: Whether the names decided that: it has no links, and no file was looked into.
    """

    folders: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    by_names: bool = True


class Entry(NamedTuple):
    """A folder of the index.

    Attributes:
        stamp: What `_stamp` returned for it.
        names: Names of its folders, each with a slash, then of its images, with NULs between them.
    """

    stamp: tuple[int, ...]
    names: bytes

    @classmethod
    def of(cls, stamp: tuple[int, ...], listing: Listing) -> "Entry":
        """Returns the entry of a folder."""
        names = [f"{folder}/" for folder in listing.folders] + listing.images
        return cls(stamp, os.fsencode("\0".join(names)))

    def listing(self) -> Listing:
        """Returns what is in the folder."""
        names = os.fsdecode(self.names).split("\0") if self.names else []
        count = next((i for i, name in enumerate(names) if name[-1] != "/"), len(names))
        return Listing([name[:-1] for name in names[:count]], names[count:])


class ListingIndex:
    """The listings of a folder and of all folders below, in a file.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path):
        self._root = root
        self._stamping: dict[int, bool] = {}
        self._path: Path | None = None
        self._entries: dict[str, Entry] = {}
        self._changed = False
        # Without a home there is no cache. Wrong bytes lead to any exception; it is written anew.
        with contextlib.suppress(Exception):
            name = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:32]
            folder = files.keras_folder() / "keras_classics_listings"
            self._path = folder / f"{name}.npz"
            self._entries = _read(self._path)

    def listing(self, folder: str, scan: Callable[[Path], Listing]) -> Listing:
        """Returns what is in a folder.

        Args:
            folder: The folder, from the root.
            scan: Lists a folder that is not in the index, or has changed since.
        """
        path = self._root / folder
        now = time.time_ns()
        try:
            status = os.stat(path)
        except OSError:
            return scan(path)
        stamp = _stamp(status)
        entry = self._entries.get(folder)
        if entry is not None and entry.stamp == stamp:
            return entry.listing()
        found = scan(path)
        # The stamp is older than the listing: what changes between the two is noticed later.
        settled = status.st_ctime_ns + SETTLED_NS < now
        if found.by_names and settled and self._is_stamped(status, path):
            self._entries[folder] = Entry.of(stamp, found)
            self._changed = True
        elif entry is not None:
            del self._entries[folder]
            self._changed = True
        return found

    def save(self) -> None:
        """Writes what has changed, if the data set is large and the cache can be written."""
        if self._path is None or not self._changed:
            return
        entries = {f: e for f, e in self._entries.items() if os.path.isdir(self._root / f)}
        if sum(entry.names.count(0) + 1 for entry in entries.values()) < SMALLEST:
            return
        # Also if another process writes it at this time.
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = self._path.with_name(f".aside-{self._path.name}.lock")
            with files.process_lock(lock, timeout=0), files.atomic_write(self._path) as aside:
                _write(aside, entries)

    def _is_stamped(self, status: os.stat_result, path: Path) -> bool:
        """Returns whether the file system of a folder stamps it."""
        if status.st_dev not in self._stamping:
            self._stamping[status.st_dev] = _file_system(os.path.realpath(path)) in STAMPING
        return self._stamping[status.st_dev]


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    """Returns what changes with the names in a folder; the time of its status, with any of them."""
    return status.st_ctime_ns, status.st_mtime_ns, status.st_ino, status.st_size, status.st_nlink


def _file_system(path: str) -> str:
    """Returns the type of the file system of a real path; "" where the system does not say it."""
    found = {"": ""}
    try:
        with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as mounts:
            for line in mounts:
                before, _, after = line.partition(" - ")
                # Spaces in it are escaped.
                point = re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), before.split()[4])
                if path == point or path.startswith(os.path.join(point, "")):
                    found[point] = after.split()[0]
    except (OSError, IndexError):
        return ""
    return found[max(found, key=len)]


def _read(path: Path) -> dict[str, Entry]:
    """Returns the folders of an index; raises any exception if it is missing or damaged."""
    arrays = files.read_arrays(files.read_bytes(path))
    folders = os.fsdecode(arrays["folders"].tobytes()).split("\0")
    stamps, names, ends = arrays["stamps"].tolist(), arrays["names"].tobytes(), arrays["ends"]
    starts = [0, *ends[:-1].tolist()]
    if int(arrays["version"]) != VERSION:
        raise ValueError(f"{path} is of another version")
    rows = zip(folders, stamps, starts, ends.tolist(), strict=True)
    return {name: Entry(tuple(stamp), names[a:b]) for name, stamp, a, b in rows}


def _write(path: Path, entries: dict[str, Entry]) -> None:
    """Writes an index."""
    np.savez(
        path,
        version=VERSION,
        folders=np.frombuffer(os.fsencode("\0".join(entries)), "uint8"),
        stamps=np.array([entry.stamp for entry in entries.values()], "int64"),
        names=np.frombuffer(b"".join(entry.names for entry in entries.values()), "uint8"),
        ends=np.cumsum([len(entry.names) for entry in entries.values()]),
    )
