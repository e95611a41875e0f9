"""Tensors in ONNX files of the layers that only LeNet-5 of 1998 has.

ONNX                                                      here
Conv of one group a map, all of a window's weights equal  TrainableSubsampling: the coefficient
Conv with zeros where the table has no connection         TableConv2D: the taps of the connections
Sub, Mul by itself, ReduceSum                             EuclideanRBF: the codes
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_classics.errors import UserError
from keras_classics.weights.formats.blobs import Blob
from keras_classics.weights.formats.onnx_files import Tensor, floats
from keras_classics.weights.stored import StoredTensor

# Given the layer, a tensor of the file and the name of its node: the variable, and its tensor.
Reader = Callable[[Any, Tensor, str], tuple[str, StoredTensor]]


def _subsampling(layer: Any, kernel: Tensor, node: str) -> tuple[str, StoredTensor]:
    (maps,) = layer.coefficient.shape
    blob = _blob(layer, kernel, (maps, 1, *layer.pool_size))

    def read() -> np.ndarray:
        windows = blob.read().reshape(maps, -1)
        if (windows != windows[:, :1]).any():
            raise UserError(
                f"its node {node!r} weighs the values of a window, but the network's "
                f"{layer.name!r} takes their sum"
            )
        return windows[:, 0]

    return "coefficient", StoredTensor((maps,), blob.dtype, read)


def _table(layer: Any, kernel: Tensor, node: str) -> tuple[str, StoredTensor]:
    rows, columns = layer.table.shape
    blob = _blob(layer, kernel, (columns, rows, layer.kernel_size, layer.kernel_size))
    connected = layer.table == 1

    def read() -> np.ndarray:
        taps = blob.read().reshape(blob.shape).transpose(2, 3, 1, 0)
        if taps[:, :, ~connected].any():
            raise UserError(
                f"its node {node!r} connects maps that the table of the network's {layer.name!r} "
                "does not connect"
            )
        return taps[:, :, connected]

    return "kernel", StoredTensor(tuple(layer.kernel.shape), blob.dtype, read)


def _codes(layer: Any, codes: Tensor, node: str) -> tuple[str, StoredTensor]:
    blob = floats(codes)
    return "codes", StoredTensor(blob.shape, blob.dtype, lambda: blob.read().reshape(blob.shape))


def _blob(layer: keras.layers.Layer, tensor: Tensor, shape: tuple[int, ...]) -> Blob:
    blob = floats(tensor)
    if blob.shape != shape:
        raise UserError(
            f"its tensor {tensor.name!r} has the shape {blob.shape}, but that of the network's "
            f"{layer.name!r} has {shape}"
        )
    return blob


# By the name of the layer's class.
READERS: dict[str, Reader] = {
    "TrainableSubsampling": _subsampling,
    "TableConv2D": _table,
    "EuclideanRBF": _codes,
}
