"""A finished run, read back: its network, its preprocessing and what they know."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_classics.errors import UserError
from keras_classics.image_preprocessing import PREPROCESSINGS
from keras_classics.training.recipe import LOSSES, MEANS
from keras_classics.training.run_directory import RunDirectory


@dataclass(frozen=True)
class FinishedRun:
    """A trained network and all that using it takes.

    Attributes:
        path: Folder of the run.
        model: The network.
        preprocessing: The layer from uint8 images to what the network takes.
        loss: The loss that it was trained with.
        class_names: Name of each class.
        result: The content of `result.json`.
    """

    path: Path
    model: keras.Model
    preprocessing: keras.layers.Layer
    loss: keras.losses.Loss
    class_names: tuple[str, ...]
    result: dict[str, Any]


def load_run(path: str | os.PathLike) -> FinishedRun:
    """Reads a finished run.

    Args:
        path: Folder of the run.

    Raises:
        UserError: It holds no finished run.
    """
    run = RunDirectory(path)
    if not run.result.is_file() or not run.model.is_file():
        missing = run.model if run.result.is_file() else run.result
        raise UserError(f"{path} holds no finished run: there is no {missing}.")
    result = json.loads(run.result.read_text())
    recipe = json.loads((Path(path) / "recipe.json").read_text())
    return FinishedRun(
        path=Path(path),
        model=keras.models.load_model(run.model, compile=False),
        preprocessing=_preprocessing(result["preprocessing"], run.mean),
        loss=LOSSES[recipe["loss"]](**recipe["loss_arguments"]),
        class_names=tuple(result["class_names"]),
        result=result,
    )


def _preprocessing(facts: dict[str, Any], mean: Path) -> keras.layers.Layer:
    arguments = {key: value for key, value in facts.items() if key != "kind"}
    if arguments.get("mean") in MEANS:
        arguments["mean"] = np.load(mean).tolist()
    return PREPROCESSINGS[facts["kind"]](**arguments)
