"""Finds the file that a user names, and the part of it after a `#`.

checkpoint.pth                  a file
checkpoint.pth#model_ema        one of the networks in a file
model.keras#resnet50            a layer of a saved network that is a network of its own
folder/ckpt-3                   a checkpoint of TensorFlow: ckpt-3.index and ckpt-3.data-*
hf://ORG/REPO/FILE@REVISION     a file on the Hugging Face hub, see `hub`
"""

import contextlib
import os
import re
from pathlib import Path

from keras_classics.errors import UserError
from keras_classics.files import user_path
from keras_classics.weights import hub

DATA_OF_CHECKPOINT = re.compile(r"\.data-\d{5}-of-\d{5}$")


def locate(weights: str | os.PathLike) -> tuple[Path, str] | None:
    """Returns the file that a path names and the part of it, "" for all; None if there is none.

    A file whose own name contains a `#` is found first. A file on the hub is downloaded.

    Args:
        weights: A path or an address on the hub, with a part after a `#` or without.

    Raises:
        UserError: If the hub does not give a file.
    """
    if hub.is_address(weights):
        address, _, part = os.fspath(weights).partition("#")
        return hub.fetch(address), part
    with contextlib.suppress(TypeError, AttributeError, UserError):
        text = os.fsdecode(weights) if isinstance(weights, os.PathLike) else weights
        name, _, part = text.rpartition("#")
        for candidate in ((text, ""), (name, part)) if name and part else ((text, ""),):
            path = _file(user_path(candidate[0]))
            if path is not None:
                return path, candidate[1]
    return None


def on_this_machine(weights: str) -> str:
    """Returns the path of the file on the hub that a text names, or any other text as it is.

    Who uses weights several times asks the hub once.

    Raises:
        UserError: If the hub does not give the file.
    """
    if not hub.is_address(weights):
        return weights
    path, part = locate(weights) or (Path(weights), "")
    return f"{path}#{part}" if part else str(path)


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
