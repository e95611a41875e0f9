"""A folder with a network in several forms and their manifest."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_classics.errors import UserError, require, unknown_name
from keras_classics.export.manifest import manifest
from keras_classics.export.onnx import onnx
from keras_classics.export.onnx import runtime as onnx_runtime
from keras_classics.export.saved_model import write as write_saved_model
from keras_classics.export.source import Source
from keras_classics.export.tflite import check_arguments
from keras_classics.export.tflite import write as write_tflite
from keras_classics.export.verify import Check, check, written

FORMATS = ("saved_model", "tflite", "onnx")


def export_model(
    model: keras.Model,
    folder: str | os.PathLike,
    *,
    preprocessing: keras.layers.Layer,
    labels: Sequence[str],
    images: np.ndarray | None = None,
    image_labels: np.ndarray | None = None,
    calibration: np.ndarray | None = None,
    formats: Sequence[str] = ("saved_model", "tflite"),
    quantize: Sequence[str] = ("none",),
    origin: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Exports a network into a folder, whole or not at all.

    Writes the model itself, `model.keras`, `manifest.json`, and as asked for `saved_model/`,
    `model.tflite`, `model_float16.tflite` and so on for other quantizations, and `model.onnx`,
    each checked in its own runtime.

    Args:
        model: A network with its top. Its exports compute in float32.
        folder: Folder to write.
        preprocessing: The layer that the network was trained with.
        labels: Name of each class.
        images: uint8 images to compare on, shape (count, height, width, channels); generated ones
            if None.
        image_labels: Class of each image, if known, shape (count,): they say that the network is
            trained, and how accurate it is before and after.
        calibration: uint8 images for `int8` and `int16x8`; see `tflite`.
        formats: Some of `FORMATS`.
        quantize: The TFLite files to write; see `tflite`.
        origin: Where network and images come from, such as the names of its weights and of the data
            set; kept in the manifest, as JSON can hold it.
        overwrite: Whether to replace the export that is there.

    Returns:
        The content of `manifest.json`.

    Raises:
        UserError: The folder is there, or no export is to be replaced in it, a format or
            quantization is unknown or cannot be had, or the arguments do not fit the model or each
            other.
        VerificationError: An export disagrees with the model; nothing is left.
    """
    folder = Path(folder)
    _check_formats(formats, quantize, calibration)
    if overwrite:
        _refuse_to_lose(folder)
    with written(folder, overwrite) as aside:
        source = Source(model, preprocessing, labels, images, image_labels)
        aside.mkdir()
        model.save(aside / "model.keras")
        checks = _write_all(source, aside, formats, quantize, calibration)
        content = manifest(aside, source, checks, origin or {})
        (aside / "manifest.json").write_text(json.dumps(content, indent=2) + "\n")
    return content


def _check_formats(
    formats: Sequence[str], quantize: Sequence[str], calibration: np.ndarray | None
) -> None:
    """Finds now what would stop an export after minutes."""
    if not formats or ("tflite" in formats and not quantize):
        raise UserError(
            f"Name at least one of the formats {', '.join(FORMATS)}, and for tflite at least one "
            f"quantization. Received: formats={list(formats)}, quantize={list(quantize)}."
        )
    for name in formats:
        if name not in FORMATS:
            raise unknown_name("format", name, FORMATS)
    if "tflite" in formats:
        for name in quantize:
            check_arguments(name, calibration)
    if "onnx" in formats:
        require("onnx", "export")
        require("onnxruntime", "export")


def _refuse_to_lose(folder: Path) -> None:
    """Keeps `overwrite` from a folder of somebody's own, which it would remove whole."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "manifest.json").is_file():
        raise UserError(
            f"An export replaces an export. Received: {folder}, which has no manifest.json. "
            "Take another folder, or remove this one."
        )


def _write_all(
    source: Source,
    folder: Path,
    formats: Sequence[str],
    quantize: Sequence[str],
    calibration: np.ndarray | None,
) -> Mapping[str, Check]:
    checks = {}
    if "saved_model" in formats:
        checks["saved_model"] = write_saved_model(source, folder / "saved_model")
    for kind in quantize if "tflite" in formats else ():
        name = "model.tflite" if kind == "none" else f"model_{kind}.tflite"
        checks[name] = write_tflite(source, folder / name, kind, calibration)
    if "onnx" in formats:
        path = folder / "model.onnx"
        onnx(source.network, path)
        checks[path.name] = check(source, onnx_runtime(path), format="onnx")
    return checks
