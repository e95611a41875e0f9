"""Assigns named tensors to a model: each exactly once, or none at all."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_classics.analysis.nested import is_nested
from keras_classics.backend import tf
from keras_classics.errors import UserError
from keras_classics.weights.stored import (
    Tensors,
    aligned_array,
    check_type,
    checksum,
    is_aligned,
)

# Values that are checked at once: 1 MB in float32 stays in the processor's cache.
CHUNK = 1 << 18

# Types whose arrays TensorFlow takes over; NumPy's interface for it has no bfloat16.
SHARED = ("float16", "float32", "float64")


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


def values_for(
    tensors: Tensors, slots: Slots, own_name: Callable[[str], str] = str
) -> dict[str, Any]:
    """Reads every slot's tensor, once all names, shapes and types fit.

    Args:
        tensors: The tensors by name.
        slots: The slots by name.
        own_name: Returns the name in the file of a tensor, for messages.

    Returns:
        Tensors of Keras's backend in the layout and type of the slots' variables.

    Raises:
        UserError: If a tensor is missing, has no slot, has the wrong shape or type, is not finite,
            or does not have its checksum.
    """
    check_fit(tensors, slots, own_name)
    # Values are checked beside reading and converting.
    with ThreadPoolExecutor(1) as worker:
        values, checks = {}, []
        for name, slot in slots.items():
            stored = tensors[name].read()
            with np.errstate(over="ignore"):
                value = stored.astype(slot.variable.dtype, copy=False)
            expected = tensors[name].checksum
            checks.append(worker.submit(_check, own_name(name), stored, expected, value))
            values[name] = _to_tensor(slot.to_keras(value), slot.variable, tensors[name].exclusive)
        for check in checks:
            check.result()
    return values


def check_fit(tensors: Tensors, slots: Slots, own_name: Callable[[str], str] = str) -> None:
    """Raises a `UserError` if a tensor has no slot or none for it, or another shape or type."""
    _check_names(tensors, slots, own_name)
    for name, slot in slots.items():
        tensor = tensors[name]
        shown = own_name(name)
        if tensor.shape != slot.shape:
            raise UserError(
                f"its tensor {shown!r} has the shape {tensor.shape}, but the network's has "
                f"{slot.shape}"
            )
        check_type(shown, tensor)


def _to_tensor(array: np.ndarray, variable: keras.Variable, exclusive: bool) -> Any:
    """Returns an array as a tensor for a variable, without a copy if its memory is exclusive."""
    # Keras's conversion holds two copies for a while, 800 MB for the first dense layer of a VGG.
    if tf is None or array.dtype not in SHARED or not array.size:
        return keras.ops.convert_to_tensor(array, variable.dtype)
    if not (exclusive and array.flags.c_contiguous and is_aligned(array)):
        copy = aligned_array(array.shape, array.dtype)
        copy[...] = array
        array = copy
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())


def _check_names(tensors: Tensors, slots: Slots, own_name: Callable[[str], str]) -> None:
    missing = [own_name(name) for name in slots if name not in tensors]
    extra = [own_name(name) for name in tensors if name not in slots]
    if missing and extra:
        raise UserError(f"it lacks the tensor {missing[0]!r}, and the network has no {extra[0]!r}")
    if missing:
        raise UserError(f"it lacks the tensor {missing[0]!r}")
    if extra:
        raise UserError(f"the network has no tensor {extra[0]!r}")


def _check(name: str, stored: np.ndarray, expected: int | None, value: np.ndarray) -> None:
    if expected is not None and checksum(stored) != expected:
        raise UserError(f"its tensor {name!r} is damaged: its checksum is wrong")
    if not is_finite(value):
        raise UserError(
            f"its tensor {name!r} must be finite. Received: values that are NaN, infinite, or too "
            f"large for {value.dtype}"
        )


def is_finite(array: np.ndarray) -> bool:
    """Returns whether all values of an array are finite numbers."""
    flat = array.ravel(order="K")
    # A value that is not finite shows in the sum, which is had at the speed of memory. The sum of
    # finite values may overflow; then each is asked.
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(flat.sum()):
            return True
    return all(np.isfinite(flat[i : i + CHUNK]).all() for i in range(0, flat.size, CHUNK))


def assign(values: dict[str, Any], slots: Slots) -> None:
    """Assigns values to the variables of the slots of the same names, and drops them."""
    for name, slot in slots.items():
        slot.variable.assign(values.pop(name))


def extract(slots: Slots) -> dict[str, np.ndarray]:
    """Returns the values of the slots' variables in the layout of the file."""
    return {
        name: np.ascontiguousarray(slot.from_keras(keras.ops.convert_to_numpy(slot.variable)))
        for name, slot in slots.items()
    }
