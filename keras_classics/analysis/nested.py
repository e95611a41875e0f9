"""Networks inside networks, such as `Sequential([backbone, ...])` and `backbone(x)`."""

from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_classics.errors import UserError


def all_layers(model: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns the layers of a network in its order, each once.

    A nested network or another layer made of layers is followed by its own.
    """
    return list({id(layer): layer for layer in _walk(model)}.values())


def _walk(parent: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    # Keras's own recursion returns the layers of a nested network in reverse.
    for layer in parent._flatten_layers(include_self=False, recursive=False):
        yield layer
        yield from _walk(layer)


def is_nested(layer: keras.layers.Layer) -> bool:
    """Whether a layer is made of layers, as a nested network is."""
    return bool(layer._flatten_layers(include_self=False, recursive=False))


def refuse_nested(model: keras.Model, what: str) -> None:
    """Raises a `UserError` if a network contains another.

    Args:
        model: The network.
        what: Subject of the message, such as "A profile".
    """
    for layer in model.layers:
        if is_nested(layer):
            raise UserError(
                f"{what} takes a network without others in it. Received: {model.name} with "
                f"{layer.name!r}, a {type(layer).__name__}. Use model.get_layer({layer.name!r}), "
                "or build the layers that follow on its output."
            )


def flat(model: keras.Model) -> keras.Model:
    """Returns a network with the layers of nested functional networks in place of these.

    Args:
        model: A functional or sequential network.

    Returns:
        A functional network. Without nested ones it has the same layers. Else it is a copy with the
        same layer names and weights, which shares no layers with the network.

    Raises:
        UserError: If two nested networks have layers of the same name, or the network is neither
            functional nor sequential.
    """
    if not getattr(model, "inputs", None):
        raise UserError(
            f"{model.name} must be a functional network, or a sequential one with an Input. "
            f"Received: a {type(model).__name__}. Build it with keras.Model(inputs, outputs)."
        )
    if isinstance(model, keras.Sequential):
        model = keras.Model(*_ends(model), name=model.name)
    if not any(map(_is_graph, model.layers)):
        return model
    _check_names(model)
    inlined = model
    while any(map(_is_graph, inlined.layers)):
        inlined = keras.models.clone_model(
            inlined, clone_function=lambda layer: layer, call_function=_inline
        )
    copy = keras.models.clone_model(inlined)
    for layer, source in zip(copy.layers, inlined.layers, strict=True):
        layer.set_weights(source.get_weights())
    return copy


def operations(model: keras.Model) -> list[keras.Operation]:
    """Returns the operations of a functional network in its order, with those of nested ones.

    Operations are layers, and functions of `keras.ops` that are called on a network's tensors.
    """
    found = []
    for operation in _function(model).operations:
        found += operations(operation) if _is_graph(operation) else [operation]
    return found


def run_operations(model: keras.Model, inputs: Any, call: Callable[..., Any]) -> Any:
    """Runs a functional network in inference, nested ones too, one operation after the other.

    Unlike a copy of the network, this shares its layers and leaves them as they are.

    Args:
        model: A functional or sequential network.
        inputs: What it takes.
        call: Called as `call(operation, *arguments, **options)` in place of each operation, and
            returns what goes on in the network.
    """

    def run(operation: keras.Operation) -> Callable[..., Any]:
        if _is_graph(operation):
            return lambda *inputs, **options: run_operations(operation, inputs, call)
        # Random augmentation trains by default.
        trains = "training" in getattr(operation, "_call_context_args", ())

        def run_layer(*inputs: Any, **options: Any) -> Any:
            if trains:
                options["training"] = False
            return call(operation, *inputs, **options)

        return run_layer

    return _function(model)._run_through_graph(inputs, operation_fn=run)


def _function(model: keras.Model) -> keras.Function:
    if isinstance(model, keras.Sequential):
        return keras.Function(*_ends(model))
    return model


def _is_graph(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.Model) and bool(getattr(layer, "inputs", None))


def _ends(model: keras.Model) -> tuple:
    """Returns the inputs and the outputs of a network, in their structure."""
    if isinstance(model, keras.Sequential):
        return model.inputs[0], model.outputs[0]
    return model.input, model.output


def _inline(layer: keras.layers.Layer, *inputs, **options):
    if not _is_graph(layer):
        return layer(*inputs, **options)
    # `call` lets its layers join the graph; calling it would make one layer of it.
    return keras.Function(*_ends(layer)).call(*inputs)


def _check_names(model: keras.Model) -> None:
    seen: set[str] = set()
    for layer in all_layers(model):
        if is_nested(layer) or isinstance(layer, keras.layers.InputLayer):
            continue
        if layer.name in seen:
            raise UserError(
                f"The layers of {model.name} and of the networks in it must have different names. "
                f"Received: {layer.name!r} twice. Rename one: layer.name = ..."
            )
        seen.add(layer.name)
