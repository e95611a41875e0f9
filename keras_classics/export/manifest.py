"""`manifest.json`: what an export holds, and what it was checked for."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from keras_classics.export.verify import Agreement


def manifest(
    folder: Path,
    model: keras.Model,
    preprocessing: keras.layers.Layer,
    labels: Sequence[str],
    agreements: Mapping[str, Agreement],
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """Describes the files in a folder of exports.

    Args:
        folder: Where the exports lie.
        model: The network that they come from.
        preprocessing: The layer from uint8 images to what it takes.
        labels: Name of each class.
        agreements: For each file or folder name, how well it agrees with the model.
        versions: Packages that wrote them.

    Returns:
        What JSON can hold.
    """
    return {
        "model": model.name,
        "input_shape": list(model.input_shape[1:]),
        "preprocessing": {"layer": type(preprocessing).__name__, **preprocessing.get_config()},
        "labels": list(labels),
        "versions": dict(versions),
        "exports": {
            name: {"agreement": dataclasses.asdict(agreed), "files": _files(folder, name)}
            for name, agreed in agreements.items()
        },
    }


def _files(folder: Path, name: str) -> dict[str, dict[str, Any]]:
    """Size in bytes and hash of each file of an export."""
    root = folder / name
    paths = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
    return {
        str(path.relative_to(folder)): {
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in paths
    }
