"""What a network computes that the shapes of its weights do not show.

ResNet-50's two versions have the same tensors, but other strides; a plain network has those of a
residual one. So this package writes the settings of the layers beside the weights, and compares
them with the network's when it reads a file that has them.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import keras

# By name of the layer: `class`, `inputs` (names of layers), and the settings of the layer.
Computation = dict[str, dict[str, Any]]

# Settings that matter only in training, or that tensors show.
TRAINING = {"trainable", "seed", "momentum", "synchronized", "renorm", "renorm_clipping"}
TRAINING |= {"renorm_momentum", "activity_regularizer"}
SHOWN = {"name", "dtype", "filters", "units", "kernel_size", "use_bias", "center", "scale", "codes"}
ENDINGS = ("_initializer", "_regularizer", "_constraint", "_init")

# Layers that pass on what they get when a trained network is used.
TRANSPARENT = {"Dropout", "InputLayer", "SpatialDropout2D", "GaussianNoise"}

# Settings of convolutions that every way of building the same network shares.
STRIDES = ("strides", "dilation_rate", "groups")

PACKAGE = "keras_classics>"


def of_model(model: keras.Model) -> Computation:
    """Returns the computation of a functional model; empty for one without a graph of layers."""
    try:
        return of_config(json.loads(json.dumps(model.get_config())))
    except (NotImplementedError, TypeError):
        return {}


def of_config(config: Mapping[str, Any]) -> Computation:
    """Returns the computation that the configuration of a functional model describes.

    Args:
        config: What `keras.Model.get_config` returns, as JSON gives it back.

    Raises:
        KeyError, TypeError or AttributeError: If it is no such configuration.
    """
    layers = {layer["config"]["name"]: layer for layer in config.get("layers", ())}
    inputs = {
        name: list(_names_of_inputs(layer.get("inbound_nodes", [])))
        for name, layer in layers.items()
    }

    def sources(name: str) -> list[str]:
        if layers[name]["class_name"] not in TRANSPARENT:
            return [name]
        return [source for above in inputs[name] for source in sources(above)]

    return {
        name: {
            "class": layer["class_name"].removeprefix(PACKAGE),  # Which .h5 files have there.
            "inputs": [source for above in inputs[name] for source in sources(above)],
            **_settings(layer["config"]),
        }
        for name, layer in layers.items()
        if layer["class_name"] not in TRANSPARENT
    }


def is_own(config: Mapping[str, Any]) -> bool:
    """Returns whether this package built a model: it has a layer of ours, or ends as ours do."""
    return any(
        (layer.get("registered_name") or layer["class_name"]).startswith(PACKAGE)
        or layer["config"]["name"] == "probabilities"
        for layer in config.get("layers", ())
    )


def difference(file: Computation, network: Computation, exact: bool = True) -> str | None:
    """Returns the first difference between two computations in a phrase, or None.

    Only layers that both have are compared: the top may differ, and so may what is before the
    network. A layer that only one of them has shows in the inputs of the layer after it.

    Args:
        file: The computation that a file states.
        network: The network's.
        exact: Whether the file's network was built by this package. If not, other layers may do
            the same, and only the strides of layers of the same name are compared.
    """
    for name in (name for name in network if name in file):
        ours, theirs = network[name], file[name]
        settings = sorted(ours.keys() | theirs.keys() - set(STRIDES)) if exact else []
        for setting in (*STRIDES, *settings):
            here, there = ours.get(setting), theirs.get(setting)
            # The image, or what stands before the network, is nobody's layer.
            if here == there or (setting == "inputs" and not (here and there)):
                continue
            return f"its layer {name} has {setting} {there}, but the network's has {here}"
    return None


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    ignored = TRAINING | SHOWN
    kept = {k: v for k, v in config.items() if k not in ignored and not k.endswith(ENDINGS)}
    return {k: _without_numbers(v) for k, v in kept.items()}


def _without_numbers(value: Any) -> Any:
    """Removes the numbers that Keras gives objects in a file, which differ each time."""
    if not isinstance(value, Mapping):
        return value
    return {k: _without_numbers(v) for k, v in value.items() if k != "shared_object_id"}


def _names_of_inputs(nodes: Any) -> Iterator[str]:
    """Yields the names of the layers whose outputs a layer takes, in order."""
    if isinstance(nodes, Mapping):
        if "keras_history" in nodes:
            yield nodes["keras_history"][0]
            return
        nodes = list(nodes.values())
    if isinstance(nodes, list):
        for node in nodes:
            yield from _names_of_inputs(node)
