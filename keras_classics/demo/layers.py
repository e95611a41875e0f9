"""What the site shows of a network's inside: maps of its first convolution, and of a class."""

from typing import Any

import keras
from keras import ops

from keras_classics.analysis import activations
from keras_classics.analysis.explain import Network
from keras_classics.analysis.nested import flat
from keras_classics.errors import UserError
from keras_classics.models.layers import TableConv2D

# Layers that may follow a convolution and belong to it.
ENDINGS = (keras.layers.BatchNormalization, keras.layers.Activation, keras.layers.ReLU)


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


class ClassMap(keras.Model):
    """A network's class map: where a picture speaks for a class, and where against it.

    Of an image and a class, the maps of the last layer with positions times the gradient of the
    score of the class, summed over channels: HiResCAM (Draelos and Carin 2020). Dense layers weigh
    each position on its own, which Grad-CAM averages away. Behind global average pooling and one
    dense layer it is the class activation map of Zhou et al. 2016.

    Args:
        model: A network.

    Shapes: images (batch, height, width, channels) and labels (batch,) to (batch, rows, columns,
    1).

    Raises:
        UserError: If no layer has positions.
    """

    def __init__(self, model: keras.Model):
        super().__init__(name="class_map")
        self.network = model
        self._explained = _ForExport(model)
        self.layer_name = self._explained.layer.name
        # It has no variables besides those of the network.
        self.built = True

    def call(self, inputs: tuple[Any, Any]) -> Any:
        images, labels = inputs
        wanted = ops.one_hot(labels, self._explained.classes)
        maps, gradients = self._explained.forwards_and_back(images, wanted)
        return ops.sum(gradients * maps, axis=-1, keepdims=True)


class _ForExport(Network):
    """A network whose gradients LiteRT can compute: it has none of ReLU, but those of maximum."""

    def run(self, operation: keras.Operation, *arguments: Any, **options: Any) -> Any:
        if activations.is_relu(operation):
            return ops.maximum(activations.before_activation(operation, *arguments, **options), 0)
        return super().run(operation, *arguments, **options)


def _is_convolution(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.Conv2D | TableConv2D)
