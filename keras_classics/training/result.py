"""The result of a finished run: `result.json` and the files beside it, written and read here."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import keras
import numpy as np
import tensorflow as tf

from keras_classics import files
from keras_classics.analysis import plots
from keras_classics.data import ImageData
from keras_classics.errors import UserError
from keras_classics.evaluation import Evaluation
from keras_classics.image_preprocessing import PREPROCESSINGS
from keras_classics.training.optimizer import copies, values
from keras_classics.training.recipe import LOSSES, MEANS
from keras_classics.training.run_directory import RunDirectory
from keras_classics.training.strategy import from_chief
from keras_classics.training.trainer import Trainer
from keras_classics.weights import hdf5
from keras_classics.weights.metadata import metadata_of

PROTOCOL = "single view, whole test split, after the last epoch"


class RunResult(TypedDict):
    """The content of `result.json`.

    Attributes:
        metrics: `test_accuracy`, `test_error`, `test_loss`, `train_accuracy` and `train_loss`.
        protocol: How the network was evaluated.
        images: Number of test images.
        train_images: Number of training images.
        paper: The paper's figure, see `Paper`, or None.
        recipe: Name of the recipe.
        tags: The recipe's tags.
        model: Name of the network.
        model_arguments: Arguments of its builder.
        parameters: Number of trainable parameters.
        dataset: Name of the data set.
        class_names: Name of each class.
        preprocessing: `kind`, and the arguments of the layer.
        seed: Seed of the run.
        epochs: Epochs of the run, an incomplete one included.
        steps: Steps of the run.
        batch_size: Global batch size.
        seconds: Time of training and evaluation.
        images_per_second: Training images over that time.
        environment: Versions, commit, device and command.
        bad_images: Number of unreadable images that were left out.
    """

    metrics: dict[str, float]
    protocol: str
    images: int
    train_images: int
    paper: dict[str, Any] | None
    recipe: str
    tags: dict[str, str]
    model: str
    model_arguments: dict[str, Any]
    parameters: int
    dataset: str
    class_names: list[str]
    preprocessing: dict[str, Any]
    seed: int
    epochs: int
    steps: int
    batch_size: int
    seconds: float
    images_per_second: float
    environment: dict[str, Any]
    bad_images: int


def make_result(
    trainer: Trainer,
    data: ImageData,
    evaluation: Evaluation,
    environment: dict[str, Any],
    bad_images: int,
) -> RunResult:
    """Returns the result of a run that has ended, as it will be read from its file."""
    recipe, history = trainer.recipe, trainer.progress.history
    seconds = sum(row["seconds"] for row in history)
    result: RunResult = {
        "metrics": {
            "test_accuracy": evaluation.accuracy,
            "test_error": 1 - evaluation.accuracy,
            "test_loss": evaluation.loss,
            "train_accuracy": history[-1]["train_accuracy"],
            "train_loss": history[-1]["train_loss"],
        },
        "protocol": PROTOCOL,
        "images": len(data.test),
        "train_images": len(data.train),
        "paper": recipe.to_json()["paper"],
        "recipe": recipe.name,
        "tags": dict(recipe.tags),
        "model": recipe.model,
        "model_arguments": dict(recipe.model_arguments),
        "parameters": int(sum(np.prod(v.shape) for v in trainer.model.trainable_variables)),
        "dataset": data.name,
        "class_names": list(data.class_names),
        "preprocessing": {"kind": recipe.preprocessing, **recipe.preprocessing_arguments},
        "seed": recipe.seed,
        "epochs": trainer.plan.epochs,
        "steps": history[-1]["step"],
        "batch_size": recipe.batch_size,
        "seconds": seconds,
        "images_per_second": history[-1]["step"] * recipe.batch_size / seconds,
        "environment": environment,
        "bad_images": bad_images,
    }
    return json.loads(json.dumps(result))


def write_result(path: Path, result: RunResult) -> None:
    """Writes `result.json` atomically."""
    files.write_json(path, result)


def read_result(path: Path) -> RunResult:
    """Reads `result.json`."""
    return json.loads(path.read_bytes())


def result_of_finished(run: RunDirectory, strategy: tf.distribute.Strategy) -> RunResult | None:
    """Returns the result of the chief's run on every worker, or None if it is not finished."""
    content = run.result.read_bytes() if run.result.exists() else b""
    content = from_chief(strategy, content)
    return json.loads(content) if content else None


def write_final_files(
    trainer: Trainer, run: RunDirectory, data: ImageData, evaluation: Evaluation
) -> None:
    """Writes the trained network, its weights and the plots."""
    with trainer.averaged():
        model = _copy_on_one_device(trainer)
    recipe = trainer.recipe
    metadata = metadata_of(
        model, recipe.model_arguments, trainer.preprocess, list(data.class_names)
    )
    hdf5.write(model, run.weights, metadata)
    with files.atomic_write(run.model) as aside:
        model.save(aside)
    plots.curves(trainer.progress.history, run.plots / "curves.png")
    plots.confusion(evaluation.confusion, data.class_names, run.plots / "confusion.png")
    plots.mistakes(
        data.test.image,
        evaluation.labels,
        evaluation.probabilities,
        data.class_names,
        run.plots / "mistakes.png",
    )


def _copy_on_one_device(trainer: Trainer) -> keras.Model:
    """Copies the network of one device: to save one of several may involve all workers."""
    model = keras.models.clone_model(trainer.model)
    for variable, trained in zip(model.variables, values(trainer.model.variables), strict=True):
        variable.assign(copies(trained)[0].numpy())
    return model


@dataclass(frozen=True)
class FinishedRun:
    """A trained network and everything needed to use it.

    Attributes:
        path: The run directory.
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
    result: RunResult


def load_run(path: str | os.PathLike) -> FinishedRun:
    """Loads a finished run.

    Args:
        path: The run directory.

    Raises:
        UserError: If it holds no finished run.
    """
    run = RunDirectory(path)
    if not run.result.is_file() or not run.model.is_file():
        missing = run.model if run.result.is_file() else run.result
        raise UserError(f"{path} holds no finished run: there is no {missing}.")
    result = read_result(run.result)
    recipe = run.read_recipe()
    return FinishedRun(
        path=Path(path),
        model=keras.models.load_model(run.model, compile=False),
        preprocessing=_preprocessing(result["preprocessing"], run.mean),
        loss=LOSSES[recipe["loss"]](**recipe["loss_arguments"]),
        class_names=tuple(result["class_names"]),
        result=result,
    )


def _preprocessing(config: dict[str, Any], mean: Path) -> keras.layers.Layer:
    arguments = {key: value for key, value in config.items() if key != "kind"}
    if arguments.get("mean") in MEANS:
        arguments["mean"] = np.load(mean).tolist()
    return PREPROCESSINGS[config["kind"]](**arguments)
