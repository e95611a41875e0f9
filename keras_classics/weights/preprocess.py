"""The images that some weights were trained on."""

from typing import Any

import keras

from keras_classics.weights.records import WeightsRecord, find_weights


def preprocessing(weights: str | WeightsRecord) -> keras.layers.Layer:
    """Returns the layer from uint8 images of any size to what a network of some weights takes.

    Args:
        weights: One of `list_weights()`, such as `"resnet50/imagenet_torchvision"`, or a record.

    Returns:
        A layer that takes uint8 images, red first, of shape (batch, height, width, 1 or 3).

    Raises:
        UserError: There are no such weights.
    """
    record = weights if isinstance(weights, WeightsRecord) else find_weights(weights)
    return record.preprocessing()


def preprocess_input(x: Any, model: str, weights: str = "imagenet") -> Any:
    """Does the arithmetic of `preprocessing` alone, on images that have their size already.

    Args:
        x: Array or tensor of images, red first, values 0..255, shape (..., height, width, 3).
        model: Name of the network.
        weights: Name of its weights.

    Returns:
        What the network takes, float32, of the same shape.

    Raises:
        UserError: There are no such weights.
    """
    return preprocessing(f"{model}/{weights}").normalize(x)
