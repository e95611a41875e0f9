"""ONNX files: nodes and tensors from protobuf's wire format; the package `onnx` is not needed.

    message              fields that are read
    ModelProto           graph = 7
    GraphProto           node 1, initializer 5, output 12
    NodeProto            input 1, output 2, name 3, op_type 4, attribute 5
    AttributeProto       name 1, f 2, i 3, s 4, t 5, floats 7, ints 8
    TensorProto          dims 1, data_type 2, float_data 4, int64_data 7, name 8, raw_data 9,
                         double_data 10, external_data 13, data_location 14

Numbers of fields from onnx/onnx, onnx/onnx.proto. Values stay in the file until they are needed. A
file may keep them in another one beside it, as torch's exporter writes it: `external_data`.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_classics.errors import UserError
from keras_classics.weights.formats.beside import check_name, file_beside
from keras_classics.weights.formats.blobs import Blob, Run
from keras_classics.weights.formats.protobuf import Message, damaged, opened
from keras_classics.weights.stored import FLOATS

KIND = "ONNX file"

# Types of tensors, by their number: name and bytes of a value.
TYPES = {
    1: ("float32", 4), 2: ("uint8", 1), 3: ("int8", 1), 4: ("uint16", 2), 5: ("int16", 2),
    6: ("int32", 4), 7: ("int64", 8), 9: ("bool", 1), 10: ("float16", 2), 11: ("float64", 8),
    12: ("uint32", 4), 13: ("uint64", 8), 16: ("bfloat16", 2),
}  # fmt: skip
INT64 = "int64"

# Fields of a tensor with a list of numbers: bytes of a number.
LISTS = {4: 4, 10: 8}

MAX_AXES = 8

# Most values of a tensor of integers that is read, such as the sides of a padding.
MOST_INTEGERS = 64


@dataclass(frozen=True)
class Tensor:
    """A tensor in a file.

    Attributes:
        name: Its name.
        shape: Its shape.
        dtype: Name of its type.
        blob: Where its values are; None if it has none here.
        integers: Its values, if it is a short tensor of int64.
        elsewhere: Name of the file that has its values, None if it is this one.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    blob: Blob | None = None
    integers: tuple[int, ...] | None = None
    elsewhere: str | None = None


@dataclass(frozen=True)
class Node:
    """An operation.

    Attributes:
        name: Its name, or that of its output.
        operator: Name of the operator, such as "Conv".
        inputs: Names of what it takes; "" for an optional input that it does not have.
        outputs: Names of what it computes.
        settings: Its attributes: numbers, texts, lists of integers, tensors.
    """

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    settings: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.name!r} ({self.operator})"


@dataclass
class Graph:
    """The graph of a file.

    Attributes:
        nodes: Its operations, each after those whose results it takes.
        tensors: Its tensors, by name.
        outputs: Names of its results.
    """

    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)


def is_onnx_file(path: Path) -> bool:
    """Returns whether a file is a graph of ONNX, from its first byte to its last."""
    try:
        return bool(read_graph(path).nodes)
    except UserError:
        return False


def read_graph(path: Path) -> Graph:
    """Reads the graph of an ONNX file without the values of its tensors.

    Raises:
        UserError: If it is no such file, or is damaged.
    """
    graph = Graph()
    with opened(path, KIND) as model:
        for number, value in model.fields():
            if number == 7:
                _add_graph(graph, model.inner(value))
    if not graph.nodes:
        raise damaged(KIND, "it has no nodes")
    # The names of results are unique, and those of nodes need not be.
    count = Counter(node.name for node in graph.nodes)
    graph.nodes = [
        dataclasses.replace(n, name=n.outputs[0]) if count[n.name] > 1 and n.outputs else n
        for n in graph.nodes
    ]
    return graph


def files_beside(path: Path) -> list[str]:
    """Returns the names of the files that have values of an ONNX file's tensors.

    Raises:
        UserError: If it is damaged, or names a file that does not lie beside it.
    """
    graph = read_graph(path)
    settings = (value for node in graph.nodes for value in node.settings.values())
    constants = (value for value in settings if isinstance(value, Tensor))
    found = {tensor.elsewhere for tensor in (*graph.tensors.values(), *constants)}
    names = sorted(name for name in found if name is not None)
    for name in names:
        check_name(name)
    return names


@dataclass(frozen=True)
class BlobBeside(Blob):
    """A blob whose values lie in a file beside that of the graph.

    Attributes:
        name: Name of the tensor.
        file: Name of the file.
    """

    name: str = ""
    file: str = ""

    def read(self, first: int = 0, count: int | None = None) -> np.ndarray:
        """See `Blob.read`.

        Raises:
            UserError: If the file is missing, too short, or elsewhere.
        """
        path = file_beside(self.path, self.file)
        (run,) = self.runs
        if run.offset + run.count * run.size > path.stat().st_size:
            raise UserError(f"its file {self.file!r} ends before the tensor {self.name!r}")
        return Blob(path, self.shape, self.size, self.runs, self.bfloat16).read(first, count)


def floats(tensor: Tensor) -> Blob:
    """Returns where the values of a tensor of floating-point numbers are.

    Raises:
        UserError: If they are of another type.
    """
    if tensor.dtype not in FLOATS:
        quantized = ": it is quantised" if "int" in tensor.dtype else ""
        raise UserError(
            f"its tensor {tensor.name!r} is of type {tensor.dtype}, not "
            f"{', '.join(FLOATS)}{quantized}"
        )
    blob = tensor.blob
    if blob is None:
        raise damaged(KIND, f"the tensor {tensor.name!r} has no values")
    if tensor.elsewhere is None:
        return blob
    return BlobBeside(
        blob.path,
        blob.shape,
        blob.size,
        blob.runs,
        blob.bfloat16,
        name=tensor.name,
        file=tensor.elsewhere,
    )


def _add_graph(graph: Graph, message: Message) -> None:
    for number, value in message.fields():
        if number == 1:
            graph.nodes.append(_node(message.inner(value)))
        elif number == 5:
            tensor = _tensor(message.inner(value))
            graph.tensors[tensor.name] = tensor
        elif number == 12:
            inner = message.inner(value)
            graph.outputs += [inner.text(text) for n, text in inner.fields() if n == 1]


def _node(message: Message) -> Node:
    texts: dict[int, list[str]] = {1: [], 2: [], 3: [], 4: []}
    settings = {}
    for number, value in message.fields():
        if number in texts:
            texts[number].append(message.text(value))
        elif number == 5:
            name, setting = _attribute(message.inner(value))
            settings[name] = setting
    inputs, outputs, names, operators = texts.values()
    name = next((n for n in (*names[-1:], *outputs) if n), "")
    return Node(name, "".join(operators[-1:]), tuple(inputs), tuple(outputs), settings)


def _attribute(message: Message) -> tuple[str, Any]:
    name, found = "", None
    many: list[Any] = []
    for number, value in message.fields():
        if number == 1:
            name = message.text(value)
        elif number == 2:
            found = value
        elif number == 3:
            found = _signed(value, message)
        elif number == 4:
            found = message.text(value)
        elif number == 5:
            found = _tensor(message.inner(value))
        elif number == 8:
            packed = isinstance(value, tuple)
            values = message.inner(value).integers() if packed else [value]
            many += [_signed(each, message) for each in values]
        elif number == 7:
            many.append(value)
    return name, many or found


def _tensor(message: Message) -> Tensor:
    dims: list[int] = []
    name, kind, location = "", 0, 0
    runs, integers, outside = [], [], {}
    for number, value in message.fields():
        if number in (1, 7):
            packed = isinstance(value, tuple)
            values = message.inner(value).integers() if packed else [value]
            (dims if number == 1 else integers).extend(_signed(each, message) for each in values)
        elif number == 2:
            kind = value
        elif number == 8:
            name = message.text(value)
        elif number in (9, *LISTS):
            runs.append((number, message.inner(value)))
        elif number == 13:
            key, text = _pair(message.inner(value))
            outside[key] = text
        elif number == 14:
            location = value
    if len(dims) > MAX_AXES or min(dims, default=0) < 0:
        raise message.damaged(f"the tensor {name!r:.80} has the shape {dims[:MAX_AXES]}")
    if kind not in TYPES:
        return Tensor(name, tuple(dims), f"number {kind}")
    dtype, size = TYPES[kind]
    brain = dtype == "bfloat16"
    shape, count = tuple(dims), math.prod(dims)
    if location:
        run = _outside(outside, count, size, name, message)
        place = outside.get("location", "")
        blob = Blob(message.path, shape, size, (run,), brain)
        return Tensor(name, shape, dtype, blob, None, place)
    found = [_run(number, inner, size) for number, inner in runs]
    if dtype == INT64 and count <= MOST_INTEGERS:
        values = tuple(integers) or _integers(message, found)
        return Tensor(name, shape, dtype, None, values if len(values) == count else None)
    if not found and dtype not in ("float32", "float64"):
        return Tensor(name, shape, dtype)
    if sum(run.count for run in found) != count:
        raise message.damaged(f"the tensor {name!r:.80} of the shape {shape} has other values")
    return Tensor(name, shape, dtype, Blob(message.path, shape, size, tuple(found), brain))


def _run(number: int, inner: Message, size: int) -> Run:
    """Returns where the values of a field are."""
    if LISTS.get(number, size) != size or (inner.end - inner.start) % size:
        raise inner.damaged("a tensor has values of another type")
    return Run(inner.start, (inner.end - inner.start) // size, size, tagged=False)


def _integers(message: Message, runs: list[Run]) -> tuple[int, ...]:
    content = b"".join(message.content[r.offset : r.offset + r.count * r.size] for r in runs)
    return tuple(np.frombuffer(content, "<i8").tolist())


def _pair(message: Message) -> tuple[str, str]:
    texts = {n: message.text(value) for n, value in message.fields() if n in (1, 2)}
    return texts.get(1, ""), texts.get(2, "")


def _outside(entries: Mapping[str, str], count: int, size: int, name: str, message: Message) -> Run:
    """Returns where the values of a tensor are in another file."""
    offset, length = entries.get("offset", "0"), entries.get("length", str(count * size))
    if not (offset.isdecimal() and length.isdecimal()) or int(length) != count * size:
        raise message.damaged(
            f"the tensor {name!r:.80} takes {count * size:,} bytes, not {length:.20}"
        )
    return Run(int(offset), count, size, tagged=False)


def _signed(value: Any, message: Message) -> int:
    """Returns an integer, whose negative values are written as 64 bits."""
    if not isinstance(value, int):
        raise message.damaged("a field is no integer")
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value
