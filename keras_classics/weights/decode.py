"""From probabilities to the names of classes."""

from typing import Any

import numpy as np

from keras_classics.errors import UserError
from keras_classics.weights.imagenet import CLASSES, IDS
from keras_classics.weights.records import WeightsRecord, find_weights, list_weights


def decode_predictions(
    predictions: Any, top: int = 5, weights: str | WeightsRecord | None = None
) -> list[list[tuple[str, str, float]]]:
    """Returns the most probable classes of each image.

    Args:
        predictions: Probabilities or scores, shape (images, classes).
        top: Number of classes to return.
        weights: The weights that they come from: a name that `find_weights` takes, such as
            `"lenet5/digits"`, or a record. None stands for any weights of ImageNet.

    Returns:
        For each image a list of `top` tuples (ID, name, probability), best first. The ID is the
        WordNet ID of ImageNet's classes, and the number of the class elsewhere.

    Raises:
        UserError: If there are no such weights, or the predictions have another number of classes.
    """
    labels = CLASSES if weights is None else _record(weights).labels
    ids = IDS if labels == CLASSES else tuple(map(str, range(len(labels))))
    predictions = np.asarray(predictions)
    if predictions.ndim != 2 or predictions.shape[1] != len(labels):
        raise UserError(
            f"decode_predictions needs predictions of shape (images, {len(labels)}), for the "
            f"classes of {'ImageNet' if weights is None else _record(weights).full_name}. "
            f"Received: {predictions.shape}.{_way_out(predictions.shape[-1:])}"
        )
    best = np.argsort(-predictions, axis=1, kind="stable")[:, :top]
    return [
        [(ids[i], labels[i], float(row[i])) for i in indices]
        for row, indices in zip(predictions, best, strict=True)
    ]


def _record(weights: str | WeightsRecord) -> WeightsRecord:
    return weights if isinstance(weights, WeightsRecord) else find_weights(weights)


def _way_out(classes: tuple[int, ...]) -> str:
    """Names the known weights of that number of classes, other than ImageNet's."""
    records = map(find_weights, list_weights())
    fitting = [r.full_name for r in records if r.labels != CLASSES and classes == (len(r.labels),)]
    return f" Name their weights: weights={' or '.join(map(repr, fitting))}." if fitting else ""
