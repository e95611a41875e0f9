"""Loads the weights of a record or of a file into a model."""

import contextlib
import logging
import os
from pathlib import Path
from typing import Any

import keras

from keras_classics.errors import UserError, one_line
from keras_classics.files import user_path
from keras_classics.weights.assign import Slot, Slots, assign, named_slots, values_for
from keras_classics.weights.computation import difference, of_model
from keras_classics.weights.identify import (
    FORMATS,
    KERAS,
    Format,
    arguments_for_file,
    format_of,
    is_file,
)
from keras_classics.weights.metadata import FileMetadata
from keras_classics.weights.records import WeightsRecord, find_weights, weights_names
from keras_classics.weights.stored import Tensors

logger = logging.getLogger("keras_classics")


def load_weights(
    model: keras.Model, weights: str | os.PathLike | WeightsRecord, *, strict: bool = False
) -> None:
    """Loads weights into a model: every tensor exactly once, or the model does not change.

    If the model has no top, the top's weights are not loaded. If its number of classes differs, its
    last layer keeps its initial weights. Both are logged as a warning.

    Args:
        model: A network of this package.
        weights: A record, or the path of a file in one of the `FORMATS`.
        strict: Whether to raise an error instead if some of the weights would not be loaded.

    Raises:
        UserError: If the file does not exist, cannot be downloaded, or does not match the model.
            The model is then unchanged.
    """
    if isinstance(weights, WeightsRecord):
        path = weights.fetch(with_top=_has_top(named_slots(model), KERAS))
    else:
        path = _existing_file(weights)
    file_format = format_of(path)
    try:
        _refuse_other_computation(file_format.metadata(path), model)
        slots = dict(file_format.slots(model))
        with file_format.opened(path, model) as tensors:
            skipped = None if strict else _skip_top(tensors, slots, file_format)
            values = values_for(tensors, slots)
    except UserError as error:
        message = f"{path} cannot be loaded into {model.name}: {error}. The model is unchanged."
        raise UserError(one_line(message)) from error
    assign(values, slots)
    if skipped:
        logger.warning("%s: %s. All other weights come from %s.", model.name, skipped, path.name)


def _existing_file(weights: str | os.PathLike) -> Path:
    with contextlib.suppress(TypeError, UserError):
        path = user_path(weights)
        if is_file(path):
            return path
    raise UserError(f"weights must name an existing file. Received: {str(weights)!r}.")


def _refuse_other_computation(metadata: FileMetadata | None, model: keras.Model) -> None:
    """Raises an error if a file's network computes something else with the same tensors."""
    if metadata is None:
        return
    found = difference(metadata.computation, of_model(model), metadata.exact)
    if found:
        raise UserError(
            f"{found}. Build the network with the arguments that the file's was built with"
        )


def _has_top(slots: Slots, file_format: Format) -> bool:
    return any(name.startswith((*file_format.top, *file_format.scores)) for name in slots)


def _skip_top(tensors: Tensors, slots: dict[str, Slot], file_format: Format) -> str | None:
    """Removes the top from the tensors, or the last layer from both, if the model differs there.

    Returns:
        A description of what was removed, or None.
    """
    if not _has_top(slots, file_format):
        prefixes = (*file_format.top, *file_format.scores)
        unused = [name for name in tensors if name.startswith(prefixes)]
        for name in unused:
            del tensors[name]
        if not unused:
            return None
        return f"the model has no top, so the top's {len(unused)} tensors are not loaded"
    scores = [n for n in slots if n.startswith(file_format.scores) and n in tensors]
    biases = [n for n in scores if len(tensors[n].shape) == 1 == len(slots[n].shape)]
    if len(scores) != 2 or len(biases) != 1:
        return None
    in_file, in_model = tensors[biases[0]].shape[0], slots[biases[0]].shape[0]
    for name in scores:
        shapes = (tensors[name].shape, slots[name].shape)
        differing = [sizes for sizes in zip(*shapes, strict=False) if len(set(sizes)) > 1]
        if len(shapes[0]) != len(shapes[1]) or differing != [(in_file, in_model)]:
            return None
    for name in scores:
        del tensors[name], slots[name]
    return (
        f"the last layer keeps its initial weights, because the model has {in_model:,} classes and "
        f"the file {in_file:,}"
    )


def builder_arguments(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Adds the arguments that the weights imply to the arguments of a network's builder.

    Args:
        name: Name of the network.
        arguments: The arguments that its builder was called with.

    Returns:
        The arguments, with the name of a record replaced by the record.

    Raises:
        UserError: If the weights are unknown, or an argument contradicts their record.
    """
    weights = arguments.get("weights")
    if weights is None:
        return arguments
    if isinstance(weights, str) and not weights.endswith(tuple(FORMATS)):
        weights = _record(name, weights)
    if not isinstance(weights, WeightsRecord):
        # The caller's arguments win; where the file says otherwise, loading it is an error.
        path = _existing_file(weights)
        return {**arguments_for_file(name, path), **arguments, "weights": path}
    if weights.model != name:
        raise UserError(f"{weights.full_name} are weights of {weights.model}, not of {name}.")
    for argument, value in weights.arguments.items():
        if arguments.get(argument, value) != value:
            raise UserError(
                f"{name}(weights={weights.name!r}) needs {argument}={value!r}, with which the "
                f"weights were trained. Received: {argument}={arguments[argument]!r}. Omit "
                f"{argument}, or train the network yourself."
            )
    return {**weights.arguments, **arguments, "weights": weights}


def _record(model: str, name: str) -> WeightsRecord:
    known = weights_names(model)
    if name not in known:
        choices = [*known, f"a file that ends in {', '.join(FORMATS)}"]
        raise UserError(f"{model} has no weights {name!r}. Use {', or '.join(choices)}.")
    return find_weights(f"{model}/{name}")
