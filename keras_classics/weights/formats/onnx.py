"""Weights in ONNX files, as torch's exporter, this package's, tf2onnx and others write them.

A file has a graph, and its tensors have any name or none that means anything. So the layers of a
network are found by what the graph computes, see `steps`: it must be what the network computes.

ONNX                                            here
Conv (out, in / group, height, width)           kernel (height, width, in / group, out)
Gemm or MatMul (in, out), or (out, in)          kernel (in, out)
of a map (channel, row, column)                 as (row, column, channel)
BatchNormalization                              the batch normalisation, whose epsilon differs
a bias where the network normalises instead     the normalisation: exporters fold it into the
                                                convolution before it
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np

from keras_classics.errors import UserError
from keras_classics.weights.formats import onnx_lenet
from keras_classics.weights.formats.blobs import constant, moved
from keras_classics.weights.formats.onnx_files import Tensor, floats, read_graph
from keras_classics.weights.formats.onnx_steps import Network, Weights, network_of
from keras_classics.weights.formats.steps import Step, last_of, matched, steps_of, trunk_and_top
from keras_classics.weights.metadata import FileMetadata
from keras_classics.weights.stored import FileContent, StoredTensor

# Of a response normalisation, by the value of the builder's argument `lrn`: n, alpha, beta, k.
NORMALIZATION = "lrn"


@contextlib.contextmanager
def opened(path: Path, model: keras.Model, part: str = "") -> Iterator[FileContent]:
    """Opens an ONNX file.

    Args:
        path: The file.
        model: The network, which must compute what the file's graph does.
        part: "", because a file has one network.

    Returns:
        The tensors by the names and in the layouts of the model.

    Raises:
        UserError: If it is no such file, or it computes something else than the model.
    """
    if part:
        raise UserError(f"an ONNX file has one network, and no {part!r}")
    network = network_of(read_graph(path))
    last = last_of(network.steps)
    pairs = matched(last, last_of(steps_of(model)))
    layers = _layers(pairs, last, network, model)
    flattened = _flattened(model)
    found: list[tuple[str, StoredTensor, str]] = []
    folded = 0
    for step in network.steps:
        if step.name not in network.weights:
            continue
        name, norm = layers.get(step, (step.name, ""))
        reader = _Reader(model, network.weights, flattened.get(name))
        folded += bool(norm and not step.norm)
        named = reader.tensors(step, name, norm)
        found += [(variable, *tensor_and_name) for variable, tensor_and_name in named.items()]
    yield FileContent.of(found, _notes(network, folded))


def read_metadata(path: Path, part: str = "") -> FileMetadata:
    """Returns that a file decides what it computes; which arguments give that, trials find.

    Args:
        path: The file.
        part: See `opened`.

    Raises:
        UserError: If it is no ONNX file.
    """
    graph = read_graph(path)
    normalizes = any(node.operator == "LRN" for node in graph.nodes)
    return FileMetadata({}, {} if normalizes else {NORMALIZATION: None}, exact=False)


def _notes(network: Network, folded: int) -> list[str]:
    notes = []
    if network.before:
        notes.append(
            f"its graph begins with {', '.join(dict.fromkeys(network.before))}, which prepare the "
            "images and are not loaded"
        )
    if folded:
        notes.append(f"{folded} batch normalisations are folded into convolutions")
    return notes


def _layers(
    pairs: Mapping[Step, Step], last: Step | None, network: Network, model: keras.Model
) -> dict[Step, tuple[str, str]]:
    """Returns for each step of a file the layer here, and the normalisation after it or ""."""
    layers = {theirs: (ours.name, ours.norm) for theirs, ours in pairs.items()}
    _, top = trunk_and_top(last)
    weighted = [step for step in top if step.name in network.weights]
    if weighted and all(step not in layers for step in weighted):
        # The network here has no top: names of one, so that it is known as such.
        layers |= {step: (f"fc{number}", "") for number, step in enumerate(weighted[:-1], 6)}
        layers[weighted[-1]] = ("predictions", "")
    return layers


def _flattened(model: keras.Model) -> dict[str, tuple[int, ...]]:
    """Returns the (height, width, channels) of a flattened map, by the dense layer after it."""
    for number, layer in enumerate(model.layers):
        if isinstance(layer, keras.layers.Flatten) and len(layer.input.shape) == 4:
            dense = (x for x in model.layers[number:] if isinstance(x, keras.layers.Dense))
            return {x.name: tuple(layer.input.shape[1:]) for x in [*dense][:1]}
    return {}


Named = dict[str, tuple[StoredTensor, str]]


class _Reader:
    """Gives the tensors of a step the names and layouts of a layer.

    Args:
        model: The network.
        weights: The tensors of the file's steps.
        flattened: The (height, width, channels) of the map that the layer takes flattened.
    """

    def __init__(
        self,
        model: keras.Model,
        weights: Mapping[str, Weights],
        flattened: tuple[int, ...] | None,
    ):
        self.weights, self.flattened = weights, flattened
        self.layers = {layer.name: layer for layer in model.layers}

    def tensors(self, step: Step, name: str, norm: str) -> Named:
        """Returns a step's tensors by the names of variables here, and their names in the file.

        Args:
            step: The step.
            name: The layer here.
            norm: The normalisation after the layer, or "".
        """
        if step.kind == "norm":
            return self._normalization(step.name, name, None)
        weights = self.weights[step.name]
        kernel, *bias = weights.tensors
        layer = self.layers.get(name)
        own = onnx_lenet.READERS.get(type(layer).__name__)
        variable, tensor = (
            own(layer, kernel, step.name) if own else ("kernel", LAYOUTS[step.kind](self, weights))
        )
        found = {f"{name}/{variable}": (tensor, kernel.name)}
        takes_bias = step.kind != "distances" and getattr(layer, "use_bias", True)
        # Before a normalisation, a bias may be part of its mean.
        moves = bool(bias and norm and not takes_bias)
        if bias and not moves:
            found[f"{name}/bias"] = (self.vector(bias[0]), bias[0].name)
        elif takes_bias and layer is not None:
            found[f"{name}/bias"] = (constant(0.0, layer.bias.shape), f"{kernel.name} (bias)")
        shift = bias[0] if moves else None
        if step.norm:
            found |= self._normalization(step.norm, norm or step.norm, shift)
        elif norm:
            found |= self._folded(norm, shift, kernel)
        return found

    def vector(self, tensor: Tensor) -> StoredTensor:
        blob = floats(tensor)
        shape = blob.shape
        while len(shape) > 1 and 1 in (shape[0], shape[-1]):
            # A bias that is added after a convolution has the axes of a map.
            shape = shape[1:] if shape[0] == 1 else shape[:-1]
        return StoredTensor(shape, blob.dtype, lambda: blob.read().reshape(shape))

    def _normalization(self, node: str, name: str, bias: Tensor | None) -> Named:
        """Returns the tensors of a normalisation, whose mean takes up the bias before it."""
        weights = self.weights[node]
        gamma, *others = weights.tensors
        if len(others) < 3:
            return self._affine(name, self.vector(gamma), others, gamma, bias)
        beta, mean, variance = others
        shift = weights.epsilon - self._epsilon(name, weights.epsilon)
        moved_by = None if bias is None else self.vector(bias)
        return {
            f"{name}/gamma": (self.vector(gamma), gamma.name),
            f"{name}/beta": (self.vector(beta), beta.name),
            f"{name}/moving_mean": (
                _shifted(self.vector(mean), lambda: -moved_by.read() if moved_by else 0.0),
                mean.name,
            ),
            f"{name}/moving_variance": (
                _shifted(self.vector(variance), lambda: shift),
                variance.name,
            ),
        }

    def _folded(self, name: str, bias: Tensor | None, kernel: Tensor) -> Named:
        """Returns a normalisation that only adds a bias: the file has it in its convolution."""
        factor = constant(1.0, kernel.shape[:1])
        return self._affine(name, factor, [bias] if bias else [], kernel, None)

    def _affine(
        self,
        name: str,
        factor: StoredTensor,
        biases: Sequence[Tensor],
        named: Tensor,
        before: Tensor | None,
    ) -> Named:
        """Returns a normalisation whose statistics change nothing.

        Args:
            name: The layer here.
            factor: Its gamma.
            biases: Its beta, if the file has one.
            named: The tensor that stands for the others in messages.
            before: The bias before it, which its mean takes up.
        """
        maps = factor.shape
        zero = constant(0.0, maps)
        mean = self.vector(before) if before else None
        values = {
            "gamma": (factor, named.name),
            "beta": (self.vector(biases[0]), biases[0].name) if biases else (zero, named.name),
            "moving_mean": (_shifted(zero, lambda: -mean.read()) if mean else zero, named.name),
            "moving_variance": (constant(1.0 - self._epsilon(name, 0.0), maps), named.name),
        }
        return {f"{name}/{variable}": value for variable, value in values.items()}

    def _epsilon(self, name: str, otherwise: float) -> float:
        layer = self.layers.get(name)
        return otherwise if layer is None else layer.epsilon


def _convolution(reader: _Reader, weights: Weights) -> StoredTensor:
    blob = floats(weights.tensors[0])
    return moved(blob, blob.shape)


def _dense(reader: _Reader, weights: Weights) -> StoredTensor:
    """Returns a dense layer's kernel as (in, out), its inputs as (row, column, channel)."""
    blob = floats(weights.tensors[0])
    inputs, units = blob.shape[::-1] if weights.transposed else blob.shape
    height, width, channels = reader.flattened or (1, 1, inputs)
    fits = height * width * channels == inputs and not weights.channels_last
    if weights.transposed:
        columns = (channels, height, width) if fits else (inputs, 1, 1)
        return moved(blob, (units, *columns), (inputs, units))

    def read() -> np.ndarray:
        kernel = blob.read()
        if fits and height * width > 1:
            rows = kernel.reshape(channels, height, width, units).transpose(1, 2, 0, 3)
            kernel = rows.reshape(inputs, units)
        return kernel.reshape(inputs, units)

    return StoredTensor((inputs, units), blob.dtype, read)


def _whole(reader: _Reader, weights: Weights) -> StoredTensor:
    return reader.vector(weights.tensors[0])


LAYOUTS = {"conv": _convolution, "dense": _dense, "distances": _whole}


def _shifted(tensor: StoredTensor, shift: Callable[[], np.ndarray | float]) -> StoredTensor:
    def read() -> np.ndarray:
        # Values that are not finite are refused when they are assigned.
        with np.errstate(all="ignore"):
            values = tensor.read()
            return (values.astype("float64") + shift()).astype(values.dtype)

    return StoredTensor(tensor.shape, tensor.dtype, read)
