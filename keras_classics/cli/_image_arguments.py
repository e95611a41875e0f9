"""The images that the arguments of a command name: files, folders, patterns, standard input."""

import fnmatch
import glob
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_classics.data.image_files import EXTENSIONS
from keras_classics.data.trees import FolderTree
from keras_classics.errors import UserError
from keras_classics.files import user_path

STANDARD_INPUT = "-"
# Part of a pattern.
ANY_FOLDERS = "**"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NamedImage:
    """An image file.

    Attributes:
        path: Its path.
        alone: Whether an argument names it alone, so that a wrong name is a wrong argument.
    """

    path: str
    alone: bool = False


def named_images(arguments: Sequence[str]) -> list[NamedImage]:
    """Returns all images that arguments name, in their order.

    An argument is an image file, a folder with images in it or below, a pattern of such paths as
    the shell's (`**` stands for folders of any depth), or `-`: paths on standard input, one a line,
    or separated by NUL if there is one. What exists is never taken for a pattern.

    Raises:
        UserError: If there is no such file, or a folder, a pattern or the input names no image.
    """
    return [image for argument in arguments for image in _named_by(argument)]


def _named_by(argument: str) -> Iterator[NamedImage]:
    if argument == STANDARD_INPUT:
        yield from map(NamedImage, _listed_on_input())
    elif os.path.isdir(argument):
        yield from map(NamedImage, _images_below(argument))
    elif os.path.lexists(argument) or not glob.has_magic(argument):
        if not os.path.exists(argument):
            raise UserError(f"{argument} cannot be read: No such file or directory.")
        yield NamedImage(argument, alone=True)
    else:
        found = _matching(argument)
        if not found:
            raise UserError(f"No file matches the pattern {argument}.")
        for path in found:
            inside = _images_below(path) if os.path.isdir(path) else [path]
            yield from map(NamedImage, inside)


def _matching(pattern: str) -> list[str]:
    """Returns the paths that match a pattern; `**` stands for folders with images below."""
    parts = pattern.split("/")
    if ANY_FOLDERS not in parts:
        return sorted(glob.glob(pattern))
    before = parts.index(ANY_FOLDERS)
    found = []
    # Python's own `**` follows links in circles.
    for folder in sorted(glob.glob("/".join([*parts[:before], ""]) or "./")):
        images, _ = FolderTree(Path(folder)).images_below("")
        found += [
            os.path.join(folder if before else "", image)
            for image in images
            if _matches(image.split("/"), parts[before:])
        ]
    return found


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Returns whether the parts of a path match those of a pattern."""
    if not pattern:
        return not parts
    if pattern[0] == ANY_FOLDERS:
        return any(_matches(parts[first:], pattern[1:]) for first in range(len(parts) + 1))
    if not parts or not fnmatch.fnmatchcase(parts[0], pattern[0]):
        return False
    return _matches(parts[1:], pattern[1:])


def _images_below(folder: str) -> list[str]:
    """Returns the images of a folder and of all folders below; a warning counts other files."""
    tree = FolderTree(user_path(folder))
    images, left_out = tree.images_below("")
    if not images:
        raise UserError(f"{folder} holds no images ({', '.join(EXTENSIONS)}).")
    if left_out:
        logger.warning("%s: %s", folder, tree.described_left_out(left_out))
    return [str(Path(folder, image)) for image in images]


def _listed_on_input() -> list[str]:
    content = sys.stdin.buffer.read()
    separator = b"\0" if b"\0" in content else b"\n"
    paths = [os.fsdecode(path) for path in content.split(separator) if path.strip()]
    if not paths:
        raise UserError("Standard input names no image. It takes one path a line.")
    return paths
