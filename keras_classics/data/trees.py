"""Folders on the disk, read as archives are: names of folders and images, relative to a root.

A file whose name ends as an image's is taken for one without a look into it, so that listing
ImageNet reads no file. Of all others the first bytes decide.
"""

import os
import re
import stat
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_classics.data import image_files
from keras_classics.data.file_names import FileNames
from keras_classics.data.listings import Listing, ListingIndex
from keras_classics.data.splits import EncodedSplit, FileSplit

# Folders and files that systems and programs add to those of users.
SYSTEM_FOLDERS = re.compile(
    r"\.|(@eaDir|@Recycle|#recycle|#snapshot|__MACOSX|__pycache__|lost\+found|\$RECYCLE\.BIN"
    r"|System Volume Information)$"
)
SYSTEM_FILES = re.compile(r"\._|(\.DS_Store|Thumbs\.db|desktop\.ini)$", re.IGNORECASE)

# Names of what is neither a file nor a link.
KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}

# Most files that a message names.
NAMED = 5


class Tree(ABC):
    """Folders of image files, on the disk or in an archive.

    Folders and files are named by their paths from the root, with slashes; the root is `""`.

    Attributes:
        root: Path of the folder or archive.
    """

    root: Path

    @abstractmethod
    def listing(self, folder: str) -> Listing:
        """Returns what is in a folder, which need not exist."""

    @abstractmethod
    def kind(self, name: str) -> str:
        """Returns what kind of thing is left out: the end of a file's name, or `folder`."""

    @abstractmethod
    def split(self, names: Sequence[str], labels: np.ndarray, exif: bool) -> EncodedSplit:
        """Returns the split of some images, with labels of int32."""

    @abstractmethod
    def real(self, folder: str) -> str:
        """Returns the path of the folder that a folder is, or links to."""

    def images_below(self, folder: str, above: tuple[str, ...] = ()) -> tuple[list[str], list[str]]:
        """Returns the images in a folder and in all folders below, and what else is there.

        Args:
            folder: The folder.
            above: What `real` returns for the folders on the way to it: a link to one of them is
                not followed.
        """
        here = self.listing(folder)
        way = (*above, self.real(folder))
        images = [join(folder, name) for name in here.images]
        others = [join(folder, name) for name in here.others]
        for below in (join(folder, name) for name in here.folders):
            if self.real(below) not in way:
                found, left = self.images_below(below, way)
                images += found
                others += left if found or left else [below]
        if here.folders:
            images.sort(key=_by_parts)
            others.sort(key=_by_parts)
        return images, others

    def described_left_out(self, names: Sequence[str]) -> str:
        """Returns a line that counts, by kind, what is left out, and names the first."""
        kinds = Counter(self.kind(name) for name in names)
        counts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
        shown = [*names[:NAMED], *(["..."] if len(names) > NAMED else [])]
        return (
            f"{len(names):,} left out, because TensorFlow does not read them as images ({counts}): "
            f"{', '.join(shown)}"
        )


class FolderTree(Tree):
    """A folder on the disk."""

    def __init__(self, root: Path):
        self.root = root
        self._index = ListingIndex(root)

    def listing(self, folder: str) -> Listing:
        """See `Tree`."""
        return self._index.listing(folder, self._scan)

    def remember(self) -> None:
        """Keeps the listings for the next program, where that saves time."""
        self._index.save()

    def _scan(self, path: Path) -> Listing:
        """Lists a folder."""
        found = Listing()
        if not path.is_dir():
            return found
        with os.scandir(path) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                # Only of a link, the system is asked. One that leads nowhere is taken for a file,
                # which cannot be read.
                is_link = entry.is_symlink()
                found.by_names &= not is_link
                is_folder = os.path.isdir(entry.path) if is_link else entry.is_dir()
                if (SYSTEM_FOLDERS if is_folder else SYSTEM_FILES).match(entry.name):
                    continue
                if is_folder:
                    found.folders.append(entry.name)
                elif _is_file(entry, is_link) and named_as_image(entry.name):
                    found.images.append(entry.name)
                else:
                    found.by_names = False
                    is_image = _is_file(entry, is_link) and _has_image(entry)
                    (found.images if is_image else found.others).append(entry.name)
        return found

    def kind(self, name: str) -> str:
        """See `Tree`."""
        path = self.root / name
        try:
            kind = KINDS.get(stat.S_IFMT(path.stat().st_mode))
        except OSError:
            kind = None
        return kind or ending_of(name)

    def split(self, names: Sequence[str], labels: np.ndarray, exif: bool) -> FileSplit:
        """See `Tree`."""
        # Of the folder `.`, nothing.
        prefix = str(self.root / "_").removesuffix("_")
        return FileSplit(FileNames.of(names).below(prefix), labels, exif)

    def real(self, folder: str) -> str:
        """See `Tree`."""
        return os.path.realpath(self.root / folder)


def join(folder: str, name: str) -> str:
    """Returns the path of something in a folder, both from the root of a tree."""
    return f"{folder}/{name}" if folder else name


def named_as_image(name: str) -> bool:
    """Returns whether a name ends as that of an image file."""
    return name[name.rfind(".") :].lower() in image_files.EXTENSIONS


def ending_of(name: str) -> str:
    """Returns the end of a file's name, in words if it has none."""
    return Path(name).suffix.lower() or "without an ending"


def _is_file(entry: os.DirEntry, is_link: bool) -> bool:
    if is_link:
        return os.path.isfile(entry.path) or not os.path.exists(entry.path)
    return entry.is_file()


def _has_image(entry: os.DirEntry) -> bool:
    """Returns whether a file begins as an image file does."""
    try:
        with open(entry.path, "rb") as file:
            return image_files.format_of(file.read(16)) is not None
    except OSError:
        return False


def _by_parts(name: str) -> list[str]:
    return name.split("/")
