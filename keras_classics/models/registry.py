"""The register of all networks: who is there, from which paper, and how to build one by name."""

import fnmatch
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from keras_classics.errors import unknown_name


@dataclass(frozen=True)
class ModelEntry:
    """One registered network.

    Attributes:
        name: Name of the network and of its builder.
        builder: Function that returns the network as a `keras.Model`.
        paper: Authors, title and year of the publication.
        input_shape: Height, width and channels that the paper trained on.
        smallest_input: Least height and width that the network takes, with its top.
        classes: Number of classes in the paper.
    """

    name: str
    builder: Callable[..., keras.Model]
    paper: str
    input_shape: tuple[int, int, int]
    smallest_input: int
    classes: int


_MODELS: dict[str, ModelEntry] = {}


def register(
    *, paper: str, input_shape: tuple[int, int, int], smallest_input: int, classes: int
) -> Callable[[Callable[..., keras.Model]], Callable[..., keras.Model]]:
    """Enters the decorated builder under its own name. See `ModelEntry` for the arguments."""

    def enter(builder: Callable[..., keras.Model]) -> Callable[..., keras.Model]:
        name = builder.__name__
        _MODELS[name] = ModelEntry(name, builder, paper, input_shape, smallest_input, classes)
        return builder

    return enter


def list_models(pattern: str = "*") -> list[str]:
    """Lists the names of the networks that match a glob pattern, such as `"lenet*"`."""
    return sorted(fnmatch.filter(_MODELS, pattern))


def find_model(name: str) -> ModelEntry:
    """Returns the entry of a network.

    Raises:
        UserError: No network has that name.
    """
    if name not in _MODELS:
        raise unknown_name("model", name, _MODELS)
    return _MODELS[name]


def get_model(name: str, **arguments: Any) -> keras.Model:
    """Builds a network by its name: `get_model("lenet5", classes=26)`.

    Args:
        name: One of `list_models()`.
        **arguments: What the network's builder takes.

    Raises:
        UserError: No network has that name, or an argument is wrong.
    """
    return find_model(name).builder(**arguments)
