"""Runs all checks on a network and its data."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_classics.diagnosis.case import Case, make_case
from keras_classics.diagnosis.checks import CHECKS, Check
from keras_classics.diagnosis.findings import Diagnosis
from keras_classics.diagnosis.graph import unchanged
from keras_classics.training.recipe import Recipe
from keras_classics.weights.records import WeightsRecord


def diagnose(
    model: keras.Model,
    data: Any,
    *,
    preprocessing: Callable[[Any], Any] | None = None,
    weights: str | WeightsRecord | None = None,
    recipe: Recipe | None = None,
    loss: Any = None,
    optimizer: Any = None,
    history: Any = None,
    seed: int = 0,
) -> Diagnosis:
    """Looks for what keeps a network from learning, in its data, its weights and how it is trained.

    Each check measures something on a sample of at most 256 training images, in seconds on two
    cores. The network, its optimizer and the data stay as they are. Runs on TensorFlow.

    Args:
        model: A functional network with one input and one output of shape (batch, classes), also
            one with nested networks.
        data: What it is trained on: `(x_train, y_train)` or `(x_train, y_train, x_val, y_val)` as
            `model.fit` takes them, an `ImageData`, or the name of a data set, see `data.load`.
        preprocessing: Function from a batch of images of `data` to what the network takes. By
            default that of `recipe` or `weights`, and for arrays none.
        weights: The published weights that the network started from, if any: a record or a name
            that `find_weights` takes.
        recipe: Recipe of the training, if it is one of this package's.
        loss: Loss, as `model.compile` takes it. By default the compiled one, or the cross-entropy
            that fits the last activation.
        optimizer: Optimizer, as `model.compile` takes it. By default the compiled one.
        history: What training logged so far: what `model.fit` returned, or a mapping an epoch.
        seed: Determines which images are sampled.

    Returns:
        The findings. Of a network and data without faults, there are none.

    Raises:
        UserError: If network and data do not fit together.
    """
    with unchanged(model):
        case = make_case(
            model,
            data,
            preprocessing=preprocessing,
            weights=weights,
            recipe=recipe,
            loss=loss,
            optimizer=optimizer,
            history=history,
            seed=seed,
        )
        return examine(case)


def examine(case: Case, checks: Sequence[Check] = CHECKS) -> Diagnosis:
    """Runs checks on a case, by default all."""
    with unchanged(case.model):
        findings = tuple(finding for check in checks for finding in check(case))
    return Diagnosis(findings, tuple(check.__name__ for check in checks), case)
