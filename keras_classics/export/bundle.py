"""A folder with a network in several forms and their manifest."""

import importlib.metadata
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_classics import files
from keras_classics.errors import unknown_name
from keras_classics.export.manifest import manifest
from keras_classics.export.saved_model import saved_model
from keras_classics.export.tflite import tflite

FORMATS = ("saved_model", "tflite")


def export_model(
    model: keras.Model,
    folder: str | os.PathLike,
    *,
    preprocessing: keras.layers.Layer,
    labels: Sequence[str],
    images: np.ndarray | None = None,
    formats: Sequence[str] = FORMATS,
) -> dict[str, Any]:
    """Exports a network into a new folder, whole or not at all.

    Writes `saved_model/`, `model.tflite` and `manifest.json`.

    Args:
        model: A network with its top.
        folder: Folder to write; it must not be there yet.
        preprocessing: The layer that the network was trained with.
        labels: Name of each class.
        images: uint8 images to compare on, shape (count, height, width, channels); noise if None.
        formats: Some of `FORMATS`.

    Returns:
        The content of `manifest.json`.

    Raises:
        UserError: The folder is there, a format is unknown, or labels and classes differ in number.
        VerificationError: An export disagrees with the model; nothing is left.
    """
    folder = Path(folder)
    for name in formats:
        if name not in FORMATS:
            raise unknown_name("format", name, FORMATS)
    files.refuse_existing(folder)
    with files.written_aside(folder) as aside:
        aside.mkdir()
        common = {"preprocessing": preprocessing, "images": images}
        agreements = {}
        if "saved_model" in formats:
            path = aside / "saved_model"
            agreements[path.name] = saved_model(model, path, labels=labels, **common)
        if "tflite" in formats:
            path = aside / "model.tflite"
            agreements[path.name] = tflite(model, path, **common)
        versions = {name: importlib.metadata.version(name) for name in ("tensorflow", "keras")}
        content = manifest(aside, model, preprocessing, labels, agreements, versions)
        (aside / "manifest.json").write_text(json.dumps(content, indent=2) + "\n")
    return content
