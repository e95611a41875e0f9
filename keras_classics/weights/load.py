"""Gets the weights of a record or of a file into a model."""

import contextlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_classics.errors import UserError
from keras_classics.weights import hdf5, keras_applications, timm, torchvision
from keras_classics.weights.assign import Slots, Tensors, assign, named_slots
from keras_classics.weights.records import WeightsRecord, find_weights, weights_names

logger = logging.getLogger("keras_classics")


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        read: Reads a file, for a model.
        slots: Places of a file's tensors in a model.
        top: How names of tensors begin that stand between the features and the scores.
        scores: The same of those that give the scores.
    """

    read: Callable[[Path, keras.Model], Tensors]
    slots: Callable[[keras.Model], Slots]
    top: tuple[str, ...]
    scores: tuple[str, ...]


KERAS = Format(
    read=lambda path, model: keras_applications.folded(hdf5.read(path, model), model),
    slots=named_slots,
    top=("c5/", "f6/", "fc1/", "fc2/", "fc6/", "fc7/", "layers/dense"),
    scores=("predictions/", "distances/"),
)
TORCH = Format(
    read=lambda path, model: timm.as_torchvision(torchvision.read(path)),
    slots=torchvision.slots,
    top=("classifier.",),
    scores=("classifier.6.", "fc."),
)
FORMATS = {
    ".weights.h5": KERAS,
    ".keras": KERAS,
    ".h5": KERAS,
    ".safetensors": TORCH,
    ".pth": TORCH,
}


def load_weights(
    model: keras.Model, weights: str | os.PathLike | WeightsRecord, *, strict: bool = False
) -> None:
    """Loads weights, every tensor exactly once, or changes nothing.

    Where the model has no top, that of the weights is left out; where it has another number of
    classes, its last layer stays as it is. A line of the log says so.

    Args:
        model: A network of this package.
        weights: A record; or the path of a file of one of the `FORMATS`.
        strict: Whether to refuse weights of which something would be left out.

    Raises:
        UserError: There is no such file, it cannot be had, or it does not fit the model, whose
            weights are then as they were.
    """
    if isinstance(weights, WeightsRecord):
        path = weights.fetch(with_top=_has_top(named_slots(model), KERAS))
    else:
        path = Path(weights)
        if not path.is_file():
            raise UserError(f"weights names a file that does not exist. Received: {str(path)!r}.")
    form = format_of(path)
    try:
        tensors, slots = form.read(path, model), dict(form.slots(model))
        said = None if strict else _set_top_aside(tensors, slots, form)
        assign(tensors, slots)
    except UserError as error:
        raise UserError(
            f"{path} cannot be loaded into {model.name}: {error}. The model is as it was."
        ) from error
    if said:
        logger.warning("%s: %s; all else is from %s.", model.name, said, path.name)


def format_of(path: Path) -> Format:
    """Returns the format of a file, by the end of its name.

    Raises:
        UserError: No format has such names.
    """
    for suffix, form in FORMATS.items():
        if path.name.endswith(suffix):
            return form
    raise UserError(
        f"weights must be None, a record's name, or a file that ends in {', '.join(FORMATS)}. "
        f"Received: {str(path)!r}."
    )


def _has_top(slots: Slots, form: Format) -> bool:
    return any(name.startswith((*form.top, *form.scores)) for name in slots)


def _set_top_aside(tensors: Tensors, slots: dict, form: Format) -> str | None:
    """Takes what the model has no use for out of a file's tensors, and out of the slots.

    Returns:
        What was set aside, in words.
    """
    if not _has_top(slots, form):
        left = [name for name in tensors if name.startswith((*form.top, *form.scores))]
        for name in left:
            del tensors[name]
        return f"built without its top, which is left out ({len(left)} tensors)" if left else None
    scores = [n for n in slots if n.startswith(form.scores) and n in tensors]
    biases = [n for n in scores if tensors[n].ndim == 1 == len(slots[n].shape)]
    if len(scores) != 2 or len(biases) != 1:
        return None
    there, here = len(tensors[biases[0]]), slots[biases[0]].shape[0]
    for name in scores:
        if tuple(here if n == there else n for n in tensors[name].shape) != slots[name].shape:
            return None
    if there == here:
        return None
    for name in scores:
        del tensors[name], slots[name]
    return f"its last layer is fresh, for {here:,} classes where the weights have {there:,}"


def builder_arguments(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Fills in what the weights of a network decide of its builder's arguments.

    Args:
        name: Name of the network.
        arguments: What its builder was called with.

    Returns:
        The arguments, with a record in the place of its name.

    Raises:
        UserError: The weights are unknown, or an argument contradicts their record.
    """
    weights = arguments.get("weights")
    if weights is None:
        return arguments
    if isinstance(weights, str) and not weights.endswith(tuple(FORMATS)):
        weights = _record(name, weights)
    if not isinstance(weights, WeightsRecord):
        # A file does not say what it was trained as, so an argument that was given counts.
        return {**_decided_by_file(name, Path(weights)), **arguments}
    if weights.model != name:
        raise UserError(f"{weights.full_name} are weights of {weights.model}, not of {name}.")
    for argument, value in weights.arguments.items():
        if arguments.get(argument, value) != value:
            raise UserError(
                f"{name}(weights={weights.name!r}) takes {argument}={value!r}: with it the weights "
                f"were trained. Received: {argument}={arguments[argument]!r}. Leave it out, or "
                "train."
            )
    return {**weights.arguments, **arguments, "weights": weights}


def _record(model: str, name: str) -> WeightsRecord:
    known = weights_names(model)
    if name not in known:
        choices = [*known, f"a file that ends in {', '.join(FORMATS)}"]
        raise UserError(f"{model} has no weights {name!r}. Take {', or '.join(choices)}.")
    return find_weights(f"{model}/{name}")


def _decided_by_file(model: str, path: Path) -> dict[str, Any]:
    """How to build a bottleneck ResNet for a file: the same weights fit several of its versions."""
    if not path.is_file() or model not in torchvision.BOTTLENECKS:
        return {}
    if format_of(path) is TORCH:
        return torchvision.builder_arguments(model)
    with contextlib.suppress(UserError):  # Loading it will say what is wrong with it.
        if "post_bn" in hdf5.layer_names(path):
            return keras_applications.builder_arguments(model, second_version=True)
    return {}
