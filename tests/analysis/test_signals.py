"""Magnitudes of activations and gradients against values computed by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_classics.analysis import signals


def scalar_chain() -> keras.Model:
    """Two layers of one unit each: 2 x - 1, normalised, then 3 x + 0.5."""
    image = keras.Input((1,))
    x = keras.layers.Dense(1, name="first")(image)
    x = keras.layers.BatchNormalization(epsilon=0.0, name="bn")(x)
    model = keras.Model(image, keras.layers.Dense(1, name="second")(x))
    model.get_layer("first").set_weights([np.float32([[2.0]]), np.float32([-1.0])])
    model.get_layer("second").set_weights([np.float32([[3.0]]), np.float32([0.5])])
    return model


def test_sizes_of_outputs_and_gradients():
    model = scalar_chain()
    before = model.get_weights()
    # 2 x - 1 is 1, 5: mean 3, deviation 2, so -1 and 1 behind the normalisation, -2.5 and 3.5 then.
    images = np.float32([[1.0], [3.0]])
    outputs, gradients = signals.sizes(model, images, lambda outputs: tf.reduce_sum(outputs[1]))
    assert outputs == pytest.approx({"first": 13**0.5, "second": ((2.5**2 + 3.5**2) / 2) ** 0.5})
    # What the normalisation gives does not depend on the first kernel; the second's gradient is 1.
    assert gradients == pytest.approx({"first": 0, "second": 1}, abs=1e-5)
    for found, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, kept)


def test_sizes_of_the_gradient_of_a_convolution():
    image = keras.Input((1, 1, 2))
    model = keras.Model(image, keras.layers.Conv2D(1, 1, name="conv")(image))
    images = np.float32([[[[3.0, 1.0]]], [[[1.0, 5.0]]]])
    _, gradients = signals.sizes(model, images, lambda outputs: tf.reduce_mean(outputs))
    # The kernel's gradient is the mean image, 2 and 3.
    assert gradients == pytest.approx({"conv": (13 / 2) ** 0.5})
