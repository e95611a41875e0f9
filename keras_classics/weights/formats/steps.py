"""What a network computes, step by step, so that a graph without layers' names can be compared.

A step is a convolution, a dense layer, a normalisation, an activation, a pooling or a sum. Where
several ways of writing compute the same, such as padding before a convolution or within it, they
give the same steps.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from keras_classics.errors import UserError
from keras_classics.weights.computation import PACKAGE, of_model

# Sides of maps for which two ways of padding must give the same, if the network takes any side.
ANY_SIDE = (56, 57)

TOP = ("dense", "global", "distances")
POOLS = {"MaxPooling2D": "max", "AveragePooling2D": "mean"}
GLOBAL = {"GlobalMaxPooling2D": "max", "GlobalAveragePooling2D": "mean"}

# Activations of the scores, which belong to the use of a network.
OF_SCORES = ("softmax", "log_softmax", "linear", "softmin")

# Activations between two factors.
SCALED = {"scaled_tanh": (2 / 3, "tanh", 1.7159)}


@dataclass(frozen=True)
class Windows:
    """How windows lie on a map: of a convolution or a pooling.

    Attributes:
        size: Height and width of a window, with the gaps of a dilation.
        stride: Steps from one to the next.
        before: Rows and columns of padding at the top and left.
        after: The same at the bottom and right.
        same: Whether the padding is as much as gives each stride one window, more of it at the end.
        rounds_up: Whether the last window may reach over the padded map.
    """

    size: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    before: tuple[int, int] = (0, 0)
    after: tuple[int, int] = (0, 0)
    same: bool = False
    rounds_up: bool = False

    def on(self, sides: tuple[int, int]) -> tuple[tuple[int, int], ...]:
        """Returns for height and width the padding before the first window, and their number."""
        return tuple(self._along(axis, side) for axis, side in enumerate(sides))

    def _along(self, axis: int, side: int) -> tuple[int, int]:
        size, stride = self.size[axis], self.stride[axis]
        before, after = self.before[axis], self.after[axis]
        if self.same:
            count = -(-(side + before + after) // stride)
            more = max((count - 1) * stride + size - (side + before + after), 0)
            return before + more // 2, count
        rest = side + before + after - size
        count = (-(-rest // stride) if self.rounds_up else rest // stride) + 1
        # As torch: a window that begins in the padding at the end does not count.
        if self.rounds_up and (count - 1) * stride >= side + before:
            count -= 1
        return before, count


@dataclass(eq=False)
class Step:
    """A step of a computation.

    Attributes:
        kind: `conv`, `dense`, `norm`, `act`, `scale`, `pool`, `global`, `lrn`, `add`, `pad`,
            `subsample`, `distances`, or the name of another operation.
        name: Its name in the file, or that of its layer.
        inputs: The steps whose results it takes; None is the image.
        settings: What it must have in common with another to compute the same.
        windows: Those of a convolution or a pooling.
        norm: Name of the normalisation that follows a convolution directly.
        sides: Height and width of the map that it takes, if known.
        place: Its number in the order of the network.
        depth: Convolutions and dense layers up to here, along the longest way.
    """

    kind: str
    name: str
    inputs: list["Step | None"]
    settings: Mapping[str, Any] = field(default_factory=dict)
    windows: Windows | None = None
    norm: str = ""
    sides: tuple[int | None, int | None] = (None, None)
    place: int = 0
    depth: int = 0

    def __post_init__(self) -> None:
        above = max((step.depth for step in self.inputs if step), default=0)
        self.depth = above + (self.kind in ("conv", "dense"))


def with_padding(windows: Windows, source: Step | None) -> tuple[Windows, Step | None]:
    """Returns windows with the padding of the step before them, and the step before that."""
    if source is None or source.kind != "pad" or "maps" in source.settings:
        return windows, source
    top, left, bottom, right = source.settings["sides"]
    padded = Windows(
        windows.size,
        windows.stride,
        (windows.before[0] + top, windows.before[1] + left),
        (windows.after[0] + bottom, windows.after[1] + right),
        windows.same,
        windows.rounds_up,
    )
    return padded, source.inputs[0]


def steps_of(model: keras.Model) -> list[Step]:
    """Returns what a model of this package computes, each step after those before it."""
    computation = of_model(model)
    readers = Counter(name for layer in computation.values() for name in layer["inputs"])
    results: dict[str, Step | None] = {}
    steps: list[Step] = []
    for name, settings in computation.items():
        sources = [results.get(source) for source in settings["inputs"]] or [None]
        step = _step_of(model.get_layer(name), name, settings, sources)
        if settings["class"] == "BatchNormalization":
            above = sources[0]
            follows = above is not None and above.kind == "conv" and not above.norm
            if above is not None and follows and readers[settings["inputs"][0]] == 1:
                above.norm = name
                step = above
        results[name] = step
        if step is not None and step not in sources and step not in steps[-1:]:
            steps.append(step)
        if settings["class"] != "Activation":
            after = _activation(name, settings.get("activation", "linear"), step)
            steps += after
            results[name] = [step, *after][-1]
    return _numbered(steps)


def _activation(name: str, activation: Any, source: Step | None) -> list[Step]:
    """Returns the steps of a layer's activation."""
    activation = _name_of(activation)
    if activation in OF_SCORES:
        return []
    if activation not in SCALED:
        return [Step("act", name, [source], {"activation": activation})]
    before, inner, after = SCALED[activation]
    first = Step("scale", name, [source], {"factor": before})
    second = Step("act", name, [first], {"activation": inner})
    return [first, second, Step("scale", name, [second], {"factor": after})]


def _name_of(activation: Any) -> str:
    """Returns the name of an activation; of one of this package, Keras gives more than that."""
    named = activation["config"] if isinstance(activation, Mapping) else activation
    return str(named).removeprefix(PACKAGE)


def _numbered(steps: list[Step]) -> list[Step]:
    for place, step in enumerate(steps):
        step.place = place
    return steps


def _step_of(
    layer: keras.layers.Layer, name: str, settings: Mapping[str, Any], sources: list[Step | None]
) -> Step | None:
    """Returns the step of a layer without its activation; or the step before, if it has none."""
    kind, source = settings["class"], sources[0]
    if kind in ("TrainableSubsampling", "TableConv2D"):
        return _convolution_of_lenet(layer, kind, source)
    if kind == "EuclideanRBF":
        return Step("distances", name, [source])
    if kind in ("Conv2D", "TowerConv2D") or kind in POOLS:
        sides = source.sides if source and source.kind == "pad" else layer.input.shape[1:3]
        size = settings["pool_size"] if kind in POOLS else layer.kernel_size
        dilation = settings.get("dilation_rate", (1, 1))
        windows = Windows(
            tuple((k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)),
            tuple(settings["strides"]),
            same=settings["padding"] == "same",
        )
        windows, source = with_padding(windows, source)
        own = (
            {"method": POOLS[kind]}
            if kind in POOLS
            else {"groups": settings["groups"], "dilation": tuple(dilation)}
        )
        return Step("pool" if kind in POOLS else "conv", name, [source], own, windows, sides=sides)
    if kind == "Dense":
        return Step("dense", name, [source])
    if kind == "BatchNormalization":
        return Step("norm", name, [source])
    if kind == "Activation":
        activation = settings["activation"]
        return [source, *_activation(name, activation, source)][-1]
    if kind == "Add":
        return Step("add", name, sources)
    if kind == "ZeroPadding2D":
        (top, bottom), (left, right) = settings["padding"]
        own = {"sides": (top, left, bottom, right)}
        return Step("pad", name, [source], own, sides=layer.input.shape[1:3])
    if kind == "LocalResponseNormalization":
        factor = 1 if settings["divide_alpha_by_n"] else settings["n"]
        own = {k: settings[k] for k in ("n", "beta", "k")} | {"alpha": settings["alpha"] * factor}
        return Step("lrn", name, [source], own)
    if kind in GLOBAL:
        return Step("global", name, [source], {"method": GLOBAL[kind]})
    if kind == "IdentityShortcut":
        maps = settings_of_shortcut(layer)
        if maps[0] > 1:
            source = Step("subsample", name, [source], {"stride": (maps[0],) * 2})
        return Step("pad", name, [source], {"maps": (0, maps[1])}) if maps[1] else source
    same_size = tuple(layer.input.shape[1:3]) == tuple(settings.get("output_size", ()))
    if kind == "Flatten" or (kind == "AdaptiveAveragePooling2D" and same_size):
        return source
    return Step(kind, name, [source])


def _convolution_of_lenet(layer: Any, kind: str, source: Step | None) -> Step:
    """Returns the convolution that computes what a layer of LeNet-5 of 1998 does."""
    if kind == "TrainableSubsampling":
        windows, groups = Windows(layer.pool_size, layer.strides), layer.input.shape[-1]
    else:
        windows, groups = Windows((layer.kernel_size,) * 2), 1
    own = {"groups": groups, "dilation": (1, 1)}
    return Step("conv", layer.name, [source], own, windows, sides=layer.input.shape[1:3])


def settings_of_shortcut(layer: Any) -> tuple[int, int]:
    """Returns the stride of a shortcut without weights, and how many maps of zeros it adds."""
    return layer.strides, layer.filters - layer.input.shape[-1]


# Comparison.


def trunk_and_top(last: Step | None) -> tuple[Step | None, list[Step]]:
    """Returns the last step of a network before its top, and the steps of the top.

    Args:
        last: The last step of all.
    """
    top: list[Step] = []
    while last is not None and (last.kind in TOP or _activated(last).kind == "dense"):
        top.append(last)
        last = last.inputs[0]
    # A convolution right before a dense layer covers the whole map, as C5 of LeNet-5 does.
    if last is not None and top and top[-1].kind == "dense" and _activated(last).kind == "conv":
        end = _activated(last).inputs[0]
        while last is not end and last is not None:
            top.append(last)
            last = last.inputs[0]
    return last, top[::-1]


def _activated(step: Step) -> Step:
    """Returns the step whose result an activation takes; other steps are returned as they are."""
    while step.kind in ("act", "scale") and step.inputs[0] is not None:
        step = step.inputs[0]
    return step


def matched(theirs: Step | None, ours: Step | None) -> dict[Step, Step]:
    """Compares what a file computes with what a network does.

    Args:
        theirs: The last step of the file's network.
        ours: The last step of the network here.

    Returns:
        The steps of the network for those of the file, without those of the top that only one has.

    Raises:
        UserError: If they differ; it names the first difference.
    """
    (theirs, their_top), (ours, our_top) = trunk_and_top(theirs), trunk_and_top(ours)
    pairs: dict[Step, Step] = {}
    differences: list[tuple[int, str]] = []
    pending = [(theirs, ours), *_pairs_of_tops(their_top, our_top)]
    while pending:
        one, other = pending.pop()
        if one is None and other is None:
            continue
        found = _difference(one, other, pairs)
        if found:
            differences.append((one.place if one else -1, found))
        elif one is not None and other is not None and one not in pairs:
            pairs[one] = other
            if one.kind not in TOP and _activated(one).kind != "dense":
                pending += zip(_ordered(one), _ordered(other), strict=True)
    if differences:
        raise UserError(min(differences)[1])
    return pairs


def _pairs_of_tops(theirs: list[Step], ours: list[Step]) -> Iterator[tuple[Step, Step]]:
    """Yields what corresponds in two tops; that one has more layers, their tensors show."""
    shared = zip(theirs, ours, strict=False)
    has_dense = [any(step.kind == "dense" for step in top) for top in (theirs, ours)]
    if all(has_dense):
        yield from shared


def _ordered(step: Step) -> list[Step | None]:
    """Returns what a step takes: of a sum, the branch of fewer layers first."""
    return sorted(step.inputs, key=lambda source: source.depth if source else 0)


def _difference(one: Step | None, other: Step | None, pairs: Mapping[Step, Step]) -> str | None:
    """Returns how two steps differ, in a phrase, or None."""
    if one is None or other is None:
        step = one or other
        assert step is not None
        has = "only the file has" if one else "only the network has"
        return f"{has} the step {step.name!r} ({_said(step)}) before its first ones"
    stands = f"its node {one.name!r} ({_said(one)}) stands where the network has {other.name!r}"
    if one.kind != other.kind or len(one.inputs) != len(other.inputs):
        return f"{stands} ({_said(other)})"
    if one in pairs:
        return None if pairs[one] is other else f"{stands}, not {pairs[one].name!r}"
    for setting, value in other.settings.items():
        theirs = one.settings.get(setting)
        if not _near(theirs, value):
            return (
                f"its node {one.name!r} has {setting} {theirs}, but the network's {other.name!r} "
                f"has {value}"
            )
    return _difference_of_windows(one, other)


def _difference_of_windows(one: Step, other: Step) -> str | None:
    theirs, ours = one.windows, other.windows
    if theirs is None or ours is None:
        return None
    named = f"its node {one.name!r} has %s {{}}, but the network's {other.name!r} has {{}}"
    for what, there, here in (
        ("windows of", theirs.size, ours.size),
        ("stride", theirs.stride, ours.stride),
    ):
        if there != here:
            return (named % what).format(there, here)
    known = [side for side in other.sides if side is not None]
    for sides in [tuple(known)] if len(known) == 2 else [(side, side) for side in ANY_SIDE]:
        if theirs.on(sides) != ours.on(sides):
            padding = f"of {sides[0]}x{sides[1]} maps the padding and number of windows"
            return (named % padding).format(theirs.on(sides), ours.on(sides))
    return None


def _said(step: Step) -> str:
    values = [f"{value}" for value in step.settings.values() if isinstance(value, str)]
    return " ".join([*values, step.kind])


def _near(one: Any, other: Any) -> bool:
    if isinstance(one, float | int) and isinstance(other, float | int):
        return abs(one - other) <= 1e-5 * max(abs(one), abs(other))
    return one == other


def last_of(steps: Iterable[Step]) -> Step | None:
    """Returns the step that no other takes: the one of the most layers, if there are several."""
    steps = list(steps)
    taken = {source for step in steps for source in step.inputs}
    return max((s for s in steps if s not in taken), key=lambda s: (s.depth, s.place), default=None)
