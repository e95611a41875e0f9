"""How large the signals are that pass through a network's layers."""

import keras
import numpy as np


def responses(model: keras.Model, images: np.ndarray) -> dict[str, float]:
    """Returns how much each normalised layer answers: He et al. 2015, section 4.2 and Figure 7.

    Args:
        model: A network with batch normalisations.
        images: What the network takes, float, shape (count, height, width, channels).

    Returns:
        For each batch normalisation that follows a convolution of more than one pixel, in the
        order of the network, the standard deviation of what it gives, in inference.
    """
    layers = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization) and _kernel_before(layer) != (1, 1)
    ]
    outputs = keras.Model(model.input, [layer.output for layer in layers])(images, training=False)
    return {
        layer.name: float(np.std(keras.ops.convert_to_numpy(output)))
        for layer, output in zip(layers, outputs, strict=True)
    }


def _kernel_before(layer: keras.layers.Layer) -> tuple[int, int] | None:
    before = layer.input._keras_history.operation
    return getattr(before, "kernel_size", None)
