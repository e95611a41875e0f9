"""Folds batch normalisations into the layers before them, for inference.

With its moving statistics, a batch normalisation multiplies each channel by a factor and adds an
offset. Directly after a convolution, the factor can be folded into the kernel and the offset into
the bias, and the normalisation is no longer needed.
"""

from collections import Counter

import keras
import numpy as np
from keras import ops

from keras_classics.analysis.nested import flat
from keras_classics.models.layers import TowerConv2D

# Layers whose kernel has the output channels as its last axis.
FOLDABLE = (keras.layers.Conv2D, TowerConv2D, keras.layers.Dense)


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """Returns a network with its batch normalisations folded into the layers before them.

    A normalisation is folded if it directly follows a convolution or a dense layer that has no
    activation and no other consumer. Others stay, such as those after a sum or an activation. The
    result computes the same in inference; it is not suitable for training.

    Args:
        model: A functional network; layers of nested ones are folded too. It does not change.

    Returns:
        A network with the same layer names, which shares no layers with the model; the layers with
        a folded normalisation have a bias. If a layer is called more than once, it is the network
        with nothing folded.
    """
    model = flat(model)
    norms = _folded_norms(model)
    folded_norms = {norm.name for norm in norms.values()}

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        bias = {"use_bias": True} if layer.name in norms else {}
        return type(layer).from_config({**layer.get_config(), **bias})

    calls: Counter[str] = Counter()

    def call(layer: keras.layers.Layer, *inputs, **options):
        calls[layer.name] += 1
        return inputs[0] if layer.name in folded_norms else layer(*inputs, **options)

    folded = keras.models.clone_model(model, clone_function=clone, call_function=call)
    if any(calls[name] > 1 for name in {*norms, *folded_norms}):
        return model
    sources = {layer.name: layer for layer in model.layers}
    for layer in folded.layers:
        source, norm = sources[layer.name], norms.get(layer.name)
        layer.set_weights(source.get_weights() if norm is None else _folded_weights(source, norm))
    return folded


def _folded_norms(model: keras.Model) -> dict[str, keras.layers.BatchNormalization]:
    """Returns the normalisation to fold into each layer, by the layer's name."""
    producers = {id(layer.output): layer for layer in model.layers}
    uses = Counter(id(tensor) for layer in model.layers for tensor in _inputs(layer))
    uses.update(id(tensor) for tensor in model.outputs)
    return {
        producers[id(layer.input)].name: layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
        and layer.axis in (-1, len(layer.input.shape) - 1)
        and uses[id(layer.input)] == 1
        and _is_foldable(producers.get(id(layer.input)))
    }


def _inputs(layer: keras.layers.Layer) -> list[keras.KerasTensor]:
    if isinstance(layer, keras.layers.InputLayer):
        return []
    return layer.input if isinstance(layer.input, list) else [layer.input]


def _is_foldable(layer: keras.layers.Layer | None) -> bool:
    # None: another operation, such as a sum written as x + y.
    return type(layer) in FOLDABLE and layer.activation is keras.activations.linear


def _folded_weights(
    layer: keras.layers.Layer, norm: keras.layers.BatchNormalization
) -> list[np.ndarray]:
    """Returns the kernel and bias that combine a layer and the normalisation after it."""
    mean, variance = _values(norm.moving_mean), _values(norm.moving_variance)
    scale = 1.0 / np.sqrt(variance + norm.epsilon)
    if norm.gamma is not None:
        scale *= _values(norm.gamma)
    bias = _values(layer.bias) if layer.use_bias else 0.0
    shift = 0.0 if norm.beta is None else _values(norm.beta)
    return [_values(layer.kernel) * scale, (bias - mean) * scale + shift]


def _values(variable: keras.Variable) -> np.ndarray:
    return ops.convert_to_numpy(variable).astype("float64")
