"""Where a network has its maps and its score."""

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from keras_classics.analysis.activations import activation_name
from keras_classics.analysis.nested import operations
from keras_classics.errors import UserError, unknown_name

# What ends a classifier, and the factor from what it takes to a score: a large distance is a small
# score.
ENDS = {"softmax": 1.0, "logsoftmax": 1.0, "sigmoid": 1.0, "softmin": -1.0}

# What changes no value, and stands after a classifier's end or between its pooling and its layer.
IDLE = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout2D,
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.Identity,
)


def check_network(model: keras.Model) -> None:
    """Raises a `UserError` if a network cannot be explained."""
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        raise UserError(
            "A network to explain must be functional, or sequential with an Input. Received: a "
            f"{type(model).__name__}. Build it with keras.Model(inputs, outputs)."
        )
    for kind, tensors in (("input", model.inputs), ("output", model.outputs)):
        if len(tensors) != 1:
            raise UserError(
                f"A network to explain must have one {kind}. Received: {model.name} with "
                f"{len(tensors)}. Use keras.Model(model.inputs[i], model.outputs[j])."
            )
    shape = model.inputs[0].shape
    if len(shape) != 4 or any(
        getattr(layer, "data_format", None) == "channels_first" for layer in operations(model)
    ):
        raise UserError(
            "A network to explain must take images of shape (batch, height, width, channels). "
            f"Received: {model.name}, which takes {tuple(shape)}."
        )


def map_layer(model: keras.Model, name: str | None) -> keras.Operation:
    """Returns the layer of a name, by default the last whose output has positions.

    Raises:
        UserError: If there is none.
    """
    found = operations(model)
    if name is None:
        maps = [layer for layer in found if _has_positions(layer)]
        if not maps:
            raise UserError(
                f"Class maps need a layer with an output of shape (batch, height, width, channels)."
                f" Received: {model.name}, which has none. Use gradient or another attribution of "
                "pixels."
            )
        return maps[-1]
    named = [layer for layer in found if layer.name == name]
    if not named:
        raise unknown_name(f"layer of {model.name}", name, [layer.name for layer in found])
    if len(named) > 1:
        raise UserError(
            f"The layer of a class map must have a name of its own. Received: {name!r}, of "
            f"{len(named)} layers of {model.name}. Rename one: layer.name = ..."
        )
    if not _has_positions(named[0]):
        maps = [layer.name for layer in found if _has_positions(layer)]
        raise UserError(
            "The layer of a class map must have an output with positions. Received: "
            f"{name!r} with {getattr(named[0].output, 'shape', 'several outputs')}. The last "
            f"of {model.name} that has is {maps[-1] if maps else 'none'}."
        )
    return named[0]


def _has_positions(operation: keras.Operation) -> bool:
    if isinstance(operation, keras.layers.InputLayer):
        return False
    shape = getattr(operation.output, "shape", ())
    return len(shape) == 4 and tuple(shape[1:3]) != (1, 1)


def score_end(model: keras.Model) -> tuple[keras.Operation | None, float]:
    """Returns the operation with the activation after a network's scores, and a factor to these.

    Returns:
        None and 1 if the outputs are scores.
    """
    for operation in _from_output(model):
        if activation_name(operation) in ENDS:
            return operation, ENDS[activation_name(operation)]
        if not _is_idle(operation):
            break
    return None, 1.0


def pooled_head(model: keras.Model, layer: keras.Operation) -> keras.Operation:
    """Returns the one linear layer between the global average pooling of a map and the scores.

    Raises:
        UserError: If the network does not end so.
    """
    end, _ = score_end(model)
    linear, is_pooled = None, False
    for operation in _from_output(model):
        if operation is layer and is_pooled:
            return linear
        if isinstance(operation, keras.layers.GlobalAveragePooling2D) and linear is not None:
            is_pooled = True
        elif isinstance(operation, keras.layers.Dense) and linear is None:
            linear = operation
            if operation is not end and activation_name(operation) != "linear":
                break
        elif not (_is_idle(operation) or operation is end):
            break
    raise UserError(
        "CAM needs a network whose last map passes a global average pooling and one dense layer. "
        f"Received: {model.name} with the map of {layer.name!r}. Use Grad-CAM, which equals CAM "
        "there and needs no such head."
    )


def _from_output(model: keras.Model) -> Iterator[keras.Operation]:
    """Yields the operations from a network's output backwards, as long as each has one input."""
    tensor = model.outputs[0]
    while isinstance(tensor, keras.KerasTensor):
        operation = tensor._keras_history.operation
        if isinstance(operation, keras.Model) and getattr(operation, "outputs", None):
            tensor = operation.outputs[0]
            continue
        yield operation
        tensor = None if isinstance(operation, keras.layers.InputLayer) else operation.input


def _is_idle(operation: keras.Operation) -> bool:
    if isinstance(operation, keras.layers.Activation):
        return activation_name(operation) == "linear"
    return isinstance(operation, IDLE)


def score_of(outputs: Any, factor: float) -> Any:
    """Returns the score of each class, from what stands before the activation at the end."""
    scores = factor * ops.cast(outputs, "float32")
    return ops.mean(scores, axis=tuple(range(1, len(scores.shape) - 1)))
