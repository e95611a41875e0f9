"""Files whose layers have other names than the network's, read by the order of the layers."""

import itertools

import keras

from keras_classics.errors import UserError
from keras_classics.weights.assign import weights_of
from keras_classics.weights.computation import of_model
from keras_classics.weights.stored import Tensors


def by_order(tensors: Tensors, model: keras.Model) -> dict[str, str] | None:
    """Returns the file's name of each of a network's tensors, by the order of their layers.

    Args:
        tensors: Tensors named `layer/variable`, in the order of the file.
        model: The network.

    Returns:
        None if the file names a layer as the network does, or has other layers than it.

    Raises:
        UserError: If the network branches, so that the order of its layers says too little.
    """
    theirs: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, tensor in tensors.items():
        layer, _, variable = name.rpartition("/")
        theirs.setdefault(layer, {})[variable] = tensor.shape
    ours = {
        layer.name: {v.name: tuple(v.shape) for v in weights_of(layer)}
        for layer in model.layers
        if weights_of(layer)
    }
    # The number of classes may differ, so the last layer's shapes are compared later.
    if ours.keys() & theirs.keys() or len(ours) != len(theirs):
        return None
    pairs = list(zip(ours, theirs, strict=True))
    if any(ours[one] != theirs[other] for one, other in pairs[:-1]):
        return None
    if any(ours[one].keys() != theirs[other].keys() for one, other in pairs):
        return None
    branches = _branches(model, list(ours))
    if branches:
        raise UserError(
            f"its layers have other names than the network's, such as {pairs[0][1]!r} for "
            f"{pairs[0][0]!r}, and their order does not say which of {branches[0]} and "
            f"{branches[1]} is which. Give the layers the network's names"
        )
    return {f"{one}/{v}": f"{other}/{v}" for one, other in pairs for v in ours[one]}


def _branches(model: keras.Model, layers: list[str]) -> tuple[str, str] | None:
    """Returns two layers in a row of which neither gets the output of the other, or None."""
    computation = of_model(model)
    above: dict[str, set[str]] = {}
    for layer in model.layers:
        inputs = computation.get(layer.name, {}).get("inputs", [])
        above[layer.name] = {*inputs, *(name for i in inputs for name in above.get(i, ()))}
    pairs = itertools.pairwise(layers)
    return next(((one, other) for one, other in pairs if one not in above[other]), None)
