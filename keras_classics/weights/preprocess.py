"""The preprocessing that published weights were trained with."""

from typing import Any

import keras

from keras_classics.weights.records import WeightsRecord, find_weights


def preprocessing(weights: str | WeightsRecord) -> keras.layers.Layer:
    """Returns the preprocessing layer of some weights, for uint8 images of any size.

    Args:
        weights: A name that `find_weights` takes, such as `"resnet50/imagenet_torchvision"`, or a
            record.

    Returns:
        A layer that takes uint8 RGB or grey images of shape (batch, height, width, 1 or 3).

    Raises:
        UserError: If there are no such weights.
    """
    record = weights if isinstance(weights, WeightsRecord) else find_weights(weights)
    return record.preprocessing()


def preprocess_input(x: Any, model: str, weights: str | None = None) -> Any:
    """Normalises images that already have the network's input size.

    Args:
        x: Array or tensor of RGB images, values 0..255, shape (..., height, width, 3).
        model: Name of the network.
        weights: Name of its weights; `"imagenet"` or its only ones if None.

    Returns:
        Normalised images, float32, of the same shape.

    Raises:
        UserError: If there are no such weights.
    """
    return preprocessing(model if weights is None else f"{model}/{weights}").normalize(x)
