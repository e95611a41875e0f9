"""Magnitudes of activations and gradients in a network's layers."""

from collections.abc import Callable, Sequence

import keras
import numpy as np

from keras_classics.analysis.nested import flat
from keras_classics.backend import tf


def responses(model: keras.Model, images: np.ndarray) -> dict[str, float]:
    """Returns the layer responses of He et al. 2015, section 4.2 and Figure 7.

    Args:
        model: A network with batch normalisations.
        images: Preprocessed images, float, shape (count, height, width, channels).

    Returns:
        The standard deviation of the output, in inference, of each batch normalisation after a
        convolution larger than 1x1, in the order of the network.
    """
    model = flat(model)
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


def sizes(
    model: keras.Model, images: np.ndarray, loss: "Callable[..., tf.Tensor]"
) -> tuple[dict[str, float], dict[str, float]]:
    """Returns the magnitudes of each layer's output and of its kernel's gradient.

    A magnitude is the root mean square. Batch normalisation uses the batch's statistics, as in
    training; its moving statistics do not change. Runs on TensorFlow.

    Args:
        model: A network without dropout.
        images: Preprocessed images, float, shape (count, height, width, channels).
        loss: Function from the network's output to a scalar loss.

    Returns:
        Magnitudes of outputs and of gradients for the name of each convolution and dense layer, in
        the order of the network.
    """
    model = flat(model)
    layers = [layer for layer in model.layers if hasattr(layer, "kernel")]
    network = keras.Model(model.input, [model.output, [layer.output for layer in layers]])
    stored = model.get_weights()
    with tf.GradientTape() as tape:
        result, outputs = network(images, training=True)
        error = loss(result)
    gradients = tape.gradient(error, [layer.kernel.value for layer in layers])
    model.set_weights(stored)
    names = [layer.name for layer in layers]

    def magnitudes(values: Sequence[tf.Tensor]) -> dict[str, float]:
        return {name: _root_mean_square(v) for name, v in zip(names, values, strict=True)}

    return magnitudes(outputs), magnitudes(gradients)


def _root_mean_square(values: "tf.Tensor") -> float:
    return float(np.sqrt(np.mean(np.square(values.numpy()), dtype="float64")))


def _kernel_before(layer: keras.layers.Layer) -> tuple[int, int] | None:
    before = layer.input._keras_history.operation
    return getattr(before, "kernel_size", None)
