"""Loads the weights of a record or of a file into a model."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from keras_classics.errors import UserError, one_line
from keras_classics.weights import hub
from keras_classics.weights.assign import Slot, Slots, assign, check_fit, named_slots, values_for
from keras_classics.weights.computation import difference, of_model
from keras_classics.weights.formats.contents import ENDINGS, of_ending
from keras_classics.weights.formats.state_dicts import shortened
from keras_classics.weights.identify import KERAS, Format, arguments_for_file, format_of
from keras_classics.weights.location import locate
from keras_classics.weights.metadata import FileMetadata
from keras_classics.weights.records import WeightsRecord, find_weights, weights_names
from keras_classics.weights.stored import FileContent, Tensors

logger = logging.getLogger("keras_classics")


def load_weights(
    model: keras.Model, weights: str | os.PathLike | WeightsRecord, *, strict: bool | None = None
) -> None:
    """Loads weights into a model: every tensor exactly once, or the model does not change.

    If the model has no top, the top's weights are not loaded. If its number of classes differs, its
    last layer keeps its initial weights. What was done is logged as a warning of one line.

    Args:
        model: A network of this package.
        weights: A record, the path of a file, see `contents`, or an address on the Hugging Face
            hub, see `hub`. `FILE#PART` takes one of several networks in a checkpoint, or the layer
            PART of a saved network.
        strict: With True, it is an error if some of the network's weights would not be loaded. With
            False, the tensors load whose names and shapes fit, and the others are listed.

    Raises:
        UserError: If the file does not exist, cannot be downloaded, or does not match the model.
            The model is then unchanged.
    """
    if isinstance(weights, WeightsRecord):
        path, part = weights.fetch(with_top=_has_top(named_slots(model), KERAS)), ""
    else:
        path, part = _existing_file(weights)
    file_format = format_of(path)
    try:
        with fitting(file_format, path, model, part, strict) as (content, slots, skipped):
            values = values_for(content.tensors, slots, content.own_name)
    except UserError as error:
        named = f"{path}#{part}" if part else path
        message = f"{named} cannot be loaded into {model.name}: {error}. The model is unchanged."
        raise UserError(message) from error
    assign(values, slots)
    _report(model, path, content, skipped)


@contextlib.contextmanager
def fitting(
    file_format: Format, path: Path, model: keras.Model, part: str, strict: bool | None
) -> Iterator[tuple[FileContent, Slots, str | None]]:
    """Opens a file and compares it with a model, as far as that needs no values.

    Args:
        file_format: The format of the file.
        path: The file.
        model: The model.
        part: Names a part of the file, see `location`.
        strict: See `load_weights`.

    Returns:
        What is loaded, the slots for it, and a description of what is left out, or None.

    Raises:
        UserError: If it does not fit.
    """
    skipped = _other_computation(file_format.metadata(path, part), model)
    if skipped and strict is not False:
        raise UserError(skipped)
    slots = dict(file_format.slots(model))
    with file_format.opened(path, model, part) as content:
        if strict is None:
            skipped = _skip_top(content.tensors, slots, file_format)
            _refuse_headless(content, slots, file_format)
        elif strict is False:
            skipped = ". ".join(filter(None, [skipped, _skip_unfitting(content, slots)]))
        check_fit(content.tensors, slots, content.own_name)
        yield content, slots, skipped


def _report(model: keras.Model, path: Path, content: FileContent, skipped: str | None) -> None:
    """Logs what was done to load a file, if it was more than to read its tensors."""
    notes = list(content.notes)
    if content.others:
        choice = f"weights='{path.name}#{content.others[0]}'"
        notes.append(f"it also has {shortened(content.others)}: {choice} takes it")
    said = [f"in {path.name} {'; '.join(notes)}"] if notes else []
    if skipped:
        said += [skipped, f"All other weights come from {path.name}"]
    if said:
        logger.warning("%s: %s.", model.name, one_line(". ".join(said)))


def _existing_file(weights: str | os.PathLike) -> tuple[Path, str]:
    found = locate(weights)
    if found is None:
        raise UserError(f"weights must name an existing file. Received: {str(weights)!r}.")
    return found


def _other_computation(metadata: FileMetadata | None, model: keras.Model) -> str | None:
    """Returns in a phrase how a file's network computes something else with the same tensors."""
    if metadata is None:
        return None
    found = difference(metadata.computation, of_model(model), metadata.exact)
    return found and f"{found}. Build the network with the arguments that the file's was built with"


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


def _refuse_headless(content: FileContent, slots: Slots, file_format: Format) -> None:
    """Raises an error if a file has the network, but not its top."""
    top = (*file_format.top, *file_format.scores)
    missing = [name for name in slots if name not in content.tensors]
    if missing and all(name.startswith(top) for name in missing):
        raise UserError(
            f"it lacks the tensor {content.own_name(missing[0])!r} of the last layers. Build the "
            "network with include_top=False, or load what is there with load_weights(model, file, "
            "strict=False)"
        )


def _skip_unfitting(content: FileContent, slots: dict[str, Slot]) -> str | None:
    """Removes from both what does not fit by name and shape.

    Returns:
        A description of what was removed, or None.

    Raises:
        UserError: If nothing fits.
    """
    tensors = content.tensors
    fitting = {n for n, slot in slots.items() if n in tensors and tensors[n].shape == slot.shape}
    if not fitting:
        raise UserError("none of its tensors has a name and a shape of the network's")
    kept = [name for name in slots if name not in fitting]
    unused = [name for name in tensors if name not in fitting]
    for name in kept:
        del slots[name]
    for name in unused:
        del tensors[name]
    found = []
    if kept:
        names = [content.own_name(name) for name in kept]
        found.append(f"{len(kept)} of the network's tensors stay as they are: {shortened(names)}")
    if unused:
        names = [content.own_name(name) for name in unused]
        found.append(f"{len(unused)} of the file's are not loaded: {shortened(names)}")
    return "; ".join(found) or None


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
    if isinstance(weights, str) and not means_file(name, weights):
        weights = _record(name, weights)
    if not isinstance(weights, WeightsRecord):
        # The caller's arguments win; where the file says otherwise, loading it is an error.
        file, part = _existing_file(weights)
        path = Path(f"{file}#{part}") if part else file
        return {**arguments_for_file(name, path), **arguments, "weights": path}
    if weights.model != name:
        raise UserError(f"{weights.full_name} are weights of {weights.model}, not of {name}.")
    if not weights.labels and arguments.get("include_top", True):
        raise UserError(
            f"{weights.full_name} has no top: it needs include_top=False. Received: a network with "
            "its top. Build the network without it, or take other weights."
        )
    for argument, value in weights.arguments.items():
        if arguments.get(argument, value) != value:
            raise UserError(
                f"{name}(weights={weights.name!r}) needs {argument}={value!r}, with which the "
                f"weights were trained. Received: {argument}={arguments[argument]!r}. Omit "
                f"{argument}, or train the network yourself."
            )
    return {**weights.arguments, **arguments, "weights": weights}


def means_file(model: str, weights: str) -> bool:
    """Returns whether a text means a file and no record: by its form, or because there is one."""
    if hub.is_address(weights) or of_ending(weights) or of_ending(weights.rpartition("#")[0]):
        return True
    return weights not in weights_names(model) and locate(weights) is not None


def _record(model: str, name: str) -> WeightsRecord:
    known = weights_names(model)
    if name not in known:
        choices = [*known, hub.FORM, f"a file that ends in {', '.join(ENDINGS)}"]
        raise UserError(f"{model} has no weights {name!r}. Use {', or '.join(choices)}.")
    return find_weights(f"{model}/{name}")
