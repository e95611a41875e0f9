"""ImageNet's 1,000 classes, sorted by WordNet ID, as in all published weights."""

from pathlib import Path
from typing import Any

import numpy as np

from keras_classics.errors import UserError

_LINES = (Path(__file__).parent / "imagenet_classes.txt").read_text().splitlines()

# WordNet IDs, such as n01440764, and names, such as tench.
IDS, CLASSES = zip(*(line.split(" ", 1) for line in _LINES), strict=True)


def decode_predictions(predictions: Any, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """Returns the most probable ImageNet classes of each image.

    Args:
        predictions: Probabilities or scores, shape (images, 1000).
        top: Number of classes to return.

    Returns:
        For each image a list of `top` tuples (WordNet ID, name, probability), best first.

    Raises:
        UserError: If the predictions do not have ImageNet's 1,000 classes.
    """
    predictions = np.asarray(predictions)
    if predictions.ndim != 2 or predictions.shape[1] != len(CLASSES):
        raise UserError(
            "decode_predictions needs predictions of shape (images, 1000), for ImageNet's classes. "
            f"Received: {predictions.shape}."
        )
    best = np.argsort(-predictions, axis=1, kind="stable")[:, :top]
    return [
        [(IDS[i], CLASSES[i], float(row[i])) for i in indices]
        for row, indices in zip(predictions, best, strict=True)
    ]
