"""The activation that a layer or an operation has or is, and running it without this."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

# Names of activations that are zero for negative values.
RELUS = ("relu", "relu6")


def activation_name(operation: Any) -> str:
    """Returns the name of an operation's activation, or of the operation itself: `logsoftmax`."""
    activation = getattr(operation, "activation", None)
    kind = operation if activation is None else activation
    return getattr(kind, "__name__", type(kind).__name__).replace("_", "").lower()


def is_relu(operation: keras.Operation) -> bool:
    """Whether an operation is or ends in a ReLU."""
    slope = getattr(operation, "negative_slope", 0.0)
    return activation_name(operation) in RELUS and not slope


def before_activation(operation: keras.Operation, *arguments: Any, **options: Any) -> Any:
    """Runs an operation that has or is an activation, without this."""
    if getattr(operation, "activation", None) is None:
        return arguments[0]
    with _without_activation(operation):
        return operation(*arguments, **options)


def activated(operation: keras.Operation, values: Any) -> Any:
    """Runs the activation that an operation has or is."""
    activation = getattr(operation, "activation", None)
    return operation(values) if activation is None else activation(values)


@contextmanager
def _without_activation(layer: keras.layers.Layer) -> Iterator[None]:
    activation = layer.activation
    # Keras would take an activation that is a layer for a new part of this one.
    object.__setattr__(layer, "activation", keras.activations.linear)
    try:
        yield
    finally:
        object.__setattr__(layer, "activation", activation)
