"""How large the signals are that pass through a network's layers."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf


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


def sizes(
    model: keras.Model, images: np.ndarray, loss: Callable[..., tf.Tensor]
) -> tuple[dict[str, float], dict[str, float]]:
    """Returns the size of what each layer gives, and of the gradient that its kernel gets.

    A size is the root of the mean square. Batch normalisation goes by the images, as in training;
    its stored statistics stay as they are. Runs on TensorFlow.

    Args:
        model: A network without dropout.
        images: What the network takes, float, shape (count, height, width, channels).
        loss: From what the network gives to the loss, a scalar.

    Returns:
        Sizes of outputs and of gradients by the name of each convolution and dense layer, in the
        order of the network.
    """
    layers = [layer for layer in model.layers if hasattr(layer, "kernel")]
    network = keras.Model(model.input, [model.output, [layer.output for layer in layers]])
    stored = model.get_weights()
    with tf.GradientTape() as tape:
        answer, outputs = network(images, training=True)
        error = loss(answer)
    gradients = tape.gradient(error, [layer.kernel.value for layer in layers])
    model.set_weights(stored)
    names = [layer.name for layer in layers]
    return tuple(
        {name: _root_mean_square(v) for name, v in zip(names, values, strict=True)}
        for values in (outputs, gradients)
    )


def _root_mean_square(values: tf.Tensor) -> float:
    return float(np.sqrt(np.mean(np.square(values.numpy()), dtype="float64")))


def _kernel_before(layer: keras.layers.Layer) -> tuple[int, int] | None:
    before = layer.input._keras_history.operation
    return getattr(before, "kernel_size", None)
