"""`manifest.json`: files of an export, their agreement with the model, and their latency."""

import dataclasses
import hashlib
import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_classics.data.names import is_upright
from keras_classics.environment import current_environment
from keras_classics.export.interface import LIGHT_ON_DARK, differences, drawings
from keras_classics.export.source import Source
from keras_classics.export.verify import Check, processors

# Data sets of drawings, for exports without images of them.
KNOWN_DRAWINGS = ("digits", "emnist", "fashion_mnist", "kmnist", "mnist", "mnist_5000")
# Packages that write and run exports.
PACKAGES = (
    "keras-classics",
    "tensorflow",
    "keras",
    "ai-edge-litert",
    "onnx",
    "onnxruntime",
    "openvino",
)


def manifest(
    folder: Path, source: Source, checks: Mapping[str, Check], origin: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the manifest of a folder of exports.

    Args:
        folder: Folder with the exports and `model.keras`.
        source: The exported network.
        checks: Result of the verification for each file or folder name.
        origin: Origin of network and images.

    Returns:
        The content of `manifest.json`, JSON-serialisable.
    """
    return {
        "model": source.model.name,
        "input": source.input,
        "output": source.output,
        "drawings": _drawings(source, origin),
        "exif_orientation": "applied" if is_upright(origin.get("trained_on")) else "ignored",
        "preprocessing": source.preprocessing_config,
        "max_pixels": source.max_pixels,
        "compared_on": {
            "images": len(source.images),
            "source": "generated, smooth patterns" if source.generated else "given",
            "labelled": source.image_labels is not None,
        },
        "origin": dict(origin),
        "versions": _versions(),
        "machine": {"architecture": platform.machine(), "processors": processors()},
        "environment": _environment(),
        "keras": {"files": _files(folder, "model.keras")},
        "exports": {
            name: {**_described(checked, source), "files": _files(folder, name)}
            for name, checked in checks.items()
        },
    }


def _described(checked: Check, source: Source) -> dict[str, Any]:
    """Returns a check, with only the differences of input and output from the network's."""
    fields = dataclasses.asdict(checked)
    details = fields.pop("details")
    for end, network in {"input": source.input, "output": source.output}.items():
        details[end] = differences(details[end], network)
    return {**details, **fields}


def _drawings(source: Source, origin: Mapping[str, Any]) -> str | None:
    """Returns the kind of drawings that the network was trained on; None for other images."""
    if source.generated:
        return LIGHT_ON_DARK if origin.get("trained_on") in KNOWN_DRAWINGS else None
    return drawings(source.images)


def _environment() -> dict[str, Any]:
    """Returns commit, device and command; the manifest lists versions separately."""
    return {name: value for name, value in current_environment().items() if name != "versions"}


def _versions() -> dict[str, str]:
    installed = {}
    for name in PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed


def _files(folder: Path, name: str) -> dict[str, dict[str, Any]]:
    """Returns the size in bytes and the hash of each file of an export."""
    root = folder / name
    paths = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
    return {str(path.relative_to(folder)): _file(path) for path in paths}


def _file(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}
