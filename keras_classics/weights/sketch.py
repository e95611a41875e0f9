"""What the shapes in a file of weights show of its network, before it is known which one it is.

Files name and order their tensors in many ways. Their convolutions, dense layers and normalisations
are the same in all of them, and decide which networks the file may belong to.
"""

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from keras_classics.errors import UserError, natural_key
from keras_classics.weights.formats import (
    checkpoints,
    contents,
    hdf5,
    state_dicts,
    tensorflow_files,
    timm,
)
from keras_classics.weights.formats.caffe_files import read_layers
from keras_classics.weights.formats.caffe_graph import Unit, network_of
from keras_classics.weights.formats.onnx_constants import constants_of
from keras_classics.weights.formats.onnx_files import Graph, Node, read_graph

Shape = tuple[int, ...]

# Some names of torchvision's networks, enough to find them under a prefix; the first one decides.
RESIDUAL = (
    "layer1.0.conv1.weight",
    "conv1.weight",
    "bn1.weight",
    "layer1.0.bn1.weight",
    "layer1.0.conv2.weight",
    "layer2.0.conv1.weight",
    "layer2.0.conv2.weight",
    "fc.weight",
)
SEQUENTIAL = ("features.0.weight", "features.3.weight", "features.10.weight")

# Means of batch normalisations, by the ends of their names.
MEANS = ("running_mean", "moving_mean")
MEAN_OF_KERAS_3 = re.compile(r"batch_normalization\w*/vars/2$")

# Libraries of torch's users, by what only their names of a network's tensors have.
LIBRARIES = {
    "pre_logits.": "timm",
    "embedder.embedder.": "transformers",
    "features.stage": "pytorchcv",
}

# Operators of ONNX that normalise a batch: what is left of it may be a factor.
NORMS = ("BatchNormalization", "Mul")


@dataclass(frozen=True)
class Kernel:
    """The weights of a convolution.

    Attributes:
        name: Name of the tensor.
        sides: Its height and width, or more in a convolution over more axes.
        inputs: Number of maps that a filter takes.
        filters: Number of filters.
    """

    name: str
    sides: Shape
    inputs: int
    filters: int


@dataclass(frozen=True)
class Sketch:
    """What the shapes in a file show of its network.

    Attributes:
        names: Names of all tensors.
        kernels: The convolutions, in the order of their names.
        dense: Inputs and units of each dense layer.
        norms: Number of maps of each batch normalisation.
        library: The library whose names and layout they are.
    """

    names: tuple[str, ...]
    kernels: tuple[Kernel, ...]
    dense: tuple[tuple[int, int], ...]
    norms: Shape
    library: str

    @property
    def size(self) -> int:
        """Number of weights of the convolutions and dense layers."""
        convolutions = (math.prod(k.sides) * k.inputs * k.filters for k in self.kernels)
        return sum(convolutions) + sum(math.prod(ends) for ends in self.dense)

    @property
    def is_degenerate(self) -> bool:
        """Whether a convolution or a dense layer has no weights at all."""
        sizes = [(*k.sides, k.inputs, k.filters) for k in self.kernels]
        return any(min(each) < 1 for each in (*sizes, *self.dense))

    def has_bias(self, kernel: Kernel) -> bool:
        """Returns whether a convolution has biases, by the names of tensors."""
        pairs = (("kernel", "bias"), ("weight", "bias"), ("vars/0", "vars/1"))
        start = kernel.name
        return any(
            start.endswith(one) and start.removesuffix(one) + other in self.names
            for one, other in pairs
        )

    def sides(self) -> Counter[int]:
        """Returns how many convolutions there are by the side of their kernel; 0: not square."""
        return Counter(k.sides[0] if len(set(k.sides)) == 1 else 0 for k in self.kernels)


def sketch_of(path: Path, part: str = "") -> Sketch:
    """Returns what the names and shapes in a file show; no values are read.

    Args:
        path: The file.
        part: Names a part of it, see `location`.

    Raises:
        UserError: If the file is damaged, or has no such part.
    """
    kind = contents.kind_of(path)
    if kind == contents.CAFFE:
        return _of_units(network_of(read_layers(path)).units)
    if kind == contents.ONNX:
        return _of_graph(read_graph(path))
    if kind in (contents.HDF5, contents.ARCHIVE):
        return _of_keras(hdf5.list_shapes(path, part))
    if kind == contents.TENSORFLOW:
        return _of_shapes(tensorflow_files.list_shapes(path), "TensorFlow")
    return _of_checkpoint(path, part)


def _of_keras(shapes: Mapping[str, Shape]) -> Sketch:
    if any(name.startswith("layers/") for name in shapes):
        return _named_for_its_biases(_of_shapes(shapes, "Keras 3"))
    return _named_for_its_biases(_of_shapes(shapes, "Keras 1 or 2"))


def _named_for_its_biases(sketch: Sketch) -> Sketch:
    """Names keras.applications, whose ResNets alone have biases before a batch normalisation."""
    stems = [kernel for kernel in sketch.kernels if kernel.sides == (7, 7)]
    own = sketch.norms and len(stems) == 1 and sketch.has_bias(stems[0])
    return dataclasses.replace(sketch, library="keras.applications") if own else sketch


def _of_checkpoint(path: Path, part: str) -> Sketch:
    with checkpoints.entries_of(path, None) as entries:
        known = state_dicts.spellings(entries)
        for names in (RESIDUAL, SEQUENTIAL):
            if any(name == names[0] or name.endswith(f".{names[0]}") for name in known):
                found = state_dicts.select(entries, dict.fromkeys(names, ()), part)
                shapes = {name: entries[own].shape or () for name, own in found.names.items()}
                return _of_shapes(shapes, _library(found.names.values()), in_torch=True)
        if part:
            raise UserError(f"it has no network {part!r} that is known here")
        tensors = {name: entry.shape for name, entry in entries.items() if entry.shape is not None}
        return _of_shapes(tensors, "torch", in_torch=True)


def _library(names: Iterable[str]) -> str:
    text = " ".join(names)
    return next((library for word, library in LIBRARIES.items() if word in text), "torchvision")


def _of_shapes(shapes: Mapping[str, Shape], library: str, in_torch: bool = False) -> Sketch:
    kernels, dense, norms = [], [], []
    names = sorted(shapes, key=natural_key)
    for name in names:
        shape = shapes[name]
        module = name.rpartition(".")[0]
        if name.endswith(MEANS) or MEAN_OF_KERAS_3.search(name):
            norms.append(math.prod(shape))
        elif len(shape) == 2 or (module in timm.MODULES and len(shape) == 4):
            ends = (shape[0], math.prod(shape[1:]))
            dense.append((timm.MODULES.get(module, name), ends[::-1] if in_torch else ends))
        elif len(shape) in (3, 4, 5):
            sizes = (shape[2:], shape[1], shape[0]) if in_torch else (shape[:-2], *shape[-2:])
            kernels.append(Kernel(name, *sizes))
    dense.sort(key=lambda layer: natural_key(layer[0]))
    ordered = tuple(ends for _, ends in dense)
    return Sketch(tuple(names), tuple(kernels), ordered, tuple(norms), library)


def _of_units(units: Iterable[Unit]) -> Sketch:
    """Returns the sketch of a network of Caffe, whose dense layers may be convolutions."""
    kernels, dense, norms, names = [], [], [], []
    for unit in units:
        layer, shape = unit.layer, unit.layer.blobs[0].shape
        names.append(layer.name)
        if layer.type == "InnerProduct":
            dense.append((shape[-1], shape[-2]) if len(shape) > 1 else (0, 0))
        elif layer.name.startswith("fc"):
            dense.append((math.prod(shape[1:]), shape[0]))
        elif len(shape) == 4:
            kernels.append(Kernel(layer.name, shape[2:], shape[1], shape[0]))
        if unit.norm is not None:
            norms.append(math.prod(unit.norm.blobs[0].shape))
    return Sketch(tuple(names), tuple(kernels), tuple(dense), tuple(norms), "Caffe")


def _of_graph(graph: Graph) -> Sketch:
    """Returns the sketch of an ONNX graph, in the order of its nodes."""
    constants = constants_of(graph)
    readers = {name: node.operator for node in graph.nodes for name in node.inputs}
    operators = {node.operator for node in graph.nodes}
    # Exporters fold normalisations into convolutions; of pre-activated networks, some are left.
    sums = [node for node in graph.nodes if node.operator == "Add"]
    adds = any(not constants.keys() & node.inputs for node in sums)
    folds = adds and not operators.isdisjoint(NORMS)
    kernels, dense, norms = [], [], []
    names = [*operators, *graph.tensors]
    for node in graph.nodes:
        tensor, turned = constants.get(
            node.inputs[1] if len(node.inputs) > 1 else "", (None, False)
        )
        if tensor is None:
            continue
        shape = tensor.shape
        if node.operator == "Conv" and len(shape) > 2:
            name = _name_in_torch(node, tensor.name)
            kernels.append(Kernel(name, shape[2:], shape[1], shape[0]))
            biased, after = len(node.inputs) > 2, readers.get(node.outputs[0])
            folded = biased and folds and after == "Relu"
            names += [name, *([name.replace("weight", "bias")] if biased and not folded else [])]
            norms += [shape[0]] if folded else []
        elif node.operator in ("Gemm", "MatMul") and len(shape) == 2:
            is_turned = turned != bool(node.settings.get("transB", 0))
            dense.append((shape[1], shape[0]) if is_turned else (shape[0], shape[1]))
        elif node.operator == "Sub" and len(shape) == 2:
            dense.append((shape[0], shape[1]))
        elif node.operator in NORMS and math.prod(shape) > 1:
            norms.append(math.prod(shape))
    return Sketch(tuple(names), tuple(kernels), tuple(dense), tuple(norms), "ONNX")


def _name_in_torch(node: Node, tensor: str) -> str:
    """Returns the name that a convolution's weights had in torch, if the graph says it."""
    if tensor.endswith(".weight"):
        return tensor
    # "/layer1/layer1.0/conv1/Conv"
    scopes = node.name.strip("/").split("/")[:-1]
    path = ""
    for scope in scopes:
        path = scope if not path or scope.startswith(f"{path}.") else f"{path}.{scope}"
    return f"{path or node.name}.weight"
