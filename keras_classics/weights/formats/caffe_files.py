"""Caffe's files, `.caffemodel` and `.binaryproto`: layers and blobs from protobuf's wire format.

    message            fields that are read
    NetParameter       layers = 2 (V1LayerParameter), layer = 100 (LayerParameter)
    LayerParameter     name 1, type 2, bottom 3, top 4, blobs 7, include 8, *_param 106 and more
    V1LayerParameter   layer 1 (V0), bottom 2, top 3, name 4, type 5, blobs 6, *_param 10 and more
    BlobProto          num, channels, height, width 1 to 4, data 5, shape 7, double_data 8

Numbers of fields from BVLC/caffe, src/caffe/proto/caffe.proto. Values stay in the file until they
are needed: a blob knows where they lie. Other fields are skipped, as protobuf does.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_classics.errors import UserError
from keras_classics.weights.formats.blobs import Blob, Run
from keras_classics.weights.formats.protobuf import Message, damaged, opened

# Types of V1LayerParameter, as LayerParameter names them; those of other layers do not matter.
V1_TYPES = {
    3: "Concat", 4: "Convolution", 5: "Data", 6: "Dropout", 8: "Flatten", 14: "InnerProduct",
    15: "LRN", 17: "Pooling", 18: "ReLU", 19: "Sigmoid", 20: "Softmax", 21: "SoftmaxWithLoss",
    22: "Split", 23: "TanH", 25: "Eltwise", 33: "Slice", 36: "Silence", 39: "Deconvolution",
    1: "Accuracy", 12: "ImageData", 24: "WindowData", 29: "MemoryData", 32: "DummyData",
    9: "HDF5Data", 16: "MultinomialLogisticLoss",
}  # fmt: skip

# Settings by the name of their message: its fields in LayerParameter and in V1LayerParameter, and
# the fields that are read from it.
SETTINGS: dict[str, tuple[int, int | None, dict[int, str]]] = {
    "Convolution": (
        106,
        10,
        {3: "pad", 4: "kernel", 5: "group", 6: "stride", 9: "pad", 10: "pad", 11: "kernel",
         12: "kernel", 13: "stride", 14: "stride", 18: "dilation"},
    ),
    "Pooling": (
        121,
        19,
        {1: "method", 2: "kernel", 3: "stride", 4: "pad", 5: "kernel", 6: "kernel", 7: "stride",
         8: "stride", 9: "pad", 10: "pad", 12: "global", 13: "rounds_down"},
    ),
    "LRN": (118, 18, {1: "n", 2: "alpha", 3: "beta", 4: "region", 5: "k"}),
    "InnerProduct": (117, 17, {6: "transpose"}),
    "ReLU": (123, 30, {1: "slope"}),
    "BatchNorm": (139, None, {3: "epsilon"}),
    "Eltwise": (110, 24, {1: "operation", 2: "coefficient"}),
}  # fmt: skip

MAX_AXES = 8
KIND = "Caffe file"

# Fields of a blob that hold a value for each weight: data, diff, and both in float64.
VALUES = (5, 6, 8, 9)


@dataclass(frozen=True)
class Layer:
    """A layer of a network.

    Attributes:
        name: Its name.
        type: Its type, such as "Convolution".
        bottoms: Names of what it takes.
        tops: Names of what it computes.
        blobs: Its weights.
        settings: Those of its own message in `SETTINGS`; what the file leaves out is missing.
        phase: The only phase in which it is used: 0 is training, 1 is testing; or None.
    """

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    blobs: tuple[Blob, ...]
    settings: dict[str, float]
    phase: int | None


def is_caffe_file(path: Path) -> bool:
    """Returns whether a file is a network of Caffe, from its first byte to its last."""
    try:
        return bool(read_layers(path))
    except UserError:
        return False


def read_layers(path: Path) -> list[Layer]:
    """Reads the layers of a `.caffemodel`, in the order of the file, without the values.

    Raises:
        UserError: If it is no such file, or is damaged.
    """
    layers = []
    with opened(path, KIND) as net:
        for number, value in net.fields():
            if number in (2, 100):
                layers.append(_layer(net.inner(value), first_version=number == 2))
    if not layers:
        raise damaged(KIND, "it has no layers")
    return layers


def read_blob(path: Path) -> Blob:
    """Reads the only blob of a `.binaryproto`, without its values.

    Raises:
        UserError: If it is no such file, or is damaged.
    """
    with opened(path, KIND) as message:
        return _blob(message)


def _layer(message: Message, first_version: bool) -> Layer:
    texts: dict[str, list[str]] = {"name": [], "type": [], "bottom": [], "top": []}
    names = {4: "name", 2: "bottom", 3: "top"} if first_version else dict(enumerate(texts, 1))
    blobs_field, include, exclude = (6, 32, 33) if first_version else (7, 8, 9)
    blobs, settings, phase = [], {}, None
    for number, value in message.fields():
        if number in names:
            texts[names[number]].append(message.text(value))
        elif number == blobs_field:
            blobs.append(_blob(message.inner(value)))
        elif first_version and number == 1:
            raise UserError(
                "it is of Caffe's first format, of 2013. Convert it with Caffe's tool "
                "upgrade_net_proto_binary"
            )
        elif first_version and number == 5:
            texts["type"].append(V1_TYPES.get(value, f"V1 type {value}"))
        elif number in (include, exclude):
            for field, rule in message.inner(value).fields():
                if field == 1 and rule in (0, 1):
                    phase = rule if number == include else 1 - rule
        else:
            settings[number] = value
    # As in protobuf, the last of several values counts.
    name, kind = (texts[key][-1] if texts[key] else "" for key in ("name", "type"))
    return Layer(
        name,
        kind,
        tuple(texts["bottom"]),
        tuple(texts["top"]),
        tuple(blobs),
        _settings(message, name, kind, settings, first_version),
        phase,
    )


def _settings(
    message: Message, layer: str, kind: str, fields: dict[int, Any], first_version: bool
) -> dict[str, float]:
    if kind not in SETTINGS:
        return {}
    second, first, names = SETTINGS[kind]
    field = first if first_version else second
    if field not in fields:
        return {}
    found: dict[str, list[float]] = {}
    for number, value in message.inner(fields[field]).fields():
        if number in names:
            values = message.inner(value).integers() if isinstance(value, tuple) else [value]
            found.setdefault(names[number], []).extend(values)
    settings = {}
    for name, values in found.items():
        # One of height and width, or one for both.
        if len(set(values)) > 1:
            raise UserError(f"its layer {layer!r} must have one {name}. Received: {values}")
        settings[name] = values[0]
    return settings


def _blob(message: Message) -> Blob:
    old, shape, runs = [0] * 4, None, []
    for number, value in message.fields(tagged=VALUES):
        if number in (1, 2, 3, 4) and isinstance(value, int):
            old[number - 1] = value
        elif number == 7:
            shape = _shape(message.inner(value))
        elif number in (5, 8):
            runs.append(_run(value, 4 if number == 5 else 8))
    sizes = {run.size for run in runs}
    if len(sizes) > 1:
        raise damaged(KIND, "a blob has values of two types")
    shape = tuple(old) if shape is None else shape
    count = sum(run.count for run in runs)
    if math.prod(shape) != count:
        raise damaged(KIND, f"a blob of the shape {shape} has {count:,} values")
    return Blob(message.path, shape, *(sizes or {4}), tuple(runs))


def _run(value: Any, size: int) -> Run:
    """Returns where the values of a field are, packed or each with its tag."""
    if isinstance(value, Run) and value.size == size:
        return value
    if not isinstance(value, tuple):
        raise damaged(KIND, "a blob has values of another kind")
    start, end = value
    if (end - start) % size:
        raise damaged(KIND, "a blob has a part of a value")
    return Run(start, (end - start) // size, size, tagged=False)


def _shape(message: Message) -> tuple[int, ...]:
    dims: list[int] = []
    for number, value in message.fields():
        if number == 1:
            dims += [value] if isinstance(value, int) else message.inner(value).integers()
    if len(dims) > MAX_AXES:
        raise damaged(KIND, f"a blob has more than {MAX_AXES} axes")
    return tuple(dims)
