"""ONNX files of an export: in float32 or int8, checked in ONNX Runtime and in OpenVINO."""

import dataclasses
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from keras_classics.analysis.nested import flat
from keras_classics.errors import VerificationError, require, short_reason, unknown_name
from keras_classics.export import runtime_process
from keras_classics.export.calibration import calibration_sample, check_calibration
from keras_classics.export.onnx import onnx, runtime
from keras_classics.export.onnx_int8 import onnx_int8
from keras_classics.export.source import Source
from keras_classics.export.verify import Check, check, processors

QUANTIZATIONS = ("none", "int8")
OPENVINO = "OpenVINO"


def check_arguments(quantize: str, calibration: np.ndarray | None) -> None:
    """Raises a `UserError` if arguments of `write` are wrong, or its extra is not installed."""
    require("onnx", "export")
    require("onnxruntime", "export")
    if quantize not in QUANTIZATIONS:
        raise unknown_name("quantization of ONNX", quantize, QUANTIZATIONS)
    check_calibration(quantize, calibration)


def write(
    source: Source, path: Path, quantize: str = "none", calibration: np.ndarray | None = None
) -> Check:
    """Writes a network to an ONNX file with metadata, and verifies it.

    Args:
        source: The network.
        path: File to write.
        quantize: `"none"` or `"int8"`.
        calibration: For `"int8"`: uint8 images, see `tflite`.

    Raises:
        UserError: If the network has an unsupported layer or activation.
        VerificationError: If the export disagrees with the model.
    """
    blocks = {
        "input": source.input | {"name": source.network.inputs[0].name},
        "output": source.output | {"name": flat(source.network).output_names[0]},
    }
    details: dict[str, Any] = {}
    if quantize == "int8":
        inputs = source.prepare(calibration_sample(calibration))
        details["float_operations"] = onnx_int8(source.network, path, inputs, blocks)
        details["calibration_images"] = len(inputs)
    else:
        onnx(source.network, path, metadata=blocks)
    checked = check(source, runtime(path), quantize=quantize, format="onnx", **details, **blocks)
    openvino = _in_openvino(source, path, quantize)
    return dataclasses.replace(checked, details={**checked.details, "openvino": openvino})


def _in_openvino(source: Source, path: Path, quantize: str) -> dict[str, Any] | None:
    """Returns agreement and latency in OpenVINO; None if it is not installed."""
    if importlib.util.find_spec("openvino") is None:
        return None
    name, threads = f"{path.name} in {OPENVINO}", processors()
    try:
        library = importlib.import_module("openvino")
        run = runtime_process.LOADERS[OPENVINO](library, str(path), threads)
        run(source.inputs[:1])
    except Exception as error:  # OpenVINO's errors have no common class.
        raise VerificationError(
            f"{name} cannot be run: {short_reason(error)}. Nothing was written."
        ) from error
    checked = check(source, run, quantize=quantize, threads=threads, name=name)
    return {part: dataclasses.asdict(getattr(checked, part)) for part in ("agreement", "latency")}
