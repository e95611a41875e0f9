"""Finds the file that a user names, and the part of it after a `#`.

checkpoint.pth                  a file
checkpoint.pth#model_ema        one of the networks in a file
model.keras#resnet50            a layer of a saved network that is a network of its own
folder/ckpt-3                   a checkpoint of TensorFlow: ckpt-3.index and ckpt-3.data-*
"""

import contextlib
import os
import re
from pathlib import Path

from keras_classics.errors import UserError
from keras_classics.files import user_path

DATA_OF_CHECKPOINT = re.compile(r"\.data-\d{5}-of-\d{5}$")


def locate(weights: str | os.PathLike) -> tuple[Path, str] | None:
    """Returns the file that a path names and the part of it, "" for all; None if there is none.

    A file whose own name contains a `#` is found first.

    Args:
        weights: A path, with a part after a `#` or without.
    """
    with contextlib.suppress(TypeError, AttributeError, UserError):
        text = os.fsdecode(weights) if isinstance(weights, os.PathLike) else weights
        name, _, part = text.rpartition("#")
        for candidate in ((text, ""), (name, part)) if name and part else ((text, ""),):
            path = _file(user_path(candidate[0]))
            if path is not None:
                return path, candidate[1]
    return None


def _file(path: Path) -> Path | None:
    if DATA_OF_CHECKPOINT.search(path.name):
        path = path.with_name(DATA_OF_CHECKPOINT.sub(".index", path.name))
    for candidate in (path, path.with_name(f"{path.name}.index") if path.name else path):
        if is_file(candidate):
            return candidate
    return None


def is_file(path: Path) -> bool:
    """Returns whether a path is one of a file, and not too long or otherwise no path at all."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
