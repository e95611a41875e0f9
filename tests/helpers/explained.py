"""Small classifiers to explain, in all the forms in which Keras has them.

    KERAS_BACKEND=jax python -m tests.helpers.explained FILE

writes what every method says, for the tests of Keras's other backends.
"""

import sys

import keras
import numpy as np

from keras_classics.analysis import explain
from tests.helpers.golden import fill

IMAGES = np.random.default_rng(0).uniform(-0.1, 1.175, (3, 9, 8, 3)).astype("float32")


def convolutions(image, relu="layer"):
    """Two convolutions with ReLUs that are written in one of the ways in which Keras has them."""
    x = image
    for number in "12":
        fused = {"activation": "relu"} if relu == "fused" else {}
        x = keras.layers.Conv2D(4, 3, name=f"conv{number}", **fused)(x)
        if relu == "layer":
            x = keras.layers.ReLU(name=f"relu{number}")(x)
        elif relu == "activation":
            x = keras.layers.Activation("relu", name=f"relu{number}")(x)
        elif relu == "operation":
            x = keras.ops.relu(x)
    return x


def network(head="pooled", end="fused", relu="layer", sides=(9, 8)) -> keras.Model:
    """A small classifier with a linear head; equal weights whatever the form."""
    image = keras.Input((*sides, 3), name="image")
    x = convolutions(image, relu)
    x = keras.layers.GlobalAveragePooling2D()(x) if head == "pooled" else keras.layers.Flatten()(x)
    fused = {"fused": "softmax", "fused sigmoid": "sigmoid"}.get(end)
    x = keras.layers.Dense(4, activation=fused, name="top")(x)
    if end in ("softmax", "sigmoid"):
        x = keras.layers.Activation(end, dtype="float32")(x)
    elif end == "layer":
        x = keras.layers.Softmax()(x)
    elif end == "operation":
        x = keras.ops.softmax(x)
    elif end == "cast":
        x = keras.layers.Activation("linear")(keras.layers.Softmax()(x))
    model = keras.Model(image, x, name="small")
    fill(model)
    return model


def explanations(images: np.ndarray = IMAGES) -> dict[str, np.ndarray]:
    """What every method says of one class of a small network."""
    model = explain.Network(network(relu="fused"))
    return {name: method(model, images, 1) for name, method in explain.METHODS.items()}


if __name__ == "__main__":
    np.savez(sys.argv[1], **explanations())
