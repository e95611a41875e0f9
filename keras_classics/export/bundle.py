"""Exports a network to a folder with several formats and a manifest."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_classics.data.image_size import MAX_PIXELS
from keras_classics.errors import UserError, unknown_name
from keras_classics.export.card import facts_of_export
from keras_classics.export.exported import load_exported
from keras_classics.export.manifest import manifest
from keras_classics.export.onnx_forms import QUANTIZATIONS as ONNX_QUANTIZATIONS
from keras_classics.export.onnx_forms import check_arguments as check_onnx
from keras_classics.export.onnx_forms import write as write_onnx
from keras_classics.export.saved_model import write as write_saved_model
from keras_classics.export.source import Source, check_stored
from keras_classics.export.tflite import QUANTIZATIONS, saved_network
from keras_classics.export.tflite import check_arguments as check_tflite
from keras_classics.export.tflite import write as write_tflite
from keras_classics.export.verify import Check, check_destination, check_files, output
from keras_classics.weights.card import write_card

FORMATS = ("saved_model", "tflite", "onnx")
# Formats with a file for each quantization, by its quantizations.
QUANTIZED = {"tflite": QUANTIZATIONS, "onnx": ONNX_QUANTIZATIONS}
# Types of the images that TFLite and ONNX files take.
INPUTS = ("float32", "uint8")


def export_model(
    model: keras.Model,
    folder: str | os.PathLike,
    *,
    preprocessing: keras.layers.Layer,
    labels: Sequence[str],
    images: np.ndarray | None = None,
    image_labels: np.ndarray | None = None,
    max_pixels: int = MAX_PIXELS,
    calibration: np.ndarray | None = None,
    formats: Sequence[str] = ("saved_model", "tflite"),
    quantize: Sequence[str] = ("none",),
    inputs: str = "float32",
    origin: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Exports a network to a folder; if one export fails, nothing is written.

    Writes `model.keras`, `manifest.json` and a model card, `README.md`, and depending on the
    arguments `saved_model/`, `model.tflite`, `model_float16.tflite` (and so on for other
    quantizations), `model.onnx` and `model_int8.onnx`. Each is verified in its own runtime, ONNX
    files also in OpenVINO if it is installed, and read back with `load_exported`.

    Args:
        model: A network with its top. Its exports compute in float32.
        folder: Folder to write.
        preprocessing: The preprocessing layer that the network was trained with.
        labels: Name of each output.
        images: uint8 images to compare on, shape (count, height, width, channels); generated images
            if None.
        image_labels: Class of each image, if known, shape (count,), or for sigmoids (count,
            outputs), 1 where the class of an output applies. With them the accuracy is measured
            before and after, and its bounds are enforced.
        max_pixels: Most pixels of an image file that the export decodes.
        calibration: uint8 images for `int8` and `int16x8`; see `tflite`.
        formats: One or more of `FORMATS`.
        quantize: Quantizations of the TFLite files, see `tflite`, and of the ONNX files, which have
            `none` and `int8`.
        inputs: What TFLite and ONNX files take: `"float32"`, preprocessed images, or `"uint8"`,
            resized images, which the file normalises itself. A SavedModel takes both.
        origin: Origin of network and images, such as the names of the weights and of the data set,
            JSON-serialisable; it is stored in the manifest. `trained_on` is the data set that the
            network was trained on, `network` the network of this package that it is; with both the
            network and the name of known weights, the card states their licence and accuracy.
        overwrite: Whether to replace an existing export.

    Returns:
        The content of `manifest.json`.

    Raises:
        UserError: If the folder exists (or with `overwrite` is not an export), a format or
            quantization is unknown or its extra is missing, the arguments do not match the model or
            each other, or the preprocessing cannot bring images of any size to the shape that the
            model takes.
        VerificationError: If an export disagrees with the model; nothing is then written.
    """
    folder = Path(folder)
    _check_formats(formats, quantize, calibration, inputs)
    check_export_folder(folder, overwrite)
    with output(folder, overwrite, folder=True) as aside:
        source = Source(model, preprocessing, labels, images, image_labels, True, max_pixels)
        check_stored(source.preprocessing_config)
        files_source = source.taking_pixels() if inputs == "uint8" else source
        aside.mkdir()
        model.save(aside / "model.keras")
        checks = _write_all(source, files_source, aside, formats, quantize, calibration)
        content = manifest(aside, source, checks, origin or {})
        (aside / "manifest.json").write_text(json.dumps(content, indent=2) + "\n")
        write_card(aside / "README.md", facts_of_export(content, preprocessing))
        _read_back(source, files_source, aside, checks)
    return content


def _check_formats(
    formats: Sequence[str], quantize: Sequence[str], calibration: np.ndarray | None, inputs: str
) -> None:
    """Checks the arguments early, before an export of several minutes."""
    if not formats:
        raise UserError(f"Name at least one of the formats {', '.join(FORMATS)}. Received: none.")
    for name in formats:
        if name not in FORMATS:
            raise unknown_name("format", name, FORMATS)
    if inputs not in INPUTS:
        raise unknown_name("type of inputs", inputs, INPUTS)
    if inputs == "uint8" and not QUANTIZED.keys() & formats:
        raise UserError(
            "inputs='uint8' is for tflite and onnx; a SavedModel takes uint8 images in any case. "
            f"Received: formats={','.join(formats)}. Leave it out."
        )
    _check_quantizations(formats, quantize)
    for kind in _kinds("tflite", formats, quantize):
        check_tflite(kind, calibration)
    for kind in _kinds("onnx", formats, quantize):
        check_onnx(kind, calibration)


def _check_quantizations(formats: Sequence[str], quantize: Sequence[str]) -> None:
    """Raises a `UserError` if no format has a quantization, or a format has none of them."""
    received = f"Received: formats={','.join(formats)}, quantize={','.join(quantize)}."
    for kind in quantize:
        having = [name for name, kinds in QUANTIZED.items() if kind in kinds]
        if not having:
            raise unknown_name("quantization", kind, QUANTIZATIONS)
        if kind != "none" and not set(having).intersection(formats):
            raise UserError(
                f"The quantization {kind} is for {' and '.join(having)}. {received} Leave it out, "
                f"or add {having[0]}."
            )
    for name, kinds in QUANTIZED.items():
        if name in formats and not _kinds(name, formats, quantize):
            raise UserError(
                f"{name} needs at least one of the quantizations {', '.join(kinds)}. {received} "
                f"Add one, or leave out {name}."
            )


def _kinds(name: str, formats: Sequence[str], quantize: Sequence[str]) -> list[str]:
    """Returns the quantizations in which a format is written."""
    return [kind for kind in quantize if name in formats and kind in QUANTIZED[name]]


def _file_name(name: str, kind: str) -> str:
    return f"model.{name}" if kind == "none" else f"model_{kind}.{name}"


def check_export_folder(folder: Path, overwrite: bool) -> None:
    """Raises a `UserError` if an export cannot be written to a folder, or would replace another."""
    check_destination(folder, overwrite, folder=True)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "manifest.json").is_file():
        raise UserError(
            f"overwrite replaces only an export. Received: {folder}, which has no manifest.json. "
            "Use another folder, or remove this one."
        )


def _write_all(
    source: Source,
    files_source: Source,
    folder: Path,
    formats: Sequence[str],
    quantize: Sequence[str],
    calibration: np.ndarray | None,
) -> Mapping[str, Check]:
    checks = {}
    if "saved_model" in formats:
        checks["saved_model"] = write_saved_model(source, folder / "saved_model")
    if "tflite" in formats:
        with saved_network(files_source, folder / "tflite") as saved:
            for kind in _kinds("tflite", formats, quantize):
                name = _file_name("tflite", kind)
                checks[name] = write_tflite(
                    files_source, folder / name, kind, calibration, saved=saved
                )
    for kind in _kinds("onnx", formats, quantize):
        name = _file_name("onnx", kind)
        checks[name] = write_onnx(files_source, folder / name, kind, calibration)
    return checks


def _read_back(
    source: Source, files_source: Source, folder: Path, checks: Mapping[str, Check]
) -> None:
    """Compares what users of `load_exported` get with the network, on image files."""

    def compare(source: Source, name: str, kind: str) -> None:
        exported = folder / name
        check_files(source, lambda files: load_exported(exported).predict(files), name, kind)

    # The network itself may compute in half precision, in which it differs from its exports.
    compare(source, "model.keras", "none" if source.exact else "dynamic")
    for name, checked in checks.items():
        if name != "saved_model":
            compare(files_source, name, checked.quantize)
