"""Batch normalisation folded into the layers before it, for inference.

With its stored statistics a batch normalisation is a factor and a sum for each map. Right behind a
convolution, the factor goes into the kernel and the sum into the bias, and the layer is gone.
"""

from collections import Counter

import keras
import numpy as np
from keras import ops

from keras_classics.models.layers import TowerConv2D

# Their kernels end in the axis of what they put out.
FOLDABLE = (keras.layers.Conv2D, TowerConv2D, keras.layers.Dense)


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """Returns a network without the batch normalisations that other layers can take in.

    A normalisation goes where it stands right behind a convolution or a dense layer that has no
    activation of its own and feeds nothing else. One in another place stays, such as those that
    follow a sum or an activation. The result computes the same in inference; it is not for
    training.

    Args:
        model: A functional network, each layer called once; it stays as it is, and shares nothing
            with the result.

    Returns:
        A network of the same names, the folded layers with a bias.
    """
    norms = _folded_norms(model)
    gone = {norm.name for norm in norms.values()}

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        bias = {"use_bias": True} if layer.name in norms else {}
        return type(layer).from_config({**layer.get_config(), **bias})

    def call(layer: keras.layers.Layer, inputs, **options):
        return inputs if layer.name in gone else layer(inputs, **options)

    folded = keras.models.clone_model(model, clone_function=clone, call_function=call)
    sources = {layer.name: layer for layer in model.layers}
    for layer in folded.layers:
        source, norm = sources[layer.name], norms.get(layer.name)
        layer.set_weights(source.get_weights() if norm is None else _folded_weights(source, norm))
    return folded


def _folded_norms(model: keras.Model) -> dict[str, keras.layers.BatchNormalization]:
    """The normalisation to fold into a layer, by the layer's name."""
    makers = {id(layer.output): layer for layer in model.layers}
    uses = Counter(id(tensor) for layer in model.layers for tensor in _inputs(layer))
    uses.update(id(tensor) for tensor in model.outputs)
    return {
        makers[id(layer.input)].name: layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
        and layer.axis in (-1, len(layer.input.shape) - 1)
        and uses[id(layer.input)] == 1
        and _takes_in(makers[id(layer.input)])
    }


def _inputs(layer: keras.layers.Layer) -> list[keras.KerasTensor]:
    if isinstance(layer, keras.layers.InputLayer):
        return []
    return layer.input if isinstance(layer.input, list) else [layer.input]


def _takes_in(layer: keras.layers.Layer) -> bool:
    return type(layer) in FOLDABLE and layer.activation is keras.activations.linear


def _folded_weights(
    layer: keras.layers.Layer, norm: keras.layers.BatchNormalization
) -> list[np.ndarray]:
    """Kernel and bias that do what the layer and the normalisation behind it do."""
    mean, variance = _values(norm.moving_mean), _values(norm.moving_variance)
    scale = 1.0 / np.sqrt(variance + norm.epsilon)
    if norm.gamma is not None:
        scale *= _values(norm.gamma)
    bias = _values(layer.bias) if layer.use_bias else 0.0
    shift = 0.0 if norm.beta is None else _values(norm.beta)
    return [_values(layer.kernel) * scale, (bias - mean) * scale + shift]


def _values(variable: keras.Variable) -> np.ndarray:
    return ops.convert_to_numpy(variable).astype("float64")
