"""What this package writes into a file of weights beside the tensors, and reads back.

The computation decides which of several networks with the same shapes the file belongs to; the
checksums find damage that leaves the file readable.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras

from keras_classics.errors import UserError
from keras_classics.image_preprocessing import PREPROCESSINGS
from keras_classics.weights.computation import Computation, of_model

# Name of the entry in a file.
ENTRY = "keras_classics"
MAX_BYTES = 1 << 22

# Arguments of all builders, which belong to the use of a network and not to its weights.
COMMON = {"weights", "include_top", "input_shape", "input_tensor", "pooling", "classes", "name"}
COMMON |= {"classifier_activation"}

FIELDS = ("computation", "arguments", "preprocessing", "class_names", "checksums")


@dataclass(frozen=True)
class FileMetadata:
    """What a file of weights says of its network.

    Attributes:
        computation: See `computation.of_model`.
        arguments: Arguments of the builder that are its family's own, without sizes; None if not
            known.
        preprocessing: `kind`, a key of `PREPROCESSINGS`, and the arguments of the layer; or None.
        class_names: Name of each class, in the order of the scores; or None.
        checksums: That of each tensor, see `stored.checksum`, by its name in the file.
        exact: Whether the network was built by this package, see `computation.difference`.
    """

    computation: Computation
    arguments: Mapping[str, Any] | None = None
    preprocessing: Mapping[str, Any] | None = None
    class_names: Sequence[str] | None = None
    checksums: Mapping[str, int] = field(default_factory=dict)
    exact: bool = True

    def to_text(self) -> str:
        """Returns the metadata as JSON, with a SHA-256 of its own."""
        content = json.dumps({name: getattr(self, name) for name in FIELDS})
        return json.dumps({"sha256": _sha256(content), "content": content})

    def make_preprocessing(self) -> keras.layers.Layer | None:
        """Returns the preprocessing layer of the network, or None if the file does not say it."""
        return None if self.preprocessing is None else _make(self.preprocessing)


def _make(preprocessing: Mapping[str, Any]) -> keras.layers.Layer:
    arguments = {**preprocessing}
    return PREPROCESSINGS[arguments.pop("kind")](**arguments)


def from_text(text: str | bytes) -> FileMetadata:
    """Returns the metadata that `FileMetadata.to_text` returned as JSON.

    Raises:
        UserError: If it is damaged.
    """
    try:
        outer = json.loads(text)
        if outer["sha256"] != _sha256(outer["content"]):
            raise ValueError("another SHA-256")
        content = json.loads(outer["content"])
        _check_kinds(content)
        return FileMetadata(**{name: content[name] for name in FIELDS})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"its entry {ENTRY!r} is damaged ({error})") from error


def _check_kinds(content: Mapping[str, Any]) -> None:
    """Raises a `TypeError` if a field is of another kind than `metadata_of` writes."""
    for layer in content["computation"].values():
        if not isinstance(layer, dict):
            raise TypeError("a layer has no settings")
    if not all(_is_kept(name, value) for name, value in (content["arguments"] or {}).items()):
        raise TypeError("an argument is of a kind that is not kept")
    if not all(isinstance(name, str) for name in content["class_names"] or ()):
        raise TypeError("a class has no name")
    if content["preprocessing"] is not None:
        _make(content["preprocessing"])
    content["checksums"].items()


def metadata_of(
    model: keras.Model,
    arguments: Mapping[str, Any] | None = None,
    preprocessing: keras.layers.Layer | None = None,
    class_names: Sequence[str] | None = None,
) -> FileMetadata:
    """Returns what a file should say of a network, without checksums.

    Args:
        model: The network.
        arguments: Arguments that it was built with, if known.
        preprocessing: The layer from uint8 images to what it takes, if known.
        class_names: Name of each class, if known.
    """
    if arguments is not None:
        arguments = {name: v for name, v in arguments.items() if _is_kept(name, v)}
    return FileMetadata(of_model(model), arguments, preprocessing_of(preprocessing), class_names)


def _is_kept(name: str, value: Any) -> bool:
    """Whether a file says an argument: no sizes, which the shapes show, and no objects."""
    if isinstance(value, tuple | list):
        return all(isinstance(entry, str) for entry in value)
    return name not in COMMON and (value is None or isinstance(value, str | bool))


def preprocessing_of(layer: keras.layers.Layer | None) -> dict[str, Any] | None:
    """Returns a layer as `FileMetadata.preprocessing`; None if it is none of `PREPROCESSINGS`."""
    for kind, layer_class in PREPROCESSINGS.items():
        if layer is not None and type(layer) is layer_class:
            config = {k: v for k, v in layer.get_config().items() if k != "name"}
            return {"kind": kind, **config}
    return None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
