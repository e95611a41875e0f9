"""Assigns named tensors to a model: each exactly once, or none at all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras
import numpy as np

from keras_classics.analysis.nested import is_nested
from keras_classics.errors import UserError

Tensors = dict[str, np.ndarray]


def _same(array: np.ndarray) -> np.ndarray:
    return array


@dataclass(frozen=True)
class Slot:
    """The variable of a model that belongs to a tensor of a file.

    Attributes:
        variable: The variable.
        shape: Shape of the tensor in the file.
        to_keras: Converts the tensor from the file's layout to the variable's.
        from_keras: Converts the variable's value to the file's layout.
    """

    variable: keras.Variable
    shape: tuple[int, ...]
    to_keras: Callable[[np.ndarray], np.ndarray] = _same
    from_keras: Callable[[np.ndarray], np.ndarray] = _same


Slots = Mapping[str, Slot]


def weights_of(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Returns the variables of a layer that files contain: all but the seed generator's state.

    Raises:
        UserError: If it is a nested network, whose layers might share names with others.
    """
    if is_nested(layer):
        raise UserError(
            f"its layer {layer.name!r} is a network of its own. Use get_layer({layer.name!r})"
        )
    return [v for v in layer.variables if v.name != "seed_generator_state"]


def named_slots(model: keras.Model) -> dict[str, Slot]:
    """Returns a slot for every weight of a model, by the name `layer/variable`."""
    return {
        f"{layer.name}/{variable.name}": Slot(variable, tuple(variable.shape))
        for layer in model.layers
        for variable in weights_of(layer)
    }


def assign(tensors: Tensors, slots: Slots) -> None:
    """Assigns to every slot's variable the tensor of the slot's name.

    Raises:
        UserError: If a tensor is missing, has no slot, or has the wrong shape or type. No variable
            has then changed.
    """
    missing = [name for name in slots if name not in tensors]
    extra = [name for name in tensors if name not in slots]
    if missing and extra:
        raise UserError(f"it lacks the tensor {missing[0]!r}, and the network has no {extra[0]!r}")
    if missing:
        raise UserError(f"it lacks the tensor {missing[0]!r}")
    if extra:
        raise UserError(f"the network has no tensor {extra[0]!r}")
    for name, slot in slots.items():
        if tensors[name].shape != slot.shape:
            raise UserError(
                f"its tensor {name!r} has the shape {tensors[name].shape}, but the network's has "
                f"{slot.shape}"
            )
        if not np.issubdtype(tensors[name].dtype, np.floating):
            raise UserError(
                f"its tensor {name!r} is of type {tensors[name].dtype}, not floating-point"
            )
    for name, slot in slots.items():
        slot.variable.assign(slot.to_keras(tensors[name]))


def extract(slots: Slots) -> Tensors:
    """Returns the values of the slots' variables in the layout of the file."""
    return {
        name: np.ascontiguousarray(slot.from_keras(keras.ops.convert_to_numpy(slot.variable)))
        for name, slot in slots.items()
    }
