"""`manifest.json`: what an export holds, what it was checked for, and how fast it ran."""

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

# What may write and run exports.
PACKAGES = ("keras-classics", "tensorflow", "keras", "ai-edge-litert", "onnx", "onnxruntime")


def manifest(
    folder: Path, source: Source, checks: Mapping[str, Check], origin: Mapping[str, Any]
) -> dict[str, Any]:
    """Describes the files in a folder of exports.

    Args:
        folder: Where the exports lie, and `model.keras`.
        source: The network that they come from.
        checks: For each file or folder name, what its check gave.
        origin: Where network and images come from.

    Returns:
        What JSON can hold.
    """
    return {
        "model": source.model.name,
        "input_shape": list(source.inputs.shape[1:]),
        "preprocessing": source.preprocessed,
        "labels": source.labels,
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
    return {**fields.pop("about"), **fields}


def _environment() -> dict[str, Any]:
    """Commit, device and command; versions stand beside them."""
    return {name: value for name, value in current_environment().items() if name != "versions"}


def _versions() -> dict[str, str]:
    there = {}
    for name in PACKAGES:
        try:
            there[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return there


def _files(folder: Path, name: str) -> dict[str, dict[str, Any]]:
    """Size in bytes and hash of each file of an export."""
    root = folder / name
    paths = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
    return {str(path.relative_to(folder)): _file(path) for path in paths}


def _file(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}
