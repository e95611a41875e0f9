"""Files that torch saves, in both of its formats. Code in them is never executed."""

import contextlib
import functools
import os
import pickletools
import re
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np

from keras_classics.errors import UserError, require
from keras_classics.weights.formats import archives
from keras_classics.weights.formats.contents import ZIP_START
from keras_classics.weights.formats.state_dicts import Entry, flattened
from keras_classics.weights.stored import (
    MESSAGE_WIDTH,
    MOST_VARIABLES,
    StoredTensor,
    parsing,
    unpacking_allowance,
)

KIND = "torch file"

# Largest pickle in a file, at all and per variable; every byte may be an object of Python.
PICKLE_BYTES, PICKLE_BYTES_PER_VARIABLE = 500_000, 500

# torch's first format: a number, the version, the system, the content, the names of the storages.
PICKLES = 5

# Classes that only hold values, in checkpoints of many programs: torch can be told to allow them.
HARMLESS = re.compile(
    r"argparse\.Namespace|types\.SimpleNamespace|pathlib\.\w+|datetime\.\w+|collections\.\w+"
    r"|builtins\.(list|dict|set|tuple|int|float|complex|bool|str|bytes)"
    r"|numpy\.(dtype|ndarray|dtypes\.\w+|(_core|core)\.multiarray\.(scalar|_reconstruct))"
)
MODULES = re.compile(r"torch\.nn\.modules\.|torchvision\.models\.|timm\.")
GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


class _RefusedError(UserError):
    """A file has objects that are not created; its tensors may be whole."""


def is_torch_file(path: Path) -> bool:
    """Returns whether `torch.save` wrote a file, and all of it is there.

    A file with objects that are not created counts too: loading it says what to do.

    Raises:
        UserError: If the extra `torch` is missing.
    """
    require("torch", "torch")
    try:
        with opened(path, None):
            return True
    except _RefusedError:
        return True
    except UserError:
        return False


@contextlib.contextmanager
def opened(path: Path, model: keras.Model | None, share: int = 1) -> Iterator[dict[str, Entry]]:
    """Opens a file that `torch.save` wrote.

    Args:
        path: The file.
        model: The network, with which the sizes in the file are compared; None if it is not known.
        share: Number of files that share the largest size of a list of tensors.

    Returns:
        The entries of the file, which can be read while it is open.

    Raises:
        UserError: If it is no such file, it contains objects that torch does not call safe, or the
            extra `torch` is missing.
    """
    torch = require("torch", "torch")
    with parsing(KIND):
        data_start = _check_pth(path, model, share)
        content = _load(torch, path)
    if not isinstance(content, Mapping):
        raise UserError(
            "it is not a state_dict, a mapping from names to tensors. Received: "
            f"{type(content).__name__}"
        )
    entries: dict[str, Entry] = {}
    for name, home, value in flattened(content):
        if name in entries:
            raise UserError(f"two of its tensors have the name {name!r:.80}")
        entries[name] = Entry(
            _shape(torch, value), home, functools.partial(_stored, torch, name, value)
        )
    if data_start is not None:
        _check_storages(torch, content, os.path.getsize(path) - data_start)
    yield entries


def _check_pth(path: Path, model: keras.Model | None, share: int) -> int | None:
    """Checks sizes and checksums before torch reads a file.

    Returns:
        Where the tensors begin in a file of torch's first format, or None.
    """
    variables = MOST_VARIABLES if model is None else len(model.variables)
    most = (PICKLE_BYTES + PICKLE_BYTES_PER_VARIABLE * variables) // share
    with open(path, "rb") as file:
        if file.read(len(ZIP_START)) != ZIP_START:
            file.seek(0)
            for _ in range(PICKLES):
                for _ in pickletools.genops(file):
                    _check_pickle(file.tell(), most)
            return file.tell()
    with archives.opened(path) as archive:
        members = archive.infolist()
        if any(member.filename.endswith("/constants.pkl") for member in members):
            raise UserError(
                "it is a TorchScript archive, which is a program. Save its weights: "
                "torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth')"
            )
        for member in members:
            if member.filename.endswith("data.pkl"):
                _check_pickle(member.file_size, most)
        archives.check_sizes(members, archive, unpacking_allowance(model))
        archives.check_checksums(archive)
    return None


def _check_pickle(size: int, most: int) -> None:
    if size > most:
        raise UserError(
            f"its list of tensors must have at most {most:,} bytes for this model. Save only the "
            "state_dict()"
        )


def _load(torch: ModuleType, path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if "weights_only" in str(error) or "WeightsUnpickler" in str(error):
            raise _refusal(torch, path, str(error)) from error
        raise


def _refusal(torch: ModuleType, path: Path, message: str) -> _RefusedError:
    """Returns the error for a file with objects that `weights_only=True` does not create."""
    try:
        classes = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # It reads archives alone, and torch 2.6 has it first.
        classes = GLOBAL.findall(message)
    classes = sorted({name.rstrip(".") for name in classes})
    save = "torch.save(torch.load(FILE, weights_only=False)%s, 'weights.pth')"
    if any(MODULES.match(name) for name in classes):
        return _RefusedError(
            f"it is a whole model ({_listed(classes)}), whose code is not executed. If you trust "
            f"it, save its weights: {save % '.state_dict()'}"
        )
    if classes and all(HARMLESS.fullmatch(name) for name in classes):
        return _RefusedError(
            f"it contains objects of {_listed(classes)}, which torch does not create unless they "
            "are on its list of safe globals. Allow them: "
            f"torch.serialization.add_safe_globals([{', '.join(classes)}]), or save only its "
            "state_dict()"
        )
    reason = message.split("WeightsUnpickler error:")[-1].strip().split("\n")[0]
    what = _listed(classes) if classes else textwrap.shorten(reason, MESSAGE_WIDTH)
    key = "['state_dict']"
    return _RefusedError(
        f"it contains code or objects besides tensors, which are not executed ({what}). Save only "
        f"the state_dict(); if you trust the file: {save % key}"
    )


def _listed(classes: list[str]) -> str:
    return textwrap.shorten(", ".join(classes), MESSAGE_WIDTH)


def _shape(torch: ModuleType, value: Any) -> tuple[int, ...] | None:
    if not torch.is_tensor(value):
        return None
    return () if value.is_nested else tuple(value.shape)


def _stored(torch: ModuleType, name: str, value: Any) -> StoredTensor:
    """Returns a tensor of a file.

    Raises:
        UserError: If it is no tensor whose values are in memory.
    """
    if not torch.is_tensor(value):
        raise UserError(f"its entry {name!r} must be a tensor. Received: {type(value).__name__}")
    _check_dense(torch, name, value)
    if value.is_meta:
        raise UserError(f"its tensor {name!r} has no values. Received: one of the device meta")

    def read() -> np.ndarray:
        with parsing(KIND):
            # NumPy has no bfloat16.
            values = value.float() if value.dtype == torch.bfloat16 else value
            return values.detach().resolve_neg().numpy()

    return StoredTensor(tuple(value.shape), str(value.dtype).removeprefix("torch."), read)


def _check_dense(torch: ModuleType, name: str, tensor: Any) -> None:
    if tensor.is_nested or tensor.layout != torch.strided:
        raise UserError(f"its tensor {name!r} must be dense. Received: nested or sparse values")


def _check_storages(torch: ModuleType, content: Any, size: int) -> None:
    """Refuses tensors that torch left uninitialised, because the file does not list their values.

    In torch's first format, each storage follows as the count of its elements and the elements.
    """
    storages = {}
    for name, _, value in flattened(content):
        if torch.is_tensor(value):
            _check_dense(torch, name, value)
            if not value.is_meta:
                value = value.untyped_storage()
        elif isinstance(value, torch.TypedStorage):
            value = value.untyped()
        if isinstance(value, torch.UntypedStorage):
            storages[value._cdata] = value
    if sum(8 + storage.nbytes() for storage in storages.values()) != size:
        raise UserError(
            "it is not an intact torch file (it does not have the values of its tensors)"
        )
