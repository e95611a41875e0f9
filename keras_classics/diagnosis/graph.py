"""A functional network as a graph: its activations, and its variables put back as they were."""

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_classics.analysis.activations import activation_name

# Layers and operations that are activations.
ACTIVATIONS = ("softmax", "sigmoid", "relu")


def last_activation(model: keras.Model) -> str:
    """Returns the name of the activation that a network ends in, `"linear"` without one."""
    operation = model.outputs[0]._keras_history.operation
    return last_activation(operation) if is_graph(operation) else activation_of(operation)


def is_graph(operation: Any) -> bool:
    """Whether an operation is a functional network."""
    return isinstance(operation, keras.Model) and bool(getattr(operation, "outputs", None))


def activation_of(operation: Any) -> str:
    """Returns the name of the activation of a layer or operation, `"linear"` without one."""
    name = activation_name(operation)
    # A layer of its own, or `keras.ops.softmax` between layers, has no attribute of this name.
    is_one = getattr(operation, "activation", None) is not None or name in ACTIVATIONS
    return name if is_one else "linear"


@contextlib.contextmanager
def unchanged(model: keras.Model) -> Iterator[None]:
    """Puts back all variables of a network, and the state of the generators of its environment."""
    variables = [(variable, tf.identity(variable.value)) for variable in model.variables]
    states = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        for variable, value in variables:
            variable.assign(value)
        random.setstate(states[0])
        np.random.set_state(states[1])
