"""Folders of image files, a folder a class: which files are images, and which are left out.

A file whose name ends as an image's is taken for one without a look into it, so that listing
ImageNet reads no file. Of all others the first bytes decide.
"""

import logging
import os
import re
import stat
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_classics.data import image_files
from keras_classics.data.splits import FileSplit
from keras_classics.errors import UserError
from keras_classics.files import user_path

logger = logging.getLogger(__name__)

# How the names of such data sets begin. The second turns images as their EXIF orientation says.
FOLDER, FOLDER_EXIF = "folder:", "folder_exif:"

# Where they have their splits.
FOLDERS = {"train": "train", "test": "validation"}

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


def is_folder(name: str) -> bool:
    """Returns whether a data set is a folder of images."""
    return name.startswith((FOLDER, FOLDER_EXIF))


def is_upright(name: str | None) -> bool:
    """Returns whether a data set's images are turned as their EXIF orientation says."""
    return name is not None and name.startswith(FOLDER_EXIF)


def turned_upright(name: str) -> str:
    """Returns the name of the same folder with its images turned as their EXIF orientation says.

    Raises:
        UserError: If it is not the name of a folder.
    """
    if not is_folder(name):
        raise UserError(f"EXIF orientations need a dataset of folder:PATH. Received: {name}.")
    return FOLDER_EXIF + name.partition(":")[2]


def load_folder(name: str, parts: Sequence[str]) -> tuple[list[FileSplit], tuple[str, ...]]:
    """Lists the images of `folder:PATH` or `folder_exif:PATH`.

    A warning counts the files that are left out.

    Args:
        name: Name of the data set.
        parts: Some of `train` and `test`.

    Returns:
        The splits, and the name of each label: the folders in train, or if there is no train, those
        in validation.

    Raises:
        UserError: If a folder is missing, has no images, or has no images of a class.
    """
    root = user_path(name.partition(":")[2])
    folders = [root / FOLDERS[part] for part in parts]
    for folder in folders:
        if not folder.is_dir():
            raise UserError(
                f"{name} must hold train/CLASS and validation/CLASS folders of images. "
                f"{folder} is not a folder."
            )
    train = root / FOLDERS["train"]
    class_names = _class_folders(train if train.is_dir() else folders[0])
    splits, left_out = [], []
    for folder in folders:
        unknown = sorted(set(_class_folders(folder)) - set(class_names))
        if unknown:
            raise UserError(
                f"The classes of {name} are the folders in train. {folder} has others: "
                f"{', '.join(unknown[:NAMED])}."
            )
        paths, labels = [], []
        for label, class_name in enumerate(class_names):
            images, others = _images_of_class(folder / class_name)
            paths += [str(path) for path in images]
            labels += [label] * len(images)
            left_out += others
        splits.append(FileSplit(np.array(paths), np.array(labels, "int32"), is_upright(name)))
    if left_out:
        logger.warning("%s: %s", name, describe_left_out(left_out, root))
    return splits, class_names


def list_images(folder: Path) -> tuple[list[Path], list[Path]]:
    """Returns the image files of a folder, and what else is in it, both sorted by name.

    Folders and files of the system are in neither.
    """
    images, others = [], []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = Path(entry.path)
            # Only of a link, the system is asked. One that leads nowhere is taken for a file, which
            # cannot be read.
            is_link = entry.is_symlink()
            is_folder = path.is_dir() if is_link else entry.is_dir()
            is_file = path.is_file() or not path.exists() if is_link else entry.is_file()
            if (SYSTEM_FOLDERS if is_folder else SYSTEM_FILES).match(entry.name):
                continue
            (images if is_file and _is_image(path) else others).append(path)
    return images, others


def describe_left_out(paths: Sequence[Path], root: Path) -> str:
    """Returns a line that counts, by kind, what is left out of a folder, and names the first."""
    kinds = Counter(_kind(path) for path in paths)
    counts = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
    names = [str(path.relative_to(root)) for path in paths[:NAMED]]
    names += ["..."] if len(paths) > NAMED else []
    return (
        f"{len(paths):,} left out, because TensorFlow does not read them as images ({counts}): "
        f"{', '.join(names)}"
    )


def _class_folders(folder: Path) -> tuple[str, ...]:
    folders = (path.name for path in folder.iterdir() if path.is_dir())
    names = tuple(sorted(name for name in folders if not SYSTEM_FOLDERS.match(name)))
    if not names:
        raise UserError(f"{folder} holds no class folders.")
    return names


def _images_of_class(folder: Path) -> tuple[list[Path], list[Path]]:
    images, others = list_images(folder) if folder.is_dir() else ([], [])
    if not images:
        raise UserError(
            f"Each class needs images ({', '.join(image_files.EXTENSIONS)}) in train and in "
            f"validation. {folder} holds none."
        )
    return images, others


def _is_image(path: Path) -> bool:
    if path.suffix.lower() in image_files.EXTENSIONS:
        return True
    try:
        with open(path, "rb") as file:
            return image_files.format_of(file.read(16)) is not None
    except OSError:
        return False


def _kind(path: Path) -> str:
    try:
        kind = KINDS.get(stat.S_IFMT(path.stat().st_mode))
    except OSError:
        kind = None
    return kind or path.suffix.lower() or "without an ending"
