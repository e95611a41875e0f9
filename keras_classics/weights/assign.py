"""Puts named tensors into a model: each exactly once, or none at all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras
import numpy as np

from keras_classics.errors import UserError

Tensors = dict[str, np.ndarray]


def _same(array: np.ndarray) -> np.ndarray:
    return array


@dataclass(frozen=True)
class Slot:
    """The place of a file's tensor in a model.

    Attributes:
        variable: Where it goes.
        shape: Its shape in the file.
        to_keras: From the file's layout to the variable's.
        from_keras: The way back.
    """

    variable: keras.Variable
    shape: tuple[int, ...]
    to_keras: Callable[[np.ndarray], np.ndarray] = _same
    from_keras: Callable[[np.ndarray], np.ndarray] = _same


Slots = Mapping[str, Slot]


def weights_of(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Returns the variables of a layer that a file holds: all but the state of random draws."""
    return [v for v in layer.variables if v.name != "seed_generator_state"]


def named_slots(model: keras.Model) -> dict[str, Slot]:
    """Returns a slot for every weight of a model, named `layer/variable`."""
    return {
        f"{layer.name}/{variable.name}": Slot(variable, tuple(variable.shape))
        for layer in model.layers
        for variable in weights_of(layer)
    }


def assign(tensors: Tensors, slots: Slots) -> None:
    """Gives every slot's variable the tensor of its name.

    Raises:
        UserError: A tensor is missing, is one too many, or has another shape; no variable has
            changed then.
    """
    missing = [name for name in slots if name not in tensors]
    extra = [name for name in tensors if name not in slots]
    if missing and extra:
        raise UserError(f"it has no tensor {missing[0]!r}, but {extra[0]!r}, which has no place")
    if missing:
        raise UserError(f"it has no tensor {missing[0]!r}")
    if extra:
        raise UserError(f"its tensor {extra[0]!r} has no place in the network")
    for name, slot in slots.items():
        if tensors[name].shape != slot.shape:
            raise UserError(
                f"its tensor {name!r} has the shape {tensors[name].shape}, and the network's "
                f"has {slot.shape}"
            )
        if not np.issubdtype(tensors[name].dtype, np.floating):
            raise UserError(f"its tensor {name!r} is of type {tensors[name].dtype}, not of floats")
    for name, slot in slots.items():
        slot.variable.assign(slot.to_keras(tensors[name]))


def extract(slots: Slots) -> Tensors:
    """Returns what the slots' variables hold, in the layout of the file."""
    return {
        name: np.ascontiguousarray(slot.from_keras(keras.ops.convert_to_numpy(slot.variable)))
        for name, slot in slots.items()
    }
