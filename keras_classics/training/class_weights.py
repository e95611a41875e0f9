"""Weights of classes in the loss, for classes with unequal numbers of images."""

from collections.abc import Mapping, Sequence

import numpy as np

from keras_classics.errors import UserError, unknown_name

BALANCED = "balanced"
# The largest weight: far beyond any use, and sums of such losses are finite in float32.
MOST = 1e9

ClassWeights = str | Mapping[str, float] | Sequence[float] | None


def check_class_weights(given: ClassWeights) -> None:
    """Checks what can be checked without the data set.

    Raises:
        UserError: If there is another word than `"balanced"`, or a number is out of range.
    """
    if isinstance(given, str):
        if given != BALANCED:
            raise UserError(
                "class_weights must be 'balanced', a list of a number for each class, or a mapping "
                f"from classes to numbers. Received: {given!r}."
            )
        return
    numbers = given.values() if isinstance(given, Mapping) else given or ()
    if wrong := [number for number in numbers if not 0 <= number <= MOST]:
        raise UserError(f"class_weights must be from 0 to {MOST:g}. Received: {wrong[0]:g}.")


def weights_of_classes(
    given: ClassWeights, labels: np.ndarray, class_names: Sequence[str]
) -> np.ndarray | None:
    """Returns the weight of each class in the loss, float32, shape (classes,), or None for None.

    Args:
        given: `"balanced"`: images / (classes * images of the class), as scikit-learn has it; only
            classes that have images count. A list: the weight of each class. A mapping: weights by
            class name, or by label where no class has that name; other classes have weight 1.
        labels: Labels of the training images.
        class_names: Name of each class.

    Raises:
        UserError: If a class is unknown or named twice, the list has another length, or no training
            image has a weight above 0.
    """
    if given is None:
        return None
    images = np.bincount(labels, minlength=len(class_names))
    if given == BALANCED:
        weights = len(labels) / (np.count_nonzero(images) * np.maximum(images, 1))
        weights = np.where(images > 0, weights, 1.0)
    elif isinstance(given, Mapping):
        weights = _by_class(given, class_names)
    elif len(given) != len(class_names):
        raise UserError(
            f"class_weights must have a number for each of the {len(class_names)} classes. "
            f"Received: {len(given)} numbers."
        )
    else:
        weights = np.array(given, "float64")
    if not weights[images > 0].any():
        raise UserError(
            "class_weights must be above 0 for a class that has training images. Received: 0 for "
            "all of them."
        )
    return weights.astype("float32")


def _by_class(given: Mapping[str, float], class_names: Sequence[str]) -> np.ndarray:
    labels = {str(label): label for label in range(len(class_names))}
    labels |= {name: label for label, name in enumerate(class_names)}
    weights, named = np.ones(len(class_names)), {}
    for key, weight in given.items():
        if str(key) not in labels:
            raise unknown_name("class in class_weights", str(key), class_names)
        label = labels[str(key)]
        if label in named:
            raise UserError(
                f"class_weights must name each class once. Received: {named[label]!r} and {key!r} "
                f"for {class_names[label]}."
            )
        named[label], weights[label] = key, weight
    return weights
