"""Writes files of Caffe: networks with drawn weights in both generations, and their prototxt.

`tests/golden/caffe.json` holds a few outputs of OpenCV's importer of Caffe's files, for networks
that this file writes. The tests write the same files, read them here and compare. So OpenCV is not
needed to run them; only to make the file, in an environment of its own, because OpenCV 5 no longer
reads Caffe's files:

    pip install "opencv-python-headless<5"
    python -m tests.helpers.caffe_files
"""

import json
import struct
import sys
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.helpers.stored_outputs import TOLERANCE, stored

PATH = Path(__file__).parents[1] / "golden" / "caffe.json"

V1_TYPES = {
    "Convolution": 4,
    "Data": 5,
    "Dropout": 6,
    "InnerProduct": 14,
    "LRN": 15,
    "Pooling": 17,
    "ReLU": 18,
    "Softmax": 20,
    "SoftmaxWithLoss": 21,
    "Split": 22,
    "Accuracy": 1,
    "Concat": 3,
}

# By type: the name of its settings, their field in both generations, and their own fields.
SETTINGS: dict[str, tuple[str, int, int, dict[str, int]]] = {
    "Convolution": (
        "convolution_param",
        106,
        10,
        {"num_output": 1, "bias_term": 2, "pad": 3, "kernel_size": 4, "group": 5, "stride": 6},
    ),
    "InnerProduct": ("inner_product_param", 117, 17, {"num_output": 1, "transpose": 6}),
    "LRN": (
        "lrn_param",
        118,
        18,
        {"local_size": 1, "alpha": 2, "beta": 3, "norm_region": 4, "k": 5},
    ),
    "Pooling": (
        "pooling_param",
        121,
        19,
        {"pool": 1, "kernel_size": 2, "stride": 3, "pad": 4, "global_pooling": 12},
    ),
    "BatchNorm": ("batch_norm_param", 139, 0, {"use_global_stats": 1, "eps": 3}),
    "Scale": ("scale_param", 142, 0, {"bias_term": 4}),
    "ReLU": ("relu_param", 123, 30, {"negative_slope": 1}),
    "Eltwise": ("eltwise_param", 110, 24, {"operation": 1}),
}
FLOATS = ("alpha", "beta", "k", "eps", "negative_slope")


@dataclass(frozen=True)
class Layer:
    """A layer of Caffe, with the shapes of its blobs."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    shapes: tuple[tuple[int, ...], ...] = ()
    phase: int | None = None


# Values.


def blobs(layer: Layer) -> list[np.ndarray]:
    """Values for a layer's blobs, drawn from its name; outputs keep the scale of the image."""
    random = np.random.default_rng(zlib.crc32(layer.name.encode()))
    draws = [random.random(shape, dtype="float32") for shape in layer.shapes]
    if layer.type == "BatchNorm":
        mean, variance, factor = draws
        factor += 0.5
        return [(40 * mean - 20) * factor, (0.6 + 0.8 * variance) * factor, factor]
    if layer.type == "Scale":
        return [0.4 + 0.4 * draws[0], *(40 * draw - 20 for draw in draws[1:])]
    bound = (6 / np.prod(layer.shapes[0][1:])) ** 0.5
    for values, deviation in zip(draws, (bound, 10.0), strict=False):
        values -= 0.5
        values *= 2 * deviation
    return draws


def image(side: int) -> np.ndarray:
    """An image in Caffe's layout, (1, channels, height, width), BGR minus a mean."""
    return np.random.default_rng(0).uniform(-120, 120, (1, 3, side, side)).astype("float32")


# Networks.


class Net:
    """Collects the layers of a network; each takes what the last one gives."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.top, self.channels = "data", 3

    def add(self, name: str, kind: str, in_place: bool = False, **options: Any) -> None:
        top = self.top if in_place else name
        self.layers.append(Layer(name, kind, (self.top,), (top,), **options))
        self.top = top

    def conv(self, name: str, filters: int, kernel: int, bias: bool = True, **settings) -> None:
        group = settings.get("group", 1)
        shapes = [(filters, self.channels // group, kernel, kernel), (filters,)]
        given = {"num_output": filters, "kernel_size": kernel, "bias_term": bias, **settings}
        self.add(name, "Convolution", settings=given, shapes=tuple(shapes[: 1 + bias]))
        self.channels = filters

    def normalize(self, norm: str, scale: str) -> None:
        each = (self.channels,)
        self.add(norm, "BatchNorm", in_place=True, shapes=(each, each, (1,)))
        self.add(scale, "Scale", in_place=True, settings={"bias_term": True}, shapes=(each, each))

    def relu(self, name: str) -> None:
        self.add(name, "ReLU", in_place=True)

    def pool(self, name: str, kernel: int, stride: int, kind: int = 0) -> None:
        self.add(name, "Pooling", settings={"pool": kind, "kernel_size": kernel, "stride": stride})

    def dense(self, name: str, units: int, positions: int = 1) -> None:
        shapes = ((units, self.channels * positions), (units,))
        self.add(name, "InnerProduct", settings={"num_output": units}, shapes=shapes)
        self.channels = units


def alexnet(side: int = 227, pool_first: bool = False, classes: int = 1000) -> list[Layer]:
    """BVLC's AlexNet, or with pooling before normalisation its CaffeNet."""
    net = Net()

    def normalize_and_pool(number: int) -> None:
        constants = {"local_size": 5, "alpha": 1e-4, "beta": 0.75}
        steps = [
            lambda: net.add(f"norm{number}", "LRN", settings=constants),
            lambda: net.pool(f"pool{number}", 3, 2),
        ]
        for step in reversed(steps) if pool_first else steps:
            step()

    net.conv("conv1", 96, 11, stride=4)
    net.relu("relu1")
    normalize_and_pool(1)
    net.conv("conv2", 256, 5, pad=2, group=2)
    net.relu("relu2")
    normalize_and_pool(2)
    for number, filters, group in ((3, 384, 1), (4, 384, 2), (5, 256, 2)):
        net.conv(f"conv{number}", filters, 3, pad=1, group=group)
        net.relu(f"relu{number}")
    net.pool("pool5", 3, 2)
    last = side // 4 + 1
    for _ in range(3):
        last = (last - 3) // 2 + 1
    head(net, 4096, last**2, classes)
    return net.layers


def vgg(
    convolutions: tuple[int, ...] = (2, 2, 3, 3, 3),
    filters: tuple[int, ...] = (64, 128, 256, 512, 512),
    hidden: int = 4096,
    side: int = 224,
    classes: int = 1000,
    batch_norm: bool = False,
) -> list[Layer]:
    """Oxford's VGG, or one with batch normalisation."""
    net = Net()
    for block, (count, width) in enumerate(zip(convolutions, filters, strict=True), 1):
        for number in range(1, count + 1):
            net.conv(f"conv{block}_{number}", width, 3, pad=1)
            if batch_norm:
                net.normalize(f"conv{block}_{number}/bn", f"conv{block}_{number}/scale")
            net.relu(f"relu{block}_{number}")
        net.pool(f"pool{block}", 2, 2)
    head(net, hidden, (side >> len(filters)) ** 2, classes)
    return net.layers


def head(net: Net, hidden: int, positions: int, classes: int) -> None:
    net.dense("fc6", hidden, positions)
    net.relu("relu6")
    net.add("drop6", "Dropout", in_place=True)
    net.dense("fc7", hidden)
    net.relu("relu7")
    net.add("drop7", "Dropout", in_place=True)
    net.dense("fc8", classes)
    net.add("prob", "Softmax")


def resnet(
    units: tuple[int, ...] = (3, 4, 6, 3), bias: bool = True, classes: int = 1000
) -> list[Layer]:
    """The authors' ResNet. Theirs has a bias in conv1 alone; here all convolutions have one."""
    net = Net()

    def conv_bn(name: str, filters: int, kernel: int, **settings: Any) -> None:
        net.conv(name, filters, kernel, bias, **settings)
        rest = name.removeprefix("res") if name.startswith("res") else f"_{name}"
        net.normalize(f"bn{rest}", f"scale{rest}")

    conv_bn("conv1", 64, 7, pad=3, stride=2)
    net.relu("conv1_relu")
    net.pool("pool1", 3, 2)
    for stage, count in enumerate(units, 2):
        width = 64 << stage - 2
        for number in range(count):
            letter = chr(ord("a") + number) if count < 7 else f"b{number}" if number else "a"
            name = f"res{stage}{letter}"
            stride = 2 if number == 0 and stage > 2 else 1
            start, channels, shortcut = net.top, net.channels, net.top
            if number == 0:
                conv_bn(f"{name}_branch1", 4 * width, 1, stride=stride)
                shortcut, net.top, net.channels = net.top, start, channels
            conv_bn(f"{name}_branch2a", width, 1, stride=stride)
            net.relu(f"{name}_branch2a_relu")
            conv_bn(f"{name}_branch2b", width, 3, pad=1)
            net.relu(f"{name}_branch2b_relu")
            conv_bn(f"{name}_branch2c", 4 * width, 1)
            net.layers.append(Layer(name, "Eltwise", (shortcut, net.top), (name,)))
            net.top = name
            net.relu(f"{name}_relu")
    net.pool("pool5", 7, 1, kind=1)
    net.dense("fc1000", classes)
    net.add("prob", "Softmax")
    return net.layers


def as_trained(layers: list[Layer]) -> list[Layer]:
    """A network as training writes it: with data, Split, loss and accuracy."""
    first, *others = layers
    last = next(x for x in reversed(others) if x.shapes)
    others = others[: others.index(last) + 1]
    copies = (f"{last.name}_split_0", f"{last.name}_split_1")
    return [
        Layer("data", "Data", (), ("data", "label"), phase=0),
        Layer("data", "Data", (), ("data", "label"), phase=1),
        Layer("data_split", "Split", ("data",), ("data_0", "data_1")),
        replace(first, bottoms=("data_1",)),
        *others,
        Layer("split", "Split", last.tops, copies),
        Layer("loss", "SoftmaxWithLoss", (copies[0], "label"), ("loss",)),
        Layer("accuracy", "Accuracy", (copies[1], "label"), ("accuracy",), phase=1),
    ]


# Encoding.


def varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def field_of(number: int, value: bytes | str | int | float) -> bytes:
    """Encodes one field."""
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def blob_of(array: np.ndarray, legacy: bool = False, form: str = "packed") -> bytes:
    """Encodes a blob.

    Args:
        array: Its values.
        legacy: Whether the shape has the four axes of old files.
        form: `"packed"`, `"unpacked"` with a tag before each value, `"double"`, or `"parts"`.
    """
    if legacy:
        shape = (1,) * (4 - array.ndim) + array.shape
        start = b"".join(field_of(i, n) for i, n in enumerate(shape, 1))
    else:
        start = field_of(7, field_of(1, b"".join(map(varint, array.shape))))
    values = np.ascontiguousarray(array, "<f4")
    if form == "unpacked":
        rows = np.empty((values.size, 5), np.uint8)
        rows[:, 0] = 5 << 3 | 5
        rows[:, 1:] = values.reshape(-1, 1).view(np.uint8)
        return start + rows.tobytes()
    if form == "double":
        return start + field_of(8, values.astype("<f8").tobytes())
    if form == "parts":
        flat, middle = values.reshape(-1), values.size // 3
        return field_of(5, flat[:middle].tobytes()) + start + field_of(5, flat[middle:].tobytes())
    return start + field_of(5, values.tobytes())


def encoded(layer: Layer, arrays: Iterable[np.ndarray], first: bool, form: str) -> bytes:
    """Encodes a layer, of the first generation (`layers`) or the second (`layer`)."""
    name, kind, bottom, top, blob = (4, 5, 2, 3, 6) if first else (1, 2, 3, 4, 7)
    parts = [field_of(name, layer.name)]
    parts.append(field_of(kind, V1_TYPES[layer.type] if first else layer.type))
    parts += [field_of(bottom, b) for b in layer.bottoms]
    parts += [field_of(top, t) for t in layer.tops]
    parts += [field_of(blob, blob_of(array, first, form)) for array in arrays]
    if layer.phase is not None:
        parts.append(field_of(32 if first else 8, field_of(1, layer.phase)))
    if layer.settings:
        _, second_field, first_field, fields = SETTINGS[layer.type]
        settings = b"".join(
            field_of(fields[k], float(v) if k in FLOATS else int(v))
            for k, v in layer.settings.items()
        )
        parts.append(field_of(first_field if first else second_field, settings))
    return b"".join(parts)


def content_of(
    layers: list[Layer],
    first: bool = False,
    form: str = "packed",
    values: dict[str, list[np.ndarray]] | None = None,
) -> Iterator[bytes]:
    """Yields the parts of a `.caffemodel`.

    Args:
        layers: The network.
        first: Whether to write the first generation of the format.
        form: See `blob_of`.
        values: Values of the blobs of some layers; those of the others are drawn.
    """
    yield field_of(1, "a network")
    for layer in layers:
        drawn = blobs(layer) if layer.shapes else []
        content = encoded(layer, (values or {}).get(layer.name, drawn), first, form)
        yield varint((2 if first else 100) << 3 | 2) + varint(len(content))
        yield content


def write(path: Path, layers: list[Layer], *arguments: Any, **options: Any) -> Path:
    """Writes a network to a `.caffemodel`; takes the arguments of `content_of`."""
    with open(path, "wb") as file:
        file.writelines(content_of(layers, *arguments, **options))
    return path


def prototxt(layers: list[Layer], side: int) -> str:
    """The network as text, which OpenCV reads beside the weights."""
    lines = ['input: "data"', *(f"input_dim: {n}" for n in (1, 3, side, side))]
    lines += [" ".join(("layer {", *_text(layer), "}")) for layer in layers]
    return "\n".join(lines)


def _text(layer: Layer) -> Iterator[str]:
    yield f'name: "{layer.name}" type: "{layer.type}"'
    yield from (f'bottom: "{b}"' for b in layer.bottoms)
    yield from (f'top: "{t}"' for t in layer.tops)
    if layer.settings:
        name, *_ = SETTINGS[layer.type]
        settings = dict(layer.settings)
        if "pool" in settings:
            settings["pool"] = ("MAX", "AVE")[settings["pool"]]
        texts = (
            f"{k}: {str(v).lower() if v is True or v is False else v}" for k, v in settings.items()
        )
        yield f"{name} {{ {' '.join(texts)} }}"


# By case: the network here, its arguments, the layers, and the side of the image.
CASES: dict[str, tuple[str, dict[str, Any], list[Layer], int]] = {
    "alexnet": ("alexnet", {}, alexnet(), 227),
    "caffenet": ("caffenet", {}, alexnet(pool_first=True), 227),
    "vgg16": ("vgg16", {}, vgg(), 224),
    "resnet50": ("resnet50", {}, resnet(), 224),
    "small alexnet": ("alexnet", {"classes": 9}, alexnet(67, classes=9), 67),
    "small caffenet": ("caffenet", {"classes": 9}, alexnet(67, True, classes=9), 67),
    "narrow vgg16": (
        "vgg16",
        {"classes": 9, "filters": (4, 6, 8, 8, 8), "hidden": (12, 12)},
        vgg(filters=(4, 6, 8, 8, 8), hidden=12, side=64, classes=9),
        64,
    ),
    "narrow vgg11_bn": (
        "vgg11_bn",
        {"classes": 9, "filters": (4, 6, 8, 8, 8), "hidden": (12, 12)},
        vgg((1, 1, 2, 2, 2), (4, 6, 8, 8, 8), 12, 64, 9, batch_norm=True),
        64,
    ),
}


def theirs(case: str, folder: Path, first: bool) -> np.ndarray:
    """Scores of a case's network in OpenCV."""
    import cv2

    _, _, layers, side = CASES[case]
    weights = write(folder / "a.caffemodel", layers, first)
    (folder / "a.prototxt").write_text(prototxt(layers, side))
    net = cv2.dnn.readNetFromCaffe(str(folder / "a.prototxt"), str(weights))
    net.setInput(image(side))
    return net.forward(layers[-2].name)[0]


def main() -> None:
    """Runs all networks in OpenCV, and writes the file."""
    goldens = {}
    with tempfile.TemporaryDirectory() as folder:
        for case in sys.argv[1:] or CASES:
            scores = theirs(case, Path(folder), first=False)
            goldens[case] = stored(scores)
            print(f"{case:<16} scores up to {np.abs(scores).max():.3g}")
            if case not in (
                "resnet50",
                "narrow vgg11_bn",
            ):  # The first generation has no BatchNorm.
                distance = np.abs(theirs(case, Path(folder), first=True) - scores).max()
                assert distance <= TOLERANCE * np.abs(scores).max(), case
    if not sys.argv[1:]:
        lines = ",\n".join(f"  {json.dumps(c)}: {json.dumps(g)}" for c, g in goldens.items())
        PATH.write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
