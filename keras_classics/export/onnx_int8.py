"""ONNX export in int8: the file of `onnx`, quantized by ONNX Runtime's own tool.

QDQ form: the operators stay those of the float file, and pairs of QuantizeLinear and
DequantizeLinear state where values have 8 bits. Runtimes replace them by integer kernels. Weights
are symmetric int8 with a scale per output channel, activations uint8 with ranges from calibration
images, biases int32.

Weights use 7 of their 8 bits: x86 processors without VNNI add pairs of products of uint8 and int8
in 16 bits, which overflow otherwise, and the file would answer differently on each machine.

In float32 remain: the input's normalisation of pixels, local response normalisation, tanh, batch
normalisation that cannot be folded, distances to codes, and the last softmax or sigmoid, so that
small probabilities stay different from 0.
"""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_classics import files
from keras_classics.analysis.nested import flat
from keras_classics.errors import require
from keras_classics.export.interface import PixelValues
from keras_classics.export.onnx import build, save, state

# Operators that ONNX Runtime has in 8 bits, of those that `onnx` writes.
QUANTIZED = (
    "Add",
    "AveragePool",
    "Conv",
    "Flatten",
    "Gemm",
    "GlobalAveragePool",
    "MatMul",
    "MaxPool",
    "Pad",
    "Relu",
    "Transpose",
)
# Operators that compute nothing, or convert between the types.
PLAIN = ("Cast", "DequantizeLinear", "Gather", "Identity", "QuantizeLinear", "Reshape")


def onnx_int8(
    model: keras.Model, path: Path, calibration: np.ndarray, metadata: Mapping[str, Any]
) -> list[str]:
    """Writes a network to an ONNX file in int8.

    Args:
        model: A network that `onnx` writes, with its batch normalisations folded.
        path: File to write.
        calibration: Images as the network takes them, at least one.
        metadata: Values to store in the file's metadata as JSON, by name.

    Returns:
        The operators that compute in float32.

    Raises:
        UserError: If `onnx` cannot write the network, or its extra is not installed.
    """
    files.refuse_existing(path)
    library = require("onnx", "export")
    quantization = require("onnxruntime.quantization", "export")
    proto = build(model)
    # Without this mark the tool warns: it would have folded batch normalisations.
    library.helper.set_model_props(proto, {"onnx.quant.pre_process": "onnxruntime.quant"})
    with _scratch(path) as folder:
        library.save(proto, folder / "float32.onnx")
        quantization.quantize_static(
            folder / "float32.onnx",
            folder / "int8.onnx",
            _Images(model.inputs[0].name, calibration),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=[*QUANTIZED],
            nodes_to_exclude=_normalisation_of_pixels(model, proto),
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        proto = library.load(folder / "int8.onnx")
    state(proto, metadata)
    save(proto, path)
    return sorted({node.op_type for node in proto.graph.node}.difference(QUANTIZED, PLAIN))


class _Images:
    """Hands out images one by one, as the tool's `CalibrationDataReader`."""

    def __init__(self, name: str, images: np.ndarray):
        self._batches = ({name: image[np.newaxis]} for image in images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


@contextlib.contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """Yields a folder beside a file for all temporary files, and removes it.

    Not in the system's temporary folder: after a crash the next writer removes it.
    """
    folder = path.with_name(f"{path.name}.parts")
    files.remove(folder)
    folder.mkdir()
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield folder
    finally:
        tempfile.tempdir = before
        files.remove(folder)


def _normalisation_of_pixels(model: keras.Model, proto: Any) -> list[str]:
    """Returns the names of the nodes that normalise uint8 inputs."""
    layers = [layer.name for layer in flat(model).layers if isinstance(layer, PixelValues)]
    return [node.name for node in proto.graph.node if node.name.rpartition("/")[0] in layers]
