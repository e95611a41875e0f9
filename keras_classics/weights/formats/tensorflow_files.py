"""Checkpoints of TensorFlow, `NAME.index` and `NAME.data-*`, of networks that tf.keras trained.

Their names follow the objects (`layer_with_weights-5/kernel/.ATTRIBUTES/VARIABLE_VALUE`), where a
number counts the layers with weights, or are those of the layers (`conv1_conv/kernel`).
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_classics.backend import needs_tensorflow, tf
from keras_classics.errors import UserError
from keras_classics.weights.assign import named_slots, weights_of
from keras_classics.weights.formats import state_dicts
from keras_classics.weights.formats.state_dicts import Entry
from keras_classics.weights.stored import FileContent, StoredTensor, parsing

KIND = "checkpoint of TensorFlow"

# Largest list of tensors.
INDEX_BYTES = 4_000_000

ENDING, SLOT = "/.ATTRIBUTES/VARIABLE_VALUE", "/.OPTIMIZER_SLOT/"
VARIABLES = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")

# A layer by its number among those with weights, in tf.keras, or among all, in Keras 3.
WITH_WEIGHTS = re.compile(r"layer_with_weights-(\d+)/(\w+)$")
OF_ALL = re.compile(r"_operations/(\d+)/_?(\w+)$")


@contextlib.contextmanager
def opened(path: Path, model: keras.Model, part: str = "") -> Iterator[FileContent]:
    """Opens a checkpoint.

    Args:
        path: The file `NAME.index`.
        model: The network whose layers the numbers refer to.
        part: Names one of several networks in it.

    Returns:
        Tensors named `layer/variable`, which can be read while the file is open.

    Raises:
        UserError: If it is damaged, a file of it is missing, or the network is nowhere in it.
    """
    with parsing(KIND):
        entries, keys = _entries(_reader(path), model)
    wanted = {name.replace("/", "."): slot.shape for name, slot in named_slots(model).items()}
    found = state_dicts.select(entries, wanted, part)
    names = {name.replace(".", "/"): entry for name, entry in found.names.items()}
    tensors = {name: entries[entry].stored() for name, entry in names.items()}
    own = {name: keys[entry] for name, entry in names.items()}
    yield FileContent(tensors, own, found.prefix.replace(".", "/"), found.notes, found.others)


def list_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the weights in a checkpoint, by their own names.

    Raises:
        UserError: As `opened` does.
    """
    with parsing(KIND):
        shapes = _reader(path).get_variable_to_shape_map()
        return {key.removesuffix(ENDING): tuple(s) for key, s in shapes.items() if _is_weight(key)}


def _reader(path: Path) -> Any:
    if tf is None:
        raise needs_tensorflow("Checkpoints of TensorFlow need")
    if path.stat().st_size > INDEX_BYTES:
        raise UserError(f"its index must have at most {INDEX_BYTES:,} bytes")
    prefix = path.with_suffix("")
    if not any(path.parent.glob(f"{_literal(prefix.name)}.data-*-of-*")):
        raise UserError(f"its file {prefix.name}.data-00000-of-00001 is missing beside it")
    return tf.train.load_checkpoint(str(prefix))


def _is_weight(key: str) -> bool:
    """Whether a variable is a layer's; optimizers have some of other names below the weights'."""
    variable = key.removesuffix(ENDING).rpartition("/")[2].removeprefix("_")
    return variable in VARIABLES and SLOT not in key


def _literal(name: str) -> str:
    """Returns a pattern of `glob` for a name alone."""
    return re.sub(r"([*?[])", r"[\1]", name)


def _entries(reader: Any, model: keras.Model) -> tuple[dict[str, Entry], dict[str, str]]:
    """Returns the tensors of a checkpoint by names with dots for levels, and their own names."""
    types = reader.get_variable_to_dtype_map()
    weighted = [layer.name for layer in model.layers if weights_of(layer)]
    layers = [layer.name for layer in model.layers]
    entries: dict[str, Entry] = {}
    keys: dict[str, str] = {}
    for key, shape in sorted(reader.get_variable_to_shape_map().items()):
        stored = _stored(reader, key, tuple(shape), types[key].name)
        path = _named(key.removesuffix(ENDING), stored.shape, weighted, layers)
        name = path.replace(".", "_").replace("/", ".")
        if name in entries:
            raise UserError(f"two of its tensors have the name {path!r:.80}")
        home = "/".join(path.split("/")[:-2])
        shape = stored.shape if _is_weight(path) else None
        entries[name], keys[name] = _entry(shape, home, stored), key
    return entries, keys


def _entry(shape: tuple[int, ...] | None, home: str, stored: StoredTensor) -> Entry:
    return Entry(shape, home, lambda: stored)


def _named(key: str, shape: tuple[int, ...], weighted: list[str], names: list[str]) -> str:
    """Returns the name of a tensor with the name of its layer for the number."""
    for pattern, layers in ((WITH_WEIGHTS, weighted), (OF_ALL, names)):
        match = pattern.search(key)
        if match:
            number, variable = int(match.group(1)), match.group(2)
            if number < len(layers):
                return f"{key[: match.start()]}{layers[number]}/{variable}"
            if variable == "bias" or (variable == "kernel" and len(shape) == 2):
                # The network has no top, but the checkpoint.
                return f"{key[: match.start()]}layers/dense_{number}/{variable}"
    return key


def _stored(reader: Any, key: str, shape: tuple[int, ...], dtype: str) -> StoredTensor:
    def read() -> np.ndarray:
        with parsing(KIND):
            return reader.get_tensor(key)

    return StoredTensor(shape, {"half": "float16"}.get(dtype, dtype), read)
