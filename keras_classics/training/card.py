"""The model card of a run: `README.md` in its directory, from its result and its recipe."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras

from keras_classics.errors import UserError
from keras_classics.models.citations import citation
from keras_classics.training.recipe import Recipe
from keras_classics.training.result import RunResult
from keras_classics.training.run_directory import RunDirectory
from keras_classics.weights.card import Facts, Measured, data_name, weights_name, write_card
from keras_classics.weights.metadata import preprocessing_of


def write_run_card(
    run: RunDirectory, recipe: Recipe, preprocess: keras.layers.Layer, result: RunResult
) -> None:
    """Writes the card of a run whose result is known.

    Args:
        run: The run directory.
        recipe: The recipe of the run.
        preprocess: The layer from uint8 images to what the network takes.
        result: The content of `result.json`.
    """
    data = data_name(result["dataset"])
    protocol = f"{result['images']:,} images, {result['protocol']}"
    facts = Facts(
        name=result["model"],
        network=result["model"],
        details={
            "recipe": result["recipe"],
            "arguments": _own_arguments(recipe),
            "started from": _initial_weights(recipe),
            "training images": result["train_images"],
            "epochs": result["epochs"],
            "steps": result["steps"],
            "batch size": result["batch_size"],
            "seed": result["seed"],
            "trainable parameters": result["parameters"],
            "commit of keras-classics": result["environment"].get("commit"),
        },
        trained_on=data,
        measured=[Measured(_accuracies(result), protocol, data)],
        preprocessing=preprocessing_of(preprocess),
        class_names=result["class_names"],
        citation=citation(recipe.model, recipe.model_arguments),
    )
    write_card(run.card, facts)


def _accuracies(result: RunResult) -> dict[str, float]:
    """Returns the accuracy; of images with any number of labels their own figures."""
    names = {"mean_average_precision": "mean average precision", "exact_match": "exact match"}
    metrics: Mapping[str, Any] = result["metrics"]
    own = {words: metrics.get(f"test_{name}") for name, words in names.items()}
    known = {words: value for words, value in own.items() if value is not None}
    return known or {"accuracy": metrics["test_accuracy"]}


def _own_arguments(recipe: Recipe) -> dict | None:
    return {k: v for k, v in recipe.model_arguments.items() if k != "weights"} or None


def _initial_weights(recipe: Recipe) -> str | None:
    """Returns the weights that a run began with; for those of another run, also that run's."""
    named = recipe.model_arguments.get("weights")
    if named is not None:
        return weights_name(recipe.model, named)
    if recipe.initial_weights is None:
        return None
    path = Path(recipe.initial_weights)
    said, before = f"{path.parent.name}/{path.name}", None
    with suppress(UserError):  # The other run may be gone, and nothing is known of it then.
        arguments = RunDirectory(path.parent).read_recipe().get("model_arguments")
        before = arguments.get("weights") if isinstance(arguments, Mapping) else None
    if before is None:
        return said
    return f"{said}, which started from {weights_name(recipe.model, str(before))}"
