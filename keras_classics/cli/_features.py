"""Features of images: what a network computes of them before it classifies."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_classics import files
from keras_classics.analysis.features import feature_extractor
from keras_classics.analysis.nested import flat
from keras_classics.cli._answers import Answer
from keras_classics.errors import UserError

# Name of what the last layer with weights takes.
POOL = "pool"

# Columns of the file beside the features; the row counts from 0, an image with a fault has none.
COLUMNS = ("row", "image", "fault")


def feature_network(model: keras.Model, which: str) -> keras.Model:
    """Returns the network from images to features, shape (batch, channels).

    Args:
        model: A network for classification.
        which: A level of `feature_extractor`, such as `"4"`, whose map is averaged over its
            positions; or `"pool"`: what the last layer with weights takes.

    Raises:
        UserError: If the network does not have that level, or it is none.
    """
    if which == POOL:
        network = flat(model)
        taken = [layer for layer in network.layers if layer.weights][-1].input
        return keras.Model(network.input, _averaged(taken))
    level = which.removeprefix("level_")
    if not (level.isascii() and level.isdigit()):
        raise UserError(f"--features must be a level, such as 3, or {POOL}. Received: {which}.")
    extractor = feature_extractor(model, [int(level)])
    (features,) = extractor.output.values()
    return keras.Model(extractor.input, _averaged(features))


def index_of(path: Path) -> Path:
    """Returns the file with the names of the images, beside a file of features."""
    return path.with_suffix(".csv")


def write_features(path: Path, answers: Iterable[Answer], images: int, channels: int) -> None:
    """Writes features to a `.npy` file, float32, shape (count, channels), and their index.

    Images that cannot be used have no row. Both files are written while the answers come.

    Args:
        path: The file.
        answers: The features of each image.
        images: Number of images.
        channels: Number of features.
    """
    count = 0
    with files.atomic_write(path) as aside, open(aside, "w+b") as file:
        begin = _write_head(file, images, channels)

        def rows() -> Iterator[dict[str, Any]]:
            nonlocal count
            for answer in answers:
                if answer.outputs is None:
                    yield {"image": answer.image.path, "fault": answer.fault}
                    continue
                file.write(answer.outputs.astype("<f4").tobytes())
                yield {"row": count, "image": answer.image.path}
                count += 1

        files.write_csv(index_of(path), COLUMNS, rows())
        # The format leaves room for a longer number of rows, so the head keeps its length.
        file.seek(0)
        if _write_head(file, count, channels) != begin:
            raise RuntimeError(f"The head of {os.fspath(path)} has changed its length.")


def _write_head(file: Any, rows: int, channels: int) -> int:
    """Writes the head of a `.npy` file and returns its length."""
    head = {"descr": "<f4", "fortran_order": False, "shape": (rows, channels)}
    np.lib.format.write_array_header_1_0(file, head)
    return file.tell()


def _averaged(features: keras.KerasTensor) -> keras.KerasTensor:
    """Returns features without positions, in float32."""
    if len(features.shape) == 4:
        features = keras.layers.GlobalAveragePooling2D(dtype="float32")(features)
    return features
