"""ONNX export, for ONNX Runtime and compatible runtimes, written layer by layer.

Input: preprocessed images, float32, shape (batch, height, width, channels), with the name of the
network's input, `image`. Output: the network's output, with the name of its last layer, such as
`probabilities` of shape (batch, classes). The batch size is free. Files of `export_model` state
both in their metadata, `input` and `output`, as `manifest.json` does.

Inside the file, feature maps have the layout (batch, channels, height, width) of ONNX's operators.
The image is transposed once; for a dense layer after a flattened map, the rows of the kernel are
reordered. All values are float32, whatever the network's dtype policy.
"""

import functools
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_classics import files
from keras_classics.analysis.nested import flat
from keras_classics.errors import UserError, require
from keras_classics.export.interface import PixelValues
from keras_classics.export.onnx_graph import Graph
from keras_classics.models import layers as own
from keras_classics.models import replica_layers

# Supported since ONNX 1.12 (2022), and by nearly every runtime.
OPSET = 17
# Since this version, all operators used here have the same inputs and attributes.
OLDEST_OPSET = 13


def onnx(
    model: keras.Model,
    path: str | os.PathLike,
    *,
    opset: int = OPSET,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Writes a network to an ONNX file, and checks that the file is valid.

    Args:
        model: A network of this package, with or without its top, or another functional network
            with the same kinds of layers, each called once; nested networks too.
        path: File to write.
        opset: Version of ONNX's operator set, at least 13.
        metadata: Values to store in the file's metadata as JSON, by name.

    Raises:
        UserError: If `path` exists, the network has an unsupported layer or activation, `opset` is
            out of range, or onnx is not installed.
    """
    path = Path(path)
    files.refuse_existing(path)
    save(build(model, opset, metadata), path)


def build(model: keras.Model, opset: int = OPSET, metadata: Mapping[str, Any] | None = None) -> Any:
    """Returns the content of an ONNX file, a `ModelProto`. For the arguments see `onnx`."""
    library = require("onnx", "export")
    newest = library.defs.onnx_opset_version()
    if not OLDEST_OPSET <= opset <= newest:
        raise UserError(f"opset must be from {OLDEST_OPSET} to {newest}. Received: {opset}.")
    operators = [library.helper.make_opsetid("", opset)]
    # The oldest file format for this opset: runtimes reject newer formats than they know.
    ir_version = library.helper.find_min_ir_version_for(operators)
    proto = library.ModelProto(ir_version=ir_version, opset_import=operators)
    state(proto, metadata or {})
    _fill(Graph(library, proto.graph), model)
    return proto


def state(proto: Any, metadata: Mapping[str, Any]) -> None:
    """Puts the name of this package and metadata into the content of a file, for what it had."""
    library = require("onnx", "export")
    proto.producer_name, proto.producer_version = "keras_classics", ""
    library.helper.set_model_props(proto, {n: json.dumps(v) for n, v in metadata.items()})


def save(proto: Any, path: Path) -> None:
    """Writes the content of a file, and checks that it is valid."""
    with files.atomic_write(path) as aside:
        aside.write_bytes(proto.SerializeToString())
        require("onnx", "export").checker.check_model(str(aside), full_check=True)


def runtime(path: str | os.PathLike) -> Callable[[np.ndarray], np.ndarray]:
    """Loads an ONNX file into ONNX Runtime, on the CPU.

    Args:
        path: A file that `onnx` wrote.

    Returns:
        A function from preprocessed float32 images to the network's (first) output.

    Raises:
        UserError: If onnxruntime is not installed.
    """
    library = require("onnxruntime", "export")
    session = library.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: np.asarray(images)})[0]


def _fill(graph: Graph, model: keras.Model) -> None:
    """Adds a network's inputs, layers and outputs to a graph."""
    model = flat(model)
    graph.proto.name = model.name
    values = {id(tensor): graph.start(tensor) for tensor in model.inputs}
    for layer in model.layers:
        if isinstance(layer, layers.InputLayer):
            continue
        write = _writer(layer)
        graph.layer = layer.name
        inputs = [_value(values, tensor, layer) for tensor in keras.tree.flatten(layer.input)]
        # Dense layers and dropout accept either order of a flattened map.
        if write not in (_dense, _dropout):
            inputs = [graph.in_order(value) for value in inputs]
        values[id(layer.output)] = write(graph, layer, *inputs)
    for name, tensor in zip(model.output_names, model.outputs, strict=True):
        graph.end(name, tensor, _value(values, tensor, model))


def _value(values: dict[int, str], tensor: keras.KerasTensor, reader: layers.Layer) -> str:
    if id(tensor) not in values:
        raise UserError(
            "The ONNX export supports networks of layers, each called once. Received: "
            f"{reader.name}, whose input or output comes from an operation that is no layer, or "
            "from another call. Use Keras's model.export instead."
        )
    return values[id(tensor)]


def _writer(layer: layers.Layer) -> Callable[..., str]:
    # The exact class: a subclass may compute something else.
    if type(layer) not in WRITERS:
        raise UserError(
            "The ONNX export supports the layers of this package's networks. Received: "
            f"{layer.name}, a {type(layer).__name__}. Use Keras's model.export instead."
        )
    return WRITERS[type(layer)]


# Each of the following functions adds a layer: from its input values to its output value.


def _pixel_values(graph: Graph, layer: PixelValues, x: str) -> str:
    step = layer.step
    x = graph.node("Cast", x, to=1)  # FLOAT, in onnx.TensorProto
    if step.bgr:
        x = graph.node("Gather", x, graph.constant("bgr", [2, 1, 0], "int64"), axis=1)
    # One number per channel, or an image of numbers.
    scale, offset = (
        n.reshape(-1, 1, 1) if n.ndim == 1 else n.transpose(2, 0, 1)
        for n in (step.scale, step.offset)
    )
    x = graph.node("Mul", x, graph.constant("scale", scale))
    return graph.node("Add", x, graph.constant("offset", offset))


def _conv2d(graph: Graph, layer: layers.Conv2D, x: str) -> str:
    return _convolve(
        graph,
        layer,
        x,
        layer.kernel,
        strides=layer.strides,
        dilations=layer.dilation_rate,
        group=layer.groups,
        **_padding(layer, layer.kernel_size, layer.dilation_rate),
    )


def _table_conv2d(graph: Graph, layer: own.TableConv2D, x: str) -> str:
    kernel = layer.dense_kernel(ops.convert_to_tensor(layer.kernel))
    return _convolve(graph, layer, x, kernel)


def _trainable_subsampling(graph: Graph, layer: own.TrainableSubsampling, x: str) -> str:
    # Coefficient times the sum of a window: a depthwise convolution with a constant kernel.
    (maps,) = layer.coefficient.shape
    kernel = np.broadcast_to(ops.convert_to_numpy(layer.coefficient), (*layer.pool_size, 1, maps))
    return _convolve(graph, layer, x, kernel, strides=layer.strides, group=maps)


def _convolve(graph: Graph, layer: layers.Layer, x: str, kernel: Any, **attributes: Any) -> str:
    """Adds a convolution with a layer's bias and activation."""
    kernel = ops.convert_to_numpy(kernel).transpose(3, 2, 0, 1)
    weights = [graph.constant("kernel", kernel), *_bias(graph, layer)]
    return _activate(graph, layer, graph.node("Conv", x, *weights, **attributes))


def _bias(graph: Graph, layer: layers.Layer) -> list[str]:
    return [] if layer.bias is None else [graph.constant("bias", layer.bias)]


def _padding(
    layer: layers.Layer, size: tuple[int, int], dilation: tuple[int, int] = (1, 1)
) -> dict[str, Any]:
    """Returns Keras's padding as ONNX attributes; odd padding is larger at the end."""
    sides = layer.input.shape[1:3]
    if layer.padding == "valid":
        return {}
    if None in sides:
        return {"auto_pad": "SAME_UPPER"}
    windows = [(s - 1) * step + 1 for s, step in zip(size, dilation, strict=True)]
    total = [
        max((-(-side // stride) - 1) * stride + window - side, 0)
        for side, window, stride in zip(sides, windows, layer.strides, strict=True)
    ]
    return {"pads": [t // 2 for t in total] + [t - t // 2 for t in total]}


def _dense(graph: Graph, layer: layers.Dense, x: str) -> str:
    kernel = ops.convert_to_numpy(layer.kernel)
    if x in graph.flattened:
        by_position = kernel.reshape(*graph.flattened[x], layer.units)
        kernel = by_position.transpose(2, 0, 1, 3).reshape(kernel.shape)
    weights = [graph.constant("kernel", kernel), *_bias(graph, layer)]
    return _activate(graph, layer, graph.node("Gemm", x, *weights))


def _flatten(graph: Graph, layer: layers.Flatten, x: str) -> str:
    vector = graph.node("Flatten", x)
    if len(layer.input.shape) == 4:
        graph.flattened[vector] = layer.input.shape[1:]
    return vector


def _dropout(graph: Graph, layer: layers.Dropout, x: str) -> str:
    return x


def _pool(operator: str, graph: Graph, layer: layers.Layer, x: str) -> str:
    padding = _padding(layer, layer.pool_size)
    return graph.node(operator, x, kernel_shape=layer.pool_size, strides=layer.strides, **padding)


def _pool_all(operator: str, graph: Graph, layer: layers.Layer, x: str) -> str:
    pooled = graph.node(operator, x)
    return pooled if layer.keepdims else graph.node("Flatten", pooled)


def _adaptive_average_pooling2d(graph: Graph, layer: own.AdaptiveAveragePooling2D, x: str) -> str:
    (height, width), (rows, columns) = layer.input.shape[1:3], layer.output_size
    if width != columns:
        x = graph.node("MatMul", x, graph.constant("columns", own.mean_windows(width, columns)))
    if height != rows:
        x = graph.node("MatMul", graph.constant("rows", own.mean_windows(height, rows).T), x)
    return x


def _zero_padding2d(graph: Graph, layer: layers.ZeroPadding2D, x: str) -> str:
    (top, bottom), (left, right) = layer.padding
    return _pad(graph, x, [0, 0, top, left, 0, 0, bottom, right])


def _identity_shortcut(graph: Graph, layer: own.IdentityShortcut, x: str) -> str:
    added = layer.filters - layer.input.shape[-1]
    if layer.strides > 1:
        # A 1x1 max pooling subsamples without changing values.
        x = graph.node("MaxPool", x, kernel_shape=(1, 1), strides=(layer.strides, layer.strides))
    return _pad(graph, x, [0, 0, 0, 0, 0, added, 0, 0]) if added else x


def _pad(graph: Graph, x: str, pads: list[int]) -> str:
    """Adds zero padding: `pads` has the beginnings of all axes, then their ends."""
    return graph.node("Pad", x, graph.constant("pads", pads, "int64"))


def _add(graph: Graph, layer: layers.Add, *inputs: str) -> str:
    return functools.reduce(functools.partial(graph.node, "Add"), inputs)


def _batch_normalization(graph: Graph, layer: layers.BatchNormalization, x: str) -> str:
    maps = layer.moving_mean.shape
    statistics = {
        "gamma": np.ones(maps) if layer.gamma is None else layer.gamma,
        "beta": np.zeros(maps) if layer.beta is None else layer.beta,
        "moving_mean": layer.moving_mean,
        "moving_variance": layer.moving_variance,
    }
    inputs = [graph.constant(name, values) for name, values in statistics.items()]
    return graph.node("BatchNormalization", x, *inputs, epsilon=float(layer.epsilon))


def _local_response_normalization(
    graph: Graph, layer: own.LocalResponseNormalization, x: str
) -> str:
    # ONNX divides alpha by n.
    alpha = layer.alpha if layer.divide_alpha_by_n else layer.alpha * layer.n
    constants = {"alpha": alpha, "beta": layer.beta, "bias": layer.k}
    return graph.node("LRN", x, size=layer.n, **{n: float(c) for n, c in constants.items()})


def _euclidean_rbf(graph: Graph, layer: own.EuclideanRBF, x: str) -> str:
    # 0 keeps the batch axis.
    row = graph.constant("row", [0, 1, layer.codes.shape[1]], "int64")
    codes = graph.constant("codes", layer.codes)
    difference = graph.node("Sub", graph.node("Reshape", x, row), codes)
    square = graph.node("Mul", difference, difference)
    return graph.node("ReduceSum", square, graph.constant("axes", [2], "int64"), keepdims=0)


def _activate(graph: Graph, layer: layers.Layer, x: str) -> str:
    if layer.activation not in ACTIVATIONS:
        name = getattr(layer.activation, "__name__", layer.activation)
        supported = ", ".join(activation.__name__ for activation in ACTIVATIONS)
        raise UserError(
            f"The ONNX export supports the activations {supported}. "
            f"Received: {name}, of {layer.name}. Use Keras's model.export instead."
        )
    return ACTIVATIONS[layer.activation](graph, x)


def _softmax(graph: Graph, x: str) -> str:
    return graph.node("Softmax", x, axis=1)


def _softmin(graph: Graph, x: str) -> str:
    return _softmax(graph, graph.node("Neg", x))


def _scaled_tanh(graph: Graph, x: str) -> str:
    x = graph.node("Mul", x, graph.constant("inner_scale", 2.0 / 3.0))
    return graph.node("Mul", graph.node("Tanh", x), graph.constant("outer_scale", 1.7159))


def _plain(operator: str) -> Callable[[Graph, str], str]:
    return lambda graph, x: graph.node(operator, x)


ACTIVATIONS: dict[Callable, Callable[[Graph, str], str]] = {
    keras.activations.linear: lambda graph, x: x,
    keras.activations.relu: _plain("Relu"),
    keras.activations.sigmoid: _plain("Sigmoid"),
    keras.activations.softmax: _softmax,
    keras.activations.tanh: _plain("Tanh"),
    own.scaled_tanh: _scaled_tanh,
    own.softmin: _softmin,
}

WRITERS: dict[type[layers.Layer], Callable[..., str]] = {
    layers.Activation: _activate,
    layers.Add: _add,
    layers.AveragePooling2D: functools.partial(_pool, "AveragePool"),
    layers.BatchNormalization: _batch_normalization,
    layers.Conv2D: _conv2d,
    layers.Dense: _dense,
    layers.Dropout: _dropout,
    layers.Flatten: _flatten,
    layers.GlobalAveragePooling2D: functools.partial(_pool_all, "GlobalAveragePool"),
    layers.GlobalMaxPooling2D: functools.partial(_pool_all, "GlobalMaxPool"),
    layers.MaxPooling2D: functools.partial(_pool, "MaxPool"),
    layers.ZeroPadding2D: _zero_padding2d,
    PixelValues: _pixel_values,
    own.AdaptiveAveragePooling2D: _adaptive_average_pooling2d,
    replica_layers.BatchNormalization: _batch_normalization,
    replica_layers.Dropout: _dropout,
    own.EuclideanRBF: _euclidean_rbf,
    own.IdentityShortcut: _identity_shortcut,
    own.LocalResponseNormalization: _local_response_normalization,
    own.TableConv2D: _table_conv2d,
    own.TowerConv2D: _conv2d,
    own.TrainableSubsampling: _trainable_subsampling,
}
