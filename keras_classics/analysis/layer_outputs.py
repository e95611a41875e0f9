"""A network up to some of its layers, for images of another size or with average pooling too."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_classics.analysis import activations
from keras_classics.analysis.nested import flat
from keras_classics.errors import UserError, unknown_name

# Layer options that maximum and average pooling share.
POOLING_OPTIONS = ("pool_size", "strides", "padding", "data_format")


def layer_outputs(
    model: keras.Model,
    layers: Sequence[str],
    *,
    input_shape: tuple[int | None, ...] | None = None,
    average_pooling: bool = False,
) -> keras.Model:
    """Returns a network from images to the outputs of some of its layers.

    It shares its layers, and so its weights, with `model`; those of a network that contains others
    are copied.

    Args:
        model: A functional or sequential network.
        layers: Names of layers, also of nested networks.
        input_shape: Shape (height, width, channels) of other images than the network's own. Dense
            layers need their own size.
        average_pooling: Whether average pooling takes the place of maximum pooling, as Gatys et
            al. 2016 recommend for images that are optimised.

    Returns:
        A model with a list of outputs, in the order of `layers`; for one layer its output alone.

    Raises:
        UserError: If there is no such layer, or it does not take images of that shape.
    """
    model = flat(model)
    names = {layer.name for layer in model.layers}
    for name in layers:
        if name not in names:
            raise unknown_name(f"layer of {model.name}", name, names)
    part = keras.Model(model.input, [model.get_layer(name).output for name in layers])
    if not average_pooling and input_shape in (None, tuple(model.input_shape[1:])):
        return part

    def same_or_average(layer: keras.layers.Layer) -> keras.layers.Layer:
        if average_pooling and isinstance(layer, keras.layers.MaxPooling2D):
            return _averaging(layer)
        return layer

    image = keras.Input(input_shape or model.input_shape[1:])
    try:
        return keras.models.clone_model(part, image, clone_function=same_or_average)
    except ValueError as error:
        raise UserError(
            f"{layers[-1]!r} of {model.name} takes images of {model.input_shape[1:]}. "
            f"Received: {tuple(input_shape or ())}. Resize the images, or build the network for "
            "their size: input_shape=..."
        ) from error


def before_activation(model: keras.Model, layer: str | None = None) -> keras.Model:
    """Returns a network up to a layer, without this layer's activation function.

    So the outputs of a last layer are the scores, in which no class limits another (Simonyan et al.
    2014, section 2), and a unit after a ReLU has a gradient where it is silent. With `softmin` the
    scores are the negative distances.

    Args:
        model: A functional or sequential network, with which the result shares its weights.
        layer: Name of the layer; the last one if None.

    Raises:
        UserError: If there is no such layer.
    """
    model = flat(model)
    name = model.outputs[0]._keras_history.operation.name if layer is None else layer
    (output,) = layer_outputs(model, [name]).outputs
    found = model.get_layer(name)
    if getattr(found, "activation", None) not in (None, keras.activations.linear):
        output = _WithoutActivation(found)(found.input)
    return keras.Model(model.input, output)


def _averaging(layer: keras.layers.MaxPooling2D) -> keras.layers.AveragePooling2D:
    config = layer.get_config()
    options = {name: config[name] for name in POOLING_OPTIONS}
    return keras.layers.AveragePooling2D(**options, dtype=layer.dtype_policy, name=layer.name)


class _WithoutActivation(keras.layers.Layer):
    """Calls a layer of another network without its activation function."""

    def __init__(self, layer: keras.layers.Layer):
        super().__init__(name=f"{layer.name}_before_activation", dtype=layer.dtype_policy)
        self.layer = layer

    def call(self, inputs: Any) -> Any:
        outputs = activations.before_activation(self.layer, inputs)
        return -outputs if activations.activation_name(self.layer) == "softmin" else outputs
