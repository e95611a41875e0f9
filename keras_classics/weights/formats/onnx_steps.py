"""The steps of an ONNX graph: which of its nodes compute what, and with which tensors."""

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from keras_classics.errors import UserError
from keras_classics.weights.formats.onnx_constants import constants_of
from keras_classics.weights.formats.onnx_files import Graph, Node, Tensor, floats
from keras_classics.weights.formats.steps import Step, Windows, with_padding

# Operators that give their first input another form, or nothing at all when a network is used.
FORMS = {"Identity", "Dropout", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Cast", "Transpose"}
SCORES = {"Softmax", "LogSoftmax"}

# What stands before a network: its images' preprocessing.
BEFORE = FORMS | {"Mul", "Div", "Sub", "Add", "Gather", "Resize", "Clip", "Slice", "Concat"}

ACTIVATIONS = {"Relu": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid"}
POOLS = {"MaxPool": "max", "AveragePool": "mean"}
GLOBAL = {
    "GlobalAveragePool": "mean",
    "GlobalMaxPool": "max",
    "ReduceMean": "mean",
    "ReduceMax": "max",
}
QUANTIZED = {"DequantizeLinear", "QuantizeLinear", "QLinearConv", "ConvInteger", "MatMulInteger"}

CHANNELS_LAST, CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


@dataclass(frozen=True)
class Value:
    """A result of a node.

    Attributes:
        step: The step that computes it; None for the image.
        channels_last: Whether its maps have their channels last.
    """

    step: Step | None
    channels_last: bool = False


@dataclass(frozen=True)
class Weights:
    """The tensors of a step.

    Attributes:
        tensors: The kernel, and the bias if there is one; of a normalisation, its four, or the
            factor and the bias that they come to.
        transposed: Whether a dense layer's kernel is (units, inputs).
        channels_last: Whether a dense layer takes a map whose channels are last.
        epsilon: That of a normalisation.
    """

    tensors: tuple[Tensor, ...]
    transposed: bool = False
    channels_last: bool = False
    epsilon: float = 1e-5


@dataclass
class Network:
    """What an ONNX graph computes.

    Attributes:
        steps: Its steps, each after those before it.
        weights: The tensors of its convolutions, dense layers and normalisations, by name.
        before: Operators that prepare the images.
    """

    steps: list[Step] = field(default_factory=list)
    weights: dict[str, Weights] = field(default_factory=dict)
    before: list[str] = field(default_factory=list)


def network_of(graph: Graph) -> Network:
    """Returns what an ONNX graph computes.

    Raises:
        UserError: If it has a node that no network here has.
    """
    reader = _Reader(graph)
    for node in graph.nodes:
        reader.read(node)
    return reader.network


class _Reader:
    """Reads the nodes of a graph in their order."""

    def __init__(self, graph: Graph):
        self.network = Network()
        self.constants = constants_of(graph)
        self.values: dict[str, Value] = {}
        self.readers = Counter(name for node in graph.nodes for name in set(node.inputs))

    def read(self, node: Node) -> None:
        """Adds a node's step."""
        if node.outputs and node.outputs[0] in self.constants:
            return
        if node.operator in QUANTIZED:
            raise UserError(f"its node {node} is of a quantised network, whose weights are rounded")
        given = [name for name in node.inputs if name and name not in self.constants]
        sources = [self.values.get(name, Value(None)) for name in given]
        if not sources:
            raise _unknown(node)
        if all(value.step is None for value in sources) and node.operator in BEFORE:
            if node.operator not in FORMS:
                self.network.before.append(node.operator)
            value = Value(None, _is_last(node, sources[0]))
        else:
            value = self._value(node, given, sources)
        self.values |= dict.fromkeys(node.outputs[:1], value)

    def _value(self, node: Node, given: list[str], sources: list[Value]) -> Value:
        first = sources[0]
        if node.operator in FORMS:
            return Value(first.step, _is_last(node, first))
        if node.operator in SCORES:
            return first
        if node.operator in ("Add", "Sum"):
            steps = [value.step for value in sources]
            if len(steps) == 2:
                return self._step("add", node, steps)
            return self._biased(node, first)
        read = READERS.get(node.operator)
        if read is None or len(set(given)) > 1:
            raise _unknown(node)
        return read(self, node, given, first)

    def _step(
        self,
        kind: str,
        node: Node,
        inputs: list[Step | None],
        settings: Mapping | None = None,
        windows: Windows | None = None,
    ) -> Value:
        step = Step(kind, node.name, inputs, settings or {}, windows)
        step.place = len(self.network.steps)
        self.network.steps.append(step)
        return Value(step)

    def _tensor(self, node: Node, number: int) -> Tensor | None:
        name = node.inputs[number] if len(node.inputs) > number else ""
        if not name:
            return None
        tensor = self.constants.get(name, (None, False))[0]
        if tensor is None:
            raise UserError(f"its node {node} takes {name!r:.80}, which is not one of its tensors")
        return tensor

    def _integers(self, node: Node, number: int, setting: str) -> tuple[int, ...] | None:
        """Returns integers that are a setting, or in newer graphs an input."""
        found = node.settings.get(setting)
        if found is None and len(node.inputs) > number and node.inputs[number]:
            tensor = self._tensor(node, number)
            return tensor.integers if tensor else None
        return tuple(found) if isinstance(found, list) else None

    def _biased(self, node: Node, source: Value) -> Value:
        """Adds the bias that stands after a convolution, a dense layer or a factor."""
        step, bias = source.step, self._other(node)
        name = (step.norm or step.name) if step else ""
        weights = self.network.weights.get(name)
        if weights is None or bias is None or len(weights.tensors) > 1:
            raise _unknown(node)
        tensors = (*weights.tensors, bias)
        self.network.weights[name] = dataclasses.replace(weights, tensors=tensors)
        return source

    def _other(self, node: Node) -> Tensor | None:
        """Returns the tensor that a node adds or multiplies, if it has one value for each map."""
        place = next(i for i, name in enumerate(node.inputs) if name in self.constants)
        tensor = self._tensor(node, place)
        sizes = tensor.shape if tensor else ()
        return tensor if math.prod(sizes) == max(sizes, default=0) else None

    def product(self, node: Node, given: list[str], source: Value) -> Value:
        """Reads a factor for all maps, a normalisation that is a factor for each, or a square."""
        if len(given) == 2:
            return self._turned(node, given, source, "differences", "squares")
        factor = self._other(node) if len(node.inputs) == 2 else None
        if factor is None or source.step is None:
            raise _unknown(node)
        if math.prod(factor.shape) == 1:
            number = float(floats(factor).read()[0])
            return self._step("scale", node, [source.step], {"factor": number})
        if source.step.kind == "dense":
            raise _unknown(node)
        self.network.weights[node.name] = Weights((factor,))
        return self._normalized(node, given, source.step)

    def _normalized(self, node: Node, given: list[str], step: Step | None) -> Value:
        if step and step.kind == "conv" and not step.norm and self.readers[given[0]] == 1:
            step.norm = node.name
            return Value(step)
        return self._step("norm", node, [step])

    def conv(self, node: Node, given: list[str], source: Value) -> Value:
        kernel = self._kernel(node, given)
        if len(kernel.shape) != 4:
            raise UserError(f"its node {node} is a convolution over {len(kernel.shape) - 2} axes")
        dilation = tuple(node.settings.get("dilations") or (1, 1))
        windows = _windows(node, kernel.shape[2:], dilation)
        windows, before = with_padding(windows, source.step)
        settings = {"groups": node.settings.get("group", 1), "dilation": dilation}
        value = self._step("conv", node, [before], settings, windows)
        bias = self._tensor(node, 2)
        self.network.weights[node.name] = Weights((kernel, bias) if bias else (kernel,))
        return value

    def dense(self, node: Node, given: list[str], source: Value) -> Value:
        kernel = self._kernel(node, given)
        bias = self._tensor(node, 2)
        turned = self.constants[node.inputs[1]][1] != bool(node.settings.get("transB", 0))
        scales = [node.settings.get(name, 1.0) for name in ("alpha", "beta")]
        if len(kernel.shape) != 2 or scales != [1.0, 1.0] or node.settings.get("transA", 0):
            raise _unknown(node)
        self.network.weights[node.name] = Weights(
            (kernel, bias) if bias else (kernel,), turned, source.channels_last
        )
        return self._step("dense", node, [source.step])

    def differences(self, node: Node, given: list[str], source: Value) -> Value:
        """Reads the first of three nodes for the distances to codes."""
        place = next(i for i, name in enumerate(node.inputs) if name in self.constants)
        codes = self._tensor(node, place)
        if codes is None or len(codes.shape) != 2:
            raise _unknown(node)
        self.network.weights[node.name] = Weights((codes,))
        return self._step("differences", node, [source.step])

    def distances(self, node: Node, given: list[str], source: Value) -> Value:
        axes = self._integers(node, 1, "axes")
        if axes not in ((2,), (-1,)) or node.settings.get("keepdims", 1):
            raise _unknown(node)
        return self._turned(node, given, source, "squares", "distances")

    def _turned(self, node: Node, given: list[str], source: Value, kind: str, to: str) -> Value:
        """Makes a step one of another kind, with the node that follows it."""
        if source.step is None or source.step.kind != kind or self.readers[given[0]] > 1:
            raise _unknown(node)
        source.step.kind = to
        return source

    def negated(self, node: Node, given: list[str], source: Value) -> Value:
        """Reads what makes scores of distances, which belongs to the use of a network."""
        if source.step is None or source.step.kind != "distances":
            raise _unknown(node)
        return source

    def _kernel(self, node: Node, given: list[str]) -> Tensor:
        kernel = self._tensor(node, 1) if node.inputs[0] == given[0] else None
        if kernel is None:
            raise _unknown(node)
        return kernel

    def norm(self, node: Node, given: list[str], source: Value) -> Value:
        tensors = tuple(self._tensor(node, number) for number in range(1, 5))
        if None in tensors:
            raise _unknown(node)
        self.network.weights[node.name] = Weights(
            tuple(t for t in tensors if t), epsilon=node.settings.get("epsilon", 1e-5)
        )
        return self._normalized(node, given, source.step)

    def act(self, node: Node, given: list[str], source: Value) -> Value:
        return self._step("act", node, [source.step], {"activation": ACTIVATIONS[node.operator]})

    def lrn(self, node: Node, given: list[str], source: Value) -> Value:
        settings = {
            "n": node.settings.get("size", 0),
            "alpha": node.settings.get("alpha", 1e-4),
            "beta": node.settings.get("beta", 0.75),
            "k": node.settings.get("bias", 1.0),
        }
        return self._step("lrn", node, [source.step], settings)

    def pool(self, node: Node, given: list[str], source: Value) -> Value:
        size = tuple(node.settings.get("kernel_shape") or ())
        if len(size) != 2 or any(step != 1 for step in node.settings.get("dilations") or ()):
            raise _unknown(node)
        windows = _windows(node, size)
        if size == (1, 1) and not any((*windows.before, *windows.after)):
            if windows.stride == (1, 1):
                return source
            return self._step("subsample", node, [source.step], {"stride": windows.stride})
        windows, before = with_padding(windows, source.step)
        method = POOLS[node.operator]
        if method == "mean" and node.settings.get("count_include_pad") and any(windows.before):
            raise UserError(f"its node {node} counts its padding, as no network here does")
        return self._step("pool", node, [before], {"method": method}, windows)

    def pool_all(self, node: Node, given: list[str], source: Value) -> Value:
        if node.operator.startswith("Reduce"):
            axes = self._integers(node, 1, "axes") or ()
            spatial = (1, 2) if source.channels_last else (2, 3)
            if tuple(sorted(axis % 4 for axis in axes)) != spatial:
                raise _unknown(node)
        return self._step("global", node, [source.step], {"method": GLOBAL[node.operator]})

    def pad(self, node: Node, given: list[str], source: Value) -> Value:
        pads = self._integers(node, 1, "pads")
        mode = node.settings.get("mode") or "constant"
        if pads is None or len(pads) != 8 or mode != "constant":
            raise _unknown(node)
        first, last = pads[:4], pads[4:]
        height, width, maps = (1, 2, 3) if source.channels_last else (2, 3, 1)
        if first[maps] or last[maps]:
            if any((first[height], first[width], last[height], last[width])):
                raise _unknown(node)
            return self._step("pad", node, [source.step], {"maps": (first[maps], last[maps])})
        sides = (first[height], first[width], last[height], last[width])
        return self._step("pad", node, [source.step], {"sides": sides}) if any(sides) else source

    def slice(self, node: Node, given: list[str], source: Value) -> Value:
        starts, ends, axes, strides = (
            self._integers(node, number, name)
            for number, name in ((1, "starts"), (2, "ends"), (3, "axes"), (4, "steps"))
        )
        if not axes or not strides or any(starts or (1,)) or min(ends or (0,)) < 1 << 16:
            raise _unknown(node)
        step = source.step
        along = dict(zip((axis % 4 for axis in axes), strides, strict=False))
        stride = tuple(along.get(axis, 1) for axis in ((1, 2) if source.channels_last else (2, 3)))
        # torch writes a slice for each axis.
        if step is not None and step.kind == "subsample":
            stride = tuple(a * b for a, b in zip(stride, step.settings["stride"], strict=True))
            step = step.inputs[0]
        return self._step("subsample", node, [step], {"stride": stride})


READERS: dict[str, Callable[[_Reader, Node, list[str], Value], Value]] = {
    "Conv": _Reader.conv,
    "Gemm": _Reader.dense,
    "MatMul": _Reader.dense,
    "BatchNormalization": _Reader.norm,
    "Mul": _Reader.product,
    "Sub": _Reader.differences,
    "ReduceSum": _Reader.distances,
    "Neg": _Reader.negated,
    "LRN": _Reader.lrn,
    "Pad": _Reader.pad,
    "Slice": _Reader.slice,
    **dict.fromkeys(ACTIVATIONS, _Reader.act),
    **dict.fromkeys(POOLS, _Reader.pool),
    **dict.fromkeys(GLOBAL, _Reader.pool_all),
}


def _unknown(node: Node) -> UserError:
    return UserError(f"its node {node} computes what no network here does")


def _is_last(node: Node, value: Value) -> bool:
    """Returns whether the channels are last after an operator of the FORMS."""
    permutation = tuple(node.settings.get("perm") or ())
    if node.operator == "Transpose" and permutation in (CHANNELS_LAST, CHANNELS_FIRST):
        return permutation == CHANNELS_LAST
    return value.channels_last


def _windows(node: Node, size: tuple[int, ...], dilation: tuple[int, ...] = (1, 1)) -> Windows:
    pads = tuple(node.settings.get("pads") or (0, 0, 0, 0))
    strides = tuple(node.settings.get("strides") or (1, 1))
    auto = node.settings.get("auto_pad") or "NOTSET"
    if len(pads) != 4 or len(strides) != 2 or len(size) != 2 or auto == "SAME_LOWER":
        raise _unknown(node)
    if min((*strides, *size, *dilation)) < 1:
        raise _unknown(node)
    return Windows(
        tuple((k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)),
        strides,
        pads[:2] if auto == "NOTSET" else (0, 0),
        pads[2:] if auto == "NOTSET" else (0, 0),
        same=auto == "SAME_UPPER",
        rounds_up=bool(node.settings.get("ceil_mode", 0)),
    )
