"""`manifest.json`: files of an export, their agreement with the model, and their latency."""

import dataclasses
import hashlib
import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_classics.environment import current_environment
from keras_classics.export.source import Source
from keras_classics.export.verify import Check, processors

# Packages that write and run exports.
PACKAGES = ("keras-classics", "tensorflow", "keras", "ai-edge-litert", "onnx", "onnxruntime")


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
        "input_shape": list(source.inputs.shape[1:]),
        "preprocessing": source.preprocessing_config,
        "labels": source.labels,
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
            name: {**_described(checked), "files": _files(folder, name)}
            for name, checked in checks.items()
        },
    }


def _described(checked: Check) -> dict[str, Any]:
    fields = dataclasses.asdict(checked)
    return {**fields.pop("details"), **fields}


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
