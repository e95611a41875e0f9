"""Arguments of builders that the shapes of the weights do not show, read from the weights' file."""

import inspect
import itertools
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras

from keras_classics.errors import UserError
from keras_classics.weights.computation import difference, of_model
from keras_classics.weights.metadata import FileMetadata

logger = logging.getLogger("keras_classics")

# With every other value in the tuple, a network has tensors of the same names and shapes.
UNSEEN: dict[str, tuple] = {
    "version": ("v1", "v1.5", "v1_caffe"),
    "shortcut": ("A", "none"),
    "batch_norm_after": ("conv", "activation"),
    "lrn": (None, "paper", "code", "caffe"),
    "activation": ("relu", "tanh", "sigmoid"),
    "overlapping": (True, False),
}


def decided(
    build: Callable[..., keras.Model],
    arguments: Mapping[str, Any],
    metadata: FileMetadata,
) -> dict[str, Any]:
    """Returns the arguments with which a network computes what a file of weights says.

    Args:
        build: The builder.
        arguments: Arguments that the caller gave; they are not changed.
        metadata: What the file says.

    Returns:
        The arguments, and those that had to be added. If none fit, the arguments as they were:
        loading the file then names the difference.
    """
    parameters = inspect.signature(build).parameters
    arguments = dict(arguments)
    probabilities = metadata.computation.get("probabilities", {}).get("activation")
    if isinstance(probabilities, str):
        arguments.setdefault("classifier_activation", probabilities)
    if "shortcut" in parameters and parameters["shortcut"].default == "none":
        arguments.setdefault("shortcut", "none")  # The name of a plain network stands for it.
    if metadata.arguments is not None:
        said = {name: v for name, v in metadata.arguments.items() if name in parameters}
        lists = {name: tuple(v) for name, v in said.items() if isinstance(v, list)}
        return {**said, **lists, **arguments}
    defaults = _values(parameters, arguments)
    # The default first.
    free = {
        name: (defaults[name], *(v for v in UNSEEN[name] if v != defaults[name]))
        for name in _open(defaults)
        if name not in arguments
    }
    if not free:
        return arguments
    # The initial weights do not matter, and zeros are had at once.
    cheap = {"kernel_initializer": "zeros"} if "kernel_initializer" in parameters else {}
    for values in itertools.product(*free.values()):
        candidate = {**arguments, **dict(zip(free, values, strict=True))}
        try:
            network = build(**{**candidate, **cheap, "weights": None})
        except UserError:
            continue  # Some versions are only for bottlenecks.
        if difference(metadata.computation, of_model(network), metadata.exact) is None:
            return candidate
    return arguments


def report_assumed(
    model: str, parameters: Mapping[str, inspect.Parameter], given: Mapping, used: Mapping
) -> None:
    """Logs a warning for each argument that a file of weights leaves open.

    Args:
        model: Name of the network.
        parameters: The parameters of its builder.
        given: Arguments that the caller gave.
        used: Arguments that the network is built with.
    """
    values = _values(parameters, used)
    for name in _open(values):
        if name not in given:
            logger.warning(
                "%s does not say which %s the weights of %s need; %s=%r is assumed.",
                used["weights"].name,
                name,
                model,
                name,
                values[name],
            )


def _values(
    parameters: Mapping[str, inspect.Parameter], given: Mapping[str, Any]
) -> dict[str, Any]:
    return {name: given.get(name, parameter.default) for name, parameter in parameters.items()}


def _open(values: Mapping[str, Any]) -> Iterator[str]:
    """The arguments whose other values would take the same tensors."""
    for name, alternatives in UNSEEN.items():
        without = name == "batch_norm_after" and values.get("batch_norm") is None
        if name in values and values[name] in alternatives and not without:
            yield name
