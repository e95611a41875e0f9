"""ImageNet's 1,000 classes, in the order of all published weights: by their WordNet numbers."""

from pathlib import Path
from typing import Any

import numpy as np

from keras_classics.errors import UserError

_LINES = (Path(__file__).parent / "imagenet_classes.txt").read_text().splitlines()

# Number in WordNet, such as n01440764, and name, such as tench.
IDS, CLASSES = zip(*(line.split(" ", 1) for line in _LINES), strict=True)


def decode_predictions(predictions: Any, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """Names the best classes of each image.

    Args:
        predictions: Probabilities or scores, shape (images, 1000).
        top: How many classes to name.

    Returns:
        For each image `top` of (number in WordNet, name, probability), the best first.

    Raises:
        UserError: The predictions are not of ImageNet's classes.
    """
    predictions = np.asarray(predictions)
    if predictions.ndim != 2 or predictions.shape[1] != len(CLASSES):
        raise UserError(
            "decode_predictions takes predictions of shape (images, 1000), for ImageNet's classes. "
            f"Received: {predictions.shape}."
        )
    best = np.argsort(-predictions, axis=1, kind="stable")[:, :top]
    return [
        [(IDS[i], CLASSES[i], float(row[i])) for i in places]
        for row, places in zip(predictions, best, strict=True)
    ]
