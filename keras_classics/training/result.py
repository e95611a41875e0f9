"""The result of a finished run: `result.json` and the files beside it, written and read here."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import keras
import numpy as np
import tensorflow as tf

from keras_classics import files
from keras_classics.data import ImageData
from keras_classics.errors import UserError, short_reason
from keras_classics.evaluation import Evaluation
from keras_classics.evaluation.metrics import average_precisions
from keras_classics.image_preprocessing import PREPROCESSINGS
from keras_classics.training import typed_json
from keras_classics.training.optimizer import copies, values
from keras_classics.training.recipe import LOSSES, MEANS, Paper, Recipe, recipe_digest
from keras_classics.training.run_directory import RunDirectory, is_run, run_folder
from keras_classics.training.strategy import from_chief, is_chief
from keras_classics.training.trainer import Trainer
from keras_classics.training.training_data import read_mean
from keras_classics.weights.formats import archives, hdf5
from keras_classics.weights.metadata import metadata_of

PROTOCOL = "single view, whole test split, after the last epoch"

# By how many bytes model.keras may grow when it is unpacked; Keras does not compress it.
UNPACKED_BYTES = 100_000_000


# The metrics that `outcome_digest` covers, also in results that have more.
DIGESTED = ("test_accuracy", "test_error", "test_loss", "train_accuracy", "train_loss")


class Metrics(TypedDict):
    """The figures of a run; accuracies, errors and others but losses from 0 to 1.

    Older runs lack those after the losses, see `evaluation.classification_metrics`. The last five
    are of images with several labels, see `evaluation.multilabel_metrics`; an accuracy is then the
    fraction of images all of whose labels are right.
    """

    test_accuracy: float
    test_error: float
    test_loss: float
    train_accuracy: float
    train_loss: float
    test_balanced_accuracy: NotRequired[float]
    test_precision_macro: NotRequired[float]
    test_recall_macro: NotRequired[float]
    test_f1_macro: NotRequired[float]
    test_precision_weighted: NotRequired[float]
    test_recall_weighted: NotRequired[float]
    test_f1_weighted: NotRequired[float]
    test_roc_auc: NotRequired[float]
    test_exact_match: NotRequired[float]
    test_precision_micro: NotRequired[float]
    test_recall_micro: NotRequired[float]
    test_f1_micro: NotRequired[float]
    test_mean_average_precision: NotRequired[float]


class ByClass(TypedDict):
    """Figures of the classes on the test split, in the order of `class_names`.

    Only images with several labels have average precisions; None for classes without images.
    """

    images: list[int]
    precision: list[float]
    recall: list[float]
    f1: list[float]
    average_precision: NotRequired[list[float | None]]


class Environment(TypedDict):
    """What a run ran on, see `environment.current_environment` and `strategy_metadata`."""

    versions: dict[str, str | None]
    command: NotRequired[str]
    commit: NotRequired[str | None]
    constraints: NotRequired[str | None]
    device: NotRequired[str]
    python: NotRequired[str]
    threads: NotRequired[dict[str, int]]
    strategy: NotRequired[str]
    workers: NotRequired[int]
    replicas: NotRequired[int]
    devices: NotRequired[list[str]]


class RunResult(TypedDict):
    """The content of `result.json`.

    Attributes:
        metrics: See `Metrics`.
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
        environment: Versions, commit, device, strategy, threads and command.
        bad_images: Number of unreadable images that were left out.
        left_out: Training images that each epoch leaves out, because they do not fill a batch.
        never_predicted: Classes that have test images, and are predicted for none.
        by_class: Precision, recall and F1 of each class. Older runs have none.
        recipe_digest: The recipe's digest, see `Recipe.digest`. Runs of before there were digests
            have none.
        outcome_sha256: Hash of the accuracies, losses and final weights, which a repetition of the
            run has too, where `result.json` has other seconds. Older runs have none.
    """

    metrics: Metrics
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
    environment: Environment
    bad_images: NotRequired[int]
    left_out: NotRequired[int]
    never_predicted: NotRequired[list[str]]
    by_class: NotRequired[ByClass]
    recipe_digest: NotRequired[str]
    outcome_sha256: NotRequired[str]


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
            **{f"test_{name}": value for name, value in evaluation.metrics.items()},
        },
        "protocol": PROTOCOL,
        "images": len(data.test),
        "train_images": len(data.train),
        "paper": recipe.to_json()["paper"],
        "recipe": recipe.name,
        "recipe_digest": recipe.digest,
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
        "left_out": len(data.train) - trainer.plan.images_per_epoch,
        "never_predicted": _never_predicted(evaluation, data.class_names),
        "by_class": _by_class(evaluation),
    }
    return json.loads(json.dumps(result))


def _never_predicted(evaluation: Evaluation, class_names: Sequence[str]) -> list[str]:
    """Returns the classes that have images, and are predicted for none."""
    metrics = evaluation.class_metrics
    missed = (metrics.labelled > 0) & (metrics.predicted == 0)
    return [class_names[label] for label in np.flatnonzero(missed)]


def _by_class(evaluation: Evaluation) -> ByClass:
    metrics = evaluation.class_metrics
    by_class: ByClass = {
        "images": metrics.labelled.tolist(),
        "precision": metrics.precision.tolist(),
        "recall": metrics.recall.tolist(),
        "f1": metrics.f1.tolist(),
    }
    if evaluation.multilabel:
        precisions = average_precisions(evaluation.labels, evaluation.probabilities)
        by_class["average_precision"] = precisions
    return by_class


def write_result(path: Path, result: RunResult) -> None:
    """Writes `result.json` atomically."""
    files.write_json(path, result)


def read_result(path: Path) -> RunResult:
    """Reads `result.json`.

    Raises:
        UserError: If it cannot be read, or holds no result.
    """
    content = files.read_json(path)
    try:
        typed_json.decode(RunResult, content)
        typed_json.decode(Paper | None, content["paper"], "paper")
        for name in ("test_accuracy", "test_error", "train_accuracy"):
            if not 0 <= (value := content["metrics"][name]) <= 1:
                raise UserError(f"metrics.{name} must be from 0 to 1. Received: {value}.")
    except UserError as error:
        raise UserError(f"{path} does not hold the result of a run: {error}") from error
    return content


def result_of_finished(
    run: RunDirectory, recipe: Recipe, strategy: tf.distribute.Strategy
) -> RunResult | None:
    """Returns the result of the chief's run on every worker, or None if it is not finished.

    Raises:
        UserError: If there is a result that cannot be read, or belongs to another recipe.
    """
    content = b""
    if is_chief(strategy) and run.result.exists():
        content = json.dumps(_result_of(run, recipe.to_json())).encode()
    content = from_chief(strategy, content)
    return json.loads(content) if content else None


def _result_of(run: RunDirectory, recipe: Mapping[str, Any]) -> RunResult:
    """Reads the result of a run, and checks that it is that of the recipe beside it."""
    result = read_result(run.result)
    if "recipe_digest" in result:
        same = result["recipe_digest"] == recipe_digest(recipe)
    else:
        fields = ("model", "model_arguments", "seed", "batch_size", "paper", "tags")
        given = json.loads(json.dumps(recipe))
        same = all(result[name] == given.get(name) for name in fields)  # type: ignore[literal-required]
    if not same:
        raise UserError(
            f"{run.result} is the result of another recipe than that of recipe.json beside it. "
            "Restore the files of one run, or choose another run directory."
        )
    return result


def outcome_digest(metrics: Mapping[str, Any], model: keras.Model) -> str:
    """Returns the SHA-256 of the metrics in `DIGESTED` and of the weights.

    The other metrics follow from the weights, and hashes of older runs are without them.
    """
    digested = {name: metrics[name] for name in DIGESTED}
    total = hashlib.sha256(json.dumps(digested, sort_keys=True).encode())
    for weight in model.get_weights():
        total.update(f"{weight.dtype} {weight.shape}".encode() + weight.tobytes())
    return total.hexdigest()


def write_final_files(trainer: Trainer, run: RunDirectory, data: ImageData) -> keras.Model:
    """Writes the trained network and its weights, and returns it."""
    with trainer.averaged():
        model = _copy_on_one_device(trainer)
    arguments, names = trainer.recipe.model_arguments, list(data.class_names)
    metadata = metadata_of(model, arguments, trainer.preprocess, names)
    hdf5.write(model, run.weights, metadata)
    with files.atomic_write(run.model) as aside:
        model.save(aside)
    return model


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
        recipe: The content of `recipe.json`.
    """

    path: Path
    model: keras.Model
    preprocessing: keras.layers.Layer
    loss: keras.losses.Loss
    class_names: tuple[str, ...]
    result: RunResult
    recipe: Mapping[str, Any]


def load_run(path: str | os.PathLike) -> FinishedRun:
    """Loads a finished run.

    Args:
        path: The run directory, or the folder of a fine-tuning, whose last stage is loaded.

    Raises:
        UserError: If it holds no finished run.
    """
    run = RunDirectory(run_folder(path))
    if not run.result.is_file() or not run.model.is_file():
        missing = run.model if run.result.is_file() else run.result
        way_out = " Repeat the command that trains it." if is_run(path) else ""
        raise UserError(f"{path} holds no finished run: there is no {missing}.{way_out}")
    recipe = run.read_recipe()
    result = _result_of(run, recipe)
    model = _load_model(run.model)
    class_names = tuple(result["class_names"])
    if model.output_shape != (None, len(class_names)):
        raise UserError(
            f"{run.model} must have an output for each of the {len(class_names)} classes of "
            f"{run.result}. Received: the shape {model.output_shape}. Restore the files of one run."
        )
    return FinishedRun(
        path=run.path,
        model=model,
        preprocessing=_preprocessing(result["preprocessing"], run),
        loss=_loss(recipe, run),
        class_names=class_names,
        result=result,
        recipe=recipe,
    )


def _load_model(path: Path) -> keras.Model:
    try:
        with archives.opened(path) as archive:
            archives.check_sizes(archive.infolist(), archive, UNPACKED_BYTES)
        return keras.models.load_model(path, compile=False)
    except Exception as error:
        # Wrong bytes lead to any exception of zipfile, HDF5 and Keras.
        reason = short_reason(error, 300)
        raise UserError(
            f"{path} is no network that Keras can load: {reason}. Restore it, or train again."
        ) from error


def _loss(recipe: Mapping[str, Any], run: RunDirectory) -> keras.losses.Loss:
    name, arguments = recipe.get("loss"), recipe.get("loss_arguments")
    if not isinstance(name, str) or name not in LOSSES or not isinstance(arguments, Mapping):
        raise UserError(f"{run.path / 'recipe.json'} does not hold a recipe: it has no loss.")
    return LOSSES[name](**typed_json.decode_arguments(LOSSES[name], arguments, "loss_arguments"))


def _preprocessing(config: Mapping[str, Any], run: RunDirectory) -> keras.layers.Layer:
    arguments = {key: value for key, value in config.items() if key != "kind"}
    kind = config.get("kind")
    if not isinstance(kind, str) or kind not in PREPROCESSINGS:
        raise UserError(f"{run.result} names no preprocessing. Received: {kind!r}.")
    arguments = typed_json.decode_arguments(PREPROCESSINGS[kind], arguments, "preprocessing")
    if arguments.get("mean") in MEANS:
        arguments["mean"] = read_mean(files.read_bytes(run.mean), run).tolist()
    try:
        return PREPROCESSINGS[kind](**arguments)
    except (TypeError, ValueError) as error:
        raise UserError(f"{run.result} holds no preprocessing: {error}") from error
