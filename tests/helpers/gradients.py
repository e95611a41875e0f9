"""Gradients of layers against differences of a reference."""

import keras
import numpy as np
import tensorflow as tf


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype("float32")


def assert_gradient(layer: keras.layers.Layer, x: np.ndarray, reference) -> None:
    """Compares the gradient of sum(c * layer(x)), c random, with differences of `reference`.

    `reference` computes the layer in float64 from the input and the layer's weights.
    """
    variables = [v.value for v in layer.trainable_variables]
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs)
        weighting = normal(*outputs.shape)
        total = tf.reduce_sum(outputs * weighting)
    gradients = tape.gradient(total, [inputs, *variables])
    values = [x.astype("float64"), *(v.numpy().astype("float64") for v in variables)]
    for which, gradient in enumerate(gradients):
        for place in list(np.ndindex(values[which].shape))[:: max(1, gradient.numpy().size // 7)]:
            sides = []
            for step in (1e-5, -1e-5):
                moved = [value.copy() for value in values]
                moved[which][place] += step
                sides.append(np.sum(reference(*moved) * weighting))
            slope = (sides[0] - sides[1]) / 2e-5
            np.testing.assert_allclose(gradient.numpy()[place], slope, rtol=2e-3, atol=2e-4)
