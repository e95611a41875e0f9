"""What a network of Caffe computes, from the layers in its file, compared with a network here.

Caffe's files hold the whole network as it was trained. Its layers for data, losses and accuracies
do not matter here. Between the layers with weights the file says how it pools and normalises,
so that CaffeNet's weights, of the same shapes as AlexNet's, do not load into AlexNet.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from keras_classics.errors import UserError
from keras_classics.weights.computation import Computation, of_model
from keras_classics.weights.formats.caffe_files import Layer

WEIGHTED = ("Convolution", "InnerProduct")
WEIGHTED_HERE = ("Conv2D", "TowerConv2D", "Dense")

# Layers that compute nothing of what a trained network answers.
IGNORED = {"", "Accuracy", "ArgMax", "Dropout", "Flatten", "HDF5Output", "Input", "Python"}
IGNORED |= {"Silence", "Softmax"}

TRAINING, TESTING = 0, 1

# Caffe's defaults.
EPSILON = 1e-5
STRIDED = {"pad": 0, "stride": 1, "dilation": 1, "group": 1}
NORMALIZED = {"n": 5, "alpha": 1.0, "beta": 0.75, "k": 1.0}
MAXIMUM, MEAN = 0, 1

# Of response normalisation, by the value of the builder's argument `lrn`: n, alpha, beta, k.
LRN = {
    "caffe": (5, 1e-4, 0.75, 1.0),
    "code": (5, 1e-4, 0.75, 2.0),
    "paper": (5, 5e-4, 0.75, 2.0),
}

# Layers of Keras that pool or normalise, and what stands for them in Caffe.
WINDOWS = {
    "MaxPooling2D": ("Pooling", MAXIMUM),
    "AveragePooling2D": ("Pooling", MEAN),
    "LocalResponseNormalization": ("LRN", None),
}


@dataclass
class Unit:
    """A layer with weights, and the normalisation that follows it.

    Attributes:
        layer: A convolution or a dense layer.
        norm: Its BatchNorm, or None.
        scale: Its Scale, or None.
    """

    layer: Layer
    norm: Layer | None = None
    scale: Layer | None = None


@dataclass(frozen=True)
class Window:
    """A layer that pools or normalises.

    Attributes:
        layer: The layer.
        unit: The last layer with weights before it, or None.
    """

    layer: Layer
    unit: Unit | None


@dataclass(frozen=True)
class Network:
    """A network of Caffe.

    Attributes:
        units: Its layers with weights, in their order.
        windows: What pools and normalises, in its order.
        sums: Number of its additions.
    """

    units: list[Unit]
    windows: list[Window]
    sums: int


def network_of(layers: list[Layer]) -> Network:
    """Returns the network that layers of a file form.

    Raises:
        UserError: If it has a layer that no network here has.
    """
    units: list[Unit] = []
    windows, sums = [], 0
    # By name of a blob: the last unit before it, and the unit whose output it is.
    sources: dict[str, Unit | None] = {}
    outputs: dict[str, Unit] = {}
    for layer in _used(layers):
        source = sources.get(layer.bottoms[-1]) if layer.bottoms else None
        output = outputs.get(layer.bottoms[0]) if layer.bottoms else None
        if layer.type in WEIGHTED:
            _check_weights(layer)
            source = output = Unit(layer)
            units.append(source)
        elif layer.type in ("BatchNorm", "Scale"):
            _normalize(layer, output)
        elif layer.blobs:
            raise _no_place(layer)
        elif layer.type in ("Pooling", "LRN"):
            windows.append(Window(layer, source))
        elif layer.type == "Eltwise":
            _check_sum(layer)
            sums += 1
        elif layer.type == "ReLU":
            if layer.settings.get("slope", 0.0):
                raise UserError(f"its layer {layer.name!r} (ReLU) has a slope for negative values")
        elif layer.type != "Split" and not _is_ignored(layer):
            raise _no_place(layer)
        for top in layer.tops:
            sources[top] = source
            outputs.pop(top, None)
            if output and layer.type in (*WEIGHTED, "BatchNorm", "Scale", "Split"):
                outputs[top] = output
    return Network(units, windows, sums)


def _used(layers: list[Layer]) -> list[Layer]:
    """Leaves out the training's layers of those that stand there twice, once for each phase."""
    count = Counter(layer.name for layer in layers)
    kept = [x for x in layers if count[x.name] == 1 or x.phase != TRAINING]
    weighted = Counter(layer.name for layer in kept if layer.blobs)
    for name, times in weighted.items():
        if times > 1:
            raise UserError(f"it has {times} layers with weights of the name {name!r}")
    return kept


def _is_ignored(layer: Layer) -> bool:
    return layer.type in IGNORED or layer.type.endswith(("Data", "Loss"))


def _check_weights(layer: Layer) -> None:
    if len(layer.blobs) not in (1, 2):
        raise UserError(
            f"its layer {layer.name!r} ({layer.type}) must have weights and perhaps biases. "
            f"Received: {len(layer.blobs)} blobs"
        )
    if layer.settings.get("transpose"):
        raise UserError(f"its layer {layer.name!r} must not have transposed weights")


def _normalize(layer: Layer, unit: Unit | None) -> None:
    """Adds a BatchNorm or a Scale to the unit that it normalises."""
    blobs = (3,) if layer.type == "BatchNorm" else (1, 2)
    field = "norm" if layer.type == "BatchNorm" else "scale"
    follows = unit and unit.layer.type == "Convolution" and unit.scale is None
    if not follows or (unit.norm is None) != (field == "norm"):
        before = "a convolution" if field == "norm" else "the BatchNorm of a convolution"
        raise UserError(
            f"its layer {layer.name!r} ({layer.type}) must follow {before}, before its ReLU"
        )
    if len(layer.blobs) not in blobs:
        raise UserError(
            f"its layer {layer.name!r} ({layer.type}) must have {' or '.join(map(str, blobs))} "
            f"blobs. Received: {len(layer.blobs)}"
        )
    setattr(unit, field, layer)


def _check_sum(layer: Layer) -> None:
    addition, settings = 1, layer.settings
    if settings.get("operation", addition) != addition or settings.get("coefficient", 1.0) != 1.0:
        raise UserError(f"its layer {layer.name!r} (Eltwise) must be a plain sum")


def _no_place(layer: Layer) -> UserError:
    return UserError(f"the network has no place for its layer {layer.name!r} ({layer.type})")


def builder_arguments(network: Network) -> dict[str, Any]:
    """Returns the arguments of builders that a network of Caffe decides; others are left open."""
    arguments: dict[str, Any] = {}
    found = {_constants(w.layer) for w in network.windows if w.layer.type == "LRN"}
    if not found:
        arguments["lrn"] = None
    for name, constants in LRN.items():
        if len(found) == 1 and _near(constants, *found):
            arguments["lrn"] = name
    strides = {u.layer.name: u.layer.settings.get("stride", 1) for u in network.units}
    if network.sums and strides.get("res3a_branch2b") == 2:
        arguments["version"] = "v1.5"
    elif network.sums:
        pools = [w.layer.settings for w in network.windows if w.layer.type == "Pooling"]
        pads = bool(pools and pools[0].get("pad", 0))
        arguments["version"] = "v1" if pads else "v1_caffe"
    return arguments


def check_computation(network: Network, names: Mapping[str, str], model: keras.Model) -> None:
    """Raises an error if a network of Caffe computes something else with its weights.

    Args:
        network: The network of Caffe.
        names: Names of the model's layers, by those of the file's units.
        model: The network here.
    """
    ours = of_model(model)
    for unit in network.units:
        name = names[unit.layer.name]
        if name in ours and unit.layer.type == "Convolution" and "strides" in ours[name]:
            theirs = {k: unit.layer.settings.get(k, default) for k, default in STRIDED.items()}
            _compare(unit.layer, theirs, name, _convolution(ours, model, name))
    additions = sum(layer["class"] == "Add" for layer in ours.values())
    if network.sums != additions:
        raise UserError(f"it has {network.sums} additions, but the network has {additions}")
    convolutions = {names[u.layer.name] for u in network.units if u.layer.type == "Convolution"}
    weighted = {name for name, layer in ours.items() if layer["class"] in WEIGHTED_HERE}
    if not convolutions <= weighted <= set(names.values()):
        return  # A missing layer is named when the tensors are assigned.
    here = list(_windows(ours))
    there = [w for w in network.windows if w.unit and names[w.unit.layer.name] in ours]
    if network.sums and there and there[-1].layer.settings.get("method") == MEAN:
        there.pop()  # The mean over all positions, which is no window here.
    for window, name in zip(there, here, strict=False):
        _compare_windows(window, names, ours, name)
    if len(there) != len(here):
        raise UserError(f"it pools or normalises {len(there)} times, but the network {len(here)}")


def _compare(layer: Layer, theirs: Mapping[str, Any], name: str, ours: Mapping[str, Any]) -> None:
    for setting, value in ours.items():
        if not math.isclose(theirs[setting], value, rel_tol=1e-5):
            raise UserError(
                f"its layer {layer.name!r} has {setting} {theirs[setting]:g}, but the network's "
                f"{name} has {value:g}"
            )


def _convolution(ours: Computation, model: keras.Model, name: str) -> dict[str, int]:
    """Returns the settings of a convolution here, as Caffe names them."""
    layer = ours[name]
    settings = {
        "stride": layer["strides"][0],
        "dilation": layer["dilation_rate"][0],
        "group": layer["groups"],
        "pad": _zeros_before(ours, name)[0],
    }
    if layer["padding"] == "same":
        settings["pad"] = model.get_layer(name).kernel_size[0] // 2
    return settings


def _zeros_before(ours: Computation, name: str) -> tuple[int, int]:
    """Returns the rows of zeros that are added before a layer, at the top and at the bottom."""
    before = ours.get(next(iter(ours[name]["inputs"]), ""), {})
    if before.get("class") != "ZeroPadding2D":
        return 0, 0
    return tuple(before["padding"][0])


def _windows(ours: Computation) -> Iterator[str]:
    return (name for name, layer in ours.items() if layer["class"] in WINDOWS)


def _compare_windows(
    window: Window, names: Mapping[str, str], ours: Computation, name: str
) -> None:
    layer, settings = window.layer, window.layer.settings
    kind, method = WINDOWS[ours[name]["class"]]
    unit = names[window.unit.layer.name] if window.unit else None
    if layer.type != kind or unit != _unit_before(ours, name):
        raise UserError(
            f"its layer {layer.name!r} ({layer.type}) stands where the network has {name}"
        )
    if kind == "LRN":
        region = settings.get("region", 0)
        if region:
            raise UserError(f"its layer {layer.name!r} must normalise over maps, not within each")
        theirs = {k: settings.get(k, default) for k, default in NORMALIZED.items()}
        _compare(layer, theirs, name, _normalization(ours[name]))
        return
    theirs = {"method": MAXIMUM, "stride": 1, "pad": 0, "rounds_down": 0, "kernel": 0, **settings}
    expected = {
        "method": method,
        "kernel": ours[name]["pool_size"][0],
        "stride": ours[name]["strides"][0],
    }
    first, last = _zeros_before(ours, name)
    if ours[name]["padding"] == "valid":
        expected["pad"] = first
    if first != last or first:
        expected["rounds_down"] = int(first == last)
    _compare(layer, theirs, name, expected)


def _unit_before(ours: Computation, name: str) -> str | None:
    """Returns the last layer with weights before a layer."""
    while name in ours:
        name = next(iter(ours[name]["inputs"][-1:]), "")
        if ours.get(name, {}).get("class") in WEIGHTED_HERE:
            return name
    return None


def _normalization(layer: Mapping[str, Any]) -> dict[str, float]:
    """Returns the constants of a response normalisation here, as Caffe means them."""
    factor = 1 if layer["divide_alpha_by_n"] else layer["n"]
    return {
        "n": layer["n"],
        "alpha": layer["alpha"] * factor,
        "beta": layer["beta"],
        "k": layer["k"],
    }


def _constants(layer: Layer) -> tuple[float, ...]:
    return tuple(layer.settings.get(k, default) for k, default in NORMALIZED.items())


def _near(constants: tuple[float, ...], others: tuple[float, ...]) -> bool:
    return all(math.isclose(a, b, rel_tol=1e-5) for a, b in zip(constants, others, strict=True))
