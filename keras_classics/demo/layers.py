"""What the site shows of a network's inside: maps of its first convolution, and of its classes."""

from typing import Any

import keras
import numpy as np

from keras_classics.analysis.nested import flat
from keras_classics.errors import UserError
from keras_classics.models.layers import TableConv2D

# Layers that may follow a convolution and belong to it.
ENDINGS = (keras.layers.BatchNormalization, keras.layers.Activation, keras.layers.ReLU)

# Layers that may follow the last dense layer.
AFTER = (keras.layers.Activation, keras.layers.Softmax)


def first_layer(model: keras.Model) -> keras.Model:
    """Returns a network up to its first convolution and the normalisation and activation after it.

    Args:
        model: A network with a convolution.

    Raises:
        UserError: If the network has no convolution.
    """
    model = flat(model)
    layers = iter(model.layers)
    last = next((layer for layer in layers if _is_convolution(layer)), None)
    if last is None:
        raise UserError(f"The demo shows the maps of the first convolution. {model.name} has none.")
    for layer in layers:
        if not isinstance(layer, ENDINGS):
            break
        last = layer
    return keras.Model(model.input, last.output, name=last.name)


def class_map(model: keras.Model) -> keras.Model | None:
    """Returns a network that gives the class activation maps of another.

    The map of a class is the sum of the last feature maps, weighted as the last layer weights their
    averages for that class (Zhou et al. 2016, Learning Deep Features for Discriminative
    Localization): where it is large, the picture speaks for the class.

    Args:
        model: A network.

    Returns:
        A network of the same images to maps of shape (batch, height, width, classes); None if the
        network does not end in global average pooling and one dense layer.
    """
    model = flat(model)
    dense, averages = _before(model.output, AFTER)
    pooling, features = _before(averages, keras.layers.Dropout)
    if not isinstance(dense, keras.layers.Dense):
        return None
    if not isinstance(pooling, keras.layers.GlobalAveragePooling2D):
        return None
    weights = keras.ops.convert_to_numpy(dense.kernel).astype("float32")
    weighted = keras.layers.Conv2D(weights.shape[-1], 1, use_bias=False, dtype="float32")
    maps = keras.Model(model.input, weighted(features), name="class_map")
    weighted.set_weights([weights[np.newaxis, np.newaxis]])
    return maps


def _before(tensor: Any, skipped: Any) -> tuple[keras.layers.Layer, Any]:
    """Returns the layer that made a tensor, before some kinds of layers, and its first input."""
    while True:
        layer, node, _ = tensor._keras_history
        inputs = layer._inbound_nodes[node].input_tensors
        if not inputs or not isinstance(layer, skipped):
            return layer, inputs[0] if inputs else tensor
        tensor = inputs[0]


def _is_convolution(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.Conv2D | TableConv2D)
