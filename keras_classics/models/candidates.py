"""Which networks a file of weights may belong to, by the shapes of its convolutions.

Each family compares a file with the tables of its paper, and returns the arguments of its builder
that give such shapes: several values of an argument where the shapes are the same with all of them.
"""

import inspect
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keras_classics.models.alexnet import ACTIVATIONS, LRN, Config
from keras_classics.models.registry import ModelEntry, all_models
from keras_classics.models.resnet import CIFAR_WIDTHS, IMAGENET, IMAGENET_WIDTHS
from keras_classics.models.vgg import CONFIGS, as_one
from keras_classics.models.vgg import LRN as LRN_IN_VGG
from keras_classics.weights.sketch import Kernel, Sketch

# By argument of a builder: the values that give the shapes.
Values = dict[str, Sequence[Any]]

# Largest side of an image that is tried for the number of inputs of the first dense layer.
MOST_PIXELS = 1_024

# A network is built to be compared with a file. VGG-19 with 21,841 classes has 230 million weights.
MOST_WEIGHTS = 400_000_000


@dataclass(frozen=True)
class Candidate:
    """A network that a file may belong to.

    Attributes:
        entry: The network.
        values: Arguments of its builder. Of several values the network's default is the first.
        defaults: The network's defaults.
        tensors: Equal for networks whose tensors have the same names and shapes.
    """

    entry: ModelEntry
    values: Mapping[str, Sequence[Any]]
    defaults: Mapping[str, Any]
    tensors: tuple

    def arguments(self) -> dict[str, Any]:
        """Returns the first value of each argument."""
        return {name: values[0] for name, values in self.values.items()}

    def network(self, arguments: Mapping[str, Any]) -> tuple:
        """Returns what is equal for arguments of networks that compute the same."""
        given = {**self.defaults, **arguments, "name": None}
        return _family(self.entry), repr(self.entry.config), repr(sorted(given.items(), key=str))

    def differing(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the arguments that are not the network's defaults."""
        defaults = dict(self.defaults)
        if not arguments.get("include_top", True):
            defaults["input_shape"] = (None, None, self.entry.input_shape[2])
        return {name: v for name, v in arguments.items() if v != defaults[name]}


def candidates(sketch: Sketch) -> list[Candidate]:
    """Returns the networks that a file may belong to, those of the fewest arguments first."""
    if sketch.size > MOST_WEIGHTS or sketch.is_degenerate:
        return []
    found = [
        _candidate(entry, values, sketch)
        for entry in all_models()
        if _family(entry) in FAMILIES
        for values in FAMILIES[_family(entry)](entry, sketch)
    ]
    return sorted(found, key=lambda one: len(one.differing(one.arguments())))


def _candidate(entry: ModelEntry, values: Values, sketch: Sketch) -> Candidate:
    parameters = inspect.signature(entry.builder).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    channels = values["input_shape"][0][2]
    if sketch.dense:
        values.setdefault("classes", [sketch.dense[-1][1]])
        defaults["input_shape"] = entry.input_shape
    else:
        values |= {"include_top": [False], "input_shape": [(None, None, channels)]}
        defaults["input_shape"] = (None, None, entry.input_shape[2])
    ordered = {name: _first(defaults[name], several) for name, several in values.items()}
    shown = sorted((name, sorted(map(repr, several))) for name, several in values.items())
    tensors = (_family(entry), repr(_shapes_of(entry)), repr(shown))
    return Candidate(entry, ordered, defaults, tensors)


def _first(value: Any, values: Sequence[Any]) -> list[Any]:
    """Returns values in their order, one of them first."""
    return sorted(values, key=lambda other: other != value)


def _family(entry: ModelEntry) -> str:
    return entry.family.__name__


def _shapes_of(entry: ModelEntry) -> Any:
    """Returns the part of a network's configuration that its tensors show."""
    if _family(entry) == "vgg":
        return _blocks(entry)
    return entry.config.filters if isinstance(entry.config, Config) else entry.config


def kernel_sides(entry: ModelEntry) -> Counter[int]:
    """Returns how many convolutions a network has with its defaults, by the side of their kernel.

    Those of LeNet-5 of 1998 are counted as a graph has them.
    """
    if _family(entry) == "vgg":
        return Counter(side for block in _blocks(entry) for side in block)
    if _family(entry) == "resnet":
        bottleneck, repeats = IMAGENET[entry.config]
        return _residual_sides(7, bottleneck, sum(repeats), 0 if "plain" in entry.name else 4)
    if _family(entry) == "resnet_cifar":
        bottleneck = inspect.signature(entry.builder).parameters["bottleneck"].default
        units = (entry.config - 2) // (3 if bottleneck else 2)
        return _residual_sides(3, bottleneck, units, 3 if bottleneck else 0)
    return Counter(SIDES.get(_family(entry), {}))


SIDES = {
    "alexnet_family": {11: 1, 5: 1, 3: 3},
    "cuda_convnet": {5: 3},
    "lenet5": {5: 2},
    "lenet5_1998": {5: 3, 2: 2},
}


# Residual networks.


def _residual_sides(stem: int, bottleneck: bool, units: int, projections: int) -> Counter[int]:
    ones = 2 * units if bottleneck else 0
    sides = Counter({3: units if bottleneck else 2 * units, 1: ones + projections})
    return +(sides + Counter({stem: 1}))


def _imagenet(entry: ModelEntry, sketch: Sketch) -> Iterator[Values]:
    bottleneck, repeats = IMAGENET[entry.config]
    stems = [kernel for kernel in sketch.kernels if kernel.sides == (7, 7)]
    if len(stems) == 1 and stems[0].filters == 64:
        # Bottlenecks widen in their first stage too.
        changing = 4 if bottleneck else 3
        yield from _residual(entry, sketch, stems[0], bottleneck, sum(repeats), changing, True)


def _cifar(entry: ModelEntry, sketch: Sketch) -> Iterator[Values]:
    stems = [k for k in sketch.kernels if k.sides == (3, 3) and k.filters == CIFAR_WIDTHS[0]]
    widest = max((kernel.filters for kernel in sketch.kernels), default=0)
    for bottleneck in (False, True):
        layers = 9 if bottleneck else 6
        if (
            not stems
            or (entry.config - 2) % layers
            or widest != CIFAR_WIDTHS[-1] * (4 if bottleneck else 1)
        ):
            continue
        units = 3 * ((entry.config - 2) // layers)
        stem = min(stems, key=lambda kernel: kernel.inputs)
        changing = 3 if bottleneck else 2
        for values in _residual(entry, sketch, stem, bottleneck, units, changing, False):
            yield {**values, "bottleneck": [bottleneck]}


def _residual(
    entry: ModelEntry,
    sketch: Sketch,
    stem: Kernel,
    bottleneck: bool,
    units: int,
    changing: int,
    imagenet: bool,
) -> Iterator[Values]:
    """Yields the arguments for each version that has as many convolutions and normalisations.

    Args:
        entry: The network.
        sketch: The file's.
        stem: Its first convolution.
        bottleneck: Whether units are bottlenecks.
        units: Number of units.
        changing: Number of units that change the shape.
        imagenet: Whether the network is one for ImageNet.
    """
    widths = IMAGENET_WIDTHS if imagenet else CIFAR_WIDTHS
    inner = (k for k in sketch.kernels if k.sides == (3, 3) and k is not stem)
    if not all(kernel.inputs in widths and kernel.filters in widths for kernel in inner):
        return  # Grouped or wider convolutions.
    shortcuts = {0: ("A", "none"), changing: ("B",), units: ("C",)}
    for projections, shortcut in shortcuts.items():
        if sketch.sides() != _residual_sides(stem.sides[0], bottleneck, units, projections):
            continue
        shape = (*entry.input_shape[:2], stem.inputs)
        values: Values = {"shortcut": shortcut, "input_shape": [shape]}
        branch = 3 if bottleneck else 2
        if len(sketch.norms) in (0, 1 + branch * units + projections):
            versions = ["v1"]
            if sketch.library != "keras.applications":
                versions += ["v1.5"] if bottleneck else []
                # All of pytorchcv's bottlenecks for small images have their stride in the 3x3.
                versions = versions[::-1] if sketch.library == "pytorchcv" else versions
                versions += ["v1_caffe"] if imagenet else []
            yield {**values, "version": versions}
        if len(sketch.norms) == 1 + branch * units:
            # Only Keras's has biases, and only for ImageNet.
            in_keras = sketch.has_bias(stem)
            if not in_keras or (imagenet and bottleneck):
                yield {**values, "version": ["v2_keras" if in_keras else "v2"]}


# VGG.


def _blocks(entry: ModelEntry) -> tuple[tuple[int, ...], ...]:
    """Returns the kernels of each block of a configuration of VGG, without normalisations."""
    blocks = CONFIGS[entry.config]
    return tuple(tuple(side for side in block if side != LRN_IN_VGG) for block in blocks)


def _vgg(entry: ModelEntry, sketch: Sketch) -> Iterator[Values]:
    for stacked in (True, False):
        blocks = _blocks(entry) if stacked else tuple(map(as_one, _blocks(entry)))
        expected = [(number, side) for number, block in enumerate(blocks) for side in block]
        if [k.sides for k in sketch.kernels] != [(side, side) for _, side in expected]:
            continue
        widths: list[set[int]] = [set() for _ in blocks]
        for (number, _), kernel in zip(expected, sketch.kernels, strict=True):
            widths[number].add(kernel.filters)
        if any(len(width) > 1 for width in widths):
            continue
        given = inspect.signature(entry.builder).parameters["filters"].default
        filters = tuple(width for (width,) in widths)
        if filters == given[: len(filters)]:
            filters = given
        first = sketch.kernels[0]
        values: Values = {"filters": [filters], "stacked": [stacked]}
        if sketch.dense:
            values["hidden"] = [tuple(units for _, units in sketch.dense[:-1])]
        values |= _image(entry, sketch, first.inputs, filters[len(blocks) - 1], _halved(blocks))
        names = [f"block{1 + number}_conv{1 + i}" for number, i in _numbers(blocks)]
        for batch_norm in _normalized(names, sketch):
            after = ["conv", "activation"] if batch_norm else ["conv"]
            more = {"batch_norm": [batch_norm]} | (
                {"batch_norm_after": after} if batch_norm else {}
            )
            yield {**values, **more}


def _halved(blocks: Sequence) -> Callable[[int], int]:
    return lambda side: side >> len(blocks)


def _numbers(blocks: Sequence[Sequence[int]]) -> Iterator[tuple[int, int]]:
    return ((number, i) for number, block in enumerate(blocks) for i in range(len(block)))


def _normalized(names: Sequence[str], sketch: Sketch) -> Iterator[Any]:
    """Yields the values of `batch_norm` with as many maps as the file's normalisations have."""
    if not sketch.norms:
        yield None
    elif len(sketch.norms) == len(names):
        yield "all"
    elif sketch.norms == (sketch.kernels[0].filters,):
        yield "first"
    elif len(sketch.norms) < len(names):
        # The first convolution of each width, which is that of a block.
        left, chosen = list(sketch.norms), []
        for name, kernel in zip(names, sketch.kernels, strict=True):
            if kernel.filters in left:
                left.remove(kernel.filters)
                chosen.append(name)
        if not left:
            yield tuple(chosen)


# AlexNet and LeNet.


def _alexnet(entry: ModelEntry, sketch: Sketch) -> Iterator[Values]:
    config: Config = entry.config
    sides = (11, 5, 3, 3, 3)
    expected = sorted(zip(sides, config.filters, strict=True))
    if sorted((k.sides[0], k.filters) for k in sketch.kernels) != expected:
        return
    first, second = (next(k for k in sketch.kernels if k.sides[0] == s) for s in (11, 5))
    if not second.inputs or config.filters[0] % second.inputs:
        return
    towers = config.filters[0] // second.inputs
    if towers not in (1, 2):
        return

    def side_of_map(side: int) -> int:
        side = (side + sum(config.conv1_padding) - 11) // 4 + 1
        for _ in range(3):
            side = (side - 3) // 2 + 1
        return config.head_side or side

    yield {
        "towers": [towers],
        "lrn": [None, *LRN],
        **_image(entry, sketch, first.inputs, config.filters[-1], side_of_map),
    }


def _cuda_convnet(entry: ModelEntry, sketch: Sketch) -> Iterator[Values]:
    if [(k.sides, k.filters) for k in sketch.kernels] == [((5, 5), n) for n in (32, 32, 64)]:
        yield {
            "hidden": [tuple(units for _, units in sketch.dense[:-1])],
            "activation": ACTIVATIONS,
            "lrn": [None, *LRN],
            "overlapping": [True, False],
            **_image(entry, sketch, sketch.kernels[0].inputs, 64, lambda side: -(-side // 8)),
        }


def _lenet5(entry: ModelEntry, sketch: Sketch) -> Iterator[Values]:
    if [(k.sides, k.filters) for k in sketch.kernels] == [((5, 5), 6), ((5, 5), 16)]:
        channels = sketch.kernels[0].inputs
        yield _image(entry, sketch, channels, 16, lambda side: ((side - 4) // 2 - 4) // 2)


def _lenet5_1998(entry: ModelEntry, sketch: Sketch) -> Iterator[Values]:
    # The convolution of the table has links, but no kernel of its own; in ONNX it has one.
    whole = sorted((k.filters, k.inputs) for k in sketch.kernels if k.sides == (5, 5))
    if [filters for filters, _ in whole if filters != 16] not in ([6], [6, 120]):
        return
    values: Values = {}
    side = entry.input_shape[0]
    if sketch.dense:
        # The codes are an array too, (classes, units).
        ends = [inputs for inputs, units in sketch.dense if units == 84]
        inputs = next((n for n in ends if n % 120 == 0), 120)
        values["classes"] = [n for n in ends if n != inputs] or [entry.classes]
        fitting = _sides_of(math.isqrt(inputs // 120), lambda side: ((side - 4) // 2 - 4) // 2 - 4)
        side = side if inputs == 120 else next(fitting, side)
    yield {**values, "input_shape": [(side, side, whole[0][1])]}


def _image(
    entry: ModelEntry, sketch: Sketch, channels: int, maps: int, side_of_map: Callable[[int], int]
) -> Values:
    """Returns the shape of the image from the inputs of the first dense layer.

    Args:
        entry: The network.
        sketch: The file's.
        channels: Channels of the image.
        maps: Number of the last maps.
        side_of_map: Returns the side of the last maps by that of the image.
    """
    side, inputs = entry.input_shape[0], sketch.dense[0][0] if sketch.dense else 0
    if inputs and side_of_map(side) ** 2 * maps != inputs:
        fitting = _sides_of(math.isqrt(inputs // maps), side_of_map)
        side = next(fitting, side)
    return {"input_shape": [(side, side, channels)]}


def _sides_of(wanted: int, side_of_map: Callable[[int], int]) -> Iterator[int]:
    return (side for side in range(1, MOST_PIXELS) if side_of_map(side) == wanted)


# By the name of the function that builds the family.
FAMILIES: dict[str, Callable[[ModelEntry, Sketch], Iterable[Values]]] = {
    "resnet": _imagenet,
    "resnet_cifar": _cifar,
    "vgg": _vgg,
    "alexnet_family": _alexnet,
    "cuda_convnet": _cuda_convnet,
    "lenet5": _lenet5,
    "lenet5_1998": _lenet5_1998,
}
