"""Small networks and real images to plant faults in."""

import keras
import numpy as np

from keras_classics.data import load
from keras_classics.diagnosis import Diagnosis, examine, make_case
from keras_classics.diagnosis.checks import AT_START

CLASSES = 10


def digit_images(count: int = 300, side: int = 16, channels: int = 1) -> tuple:
    """Digits between 0 and 1, scaled to a side, and their labels."""
    split = load("digits").train
    order = np.random.default_rng(100).permutation(len(split))[:count]
    images = np.asarray(keras.ops.image.resize(split.images[order] / 255.0, (side, side)))
    return np.repeat(images, channels, -1).astype("float32"), split.labels[order]


def plain(
    depth: int = 3,
    side: int = 16,
    activation: str = "relu",
    initializer="he_normal",
    bias: float = 0.0,
    loss="sparse_categorical_crossentropy",
    optimizer="sgd",
    batch_norm: bool = False,
) -> keras.Model:
    """Convolutions, a hidden dense layer and a softmax, compiled."""
    options = {
        "kernel_initializer": initializer,
        "bias_initializer": keras.initializers.Constant(bias),
    }
    x = image = keras.Input((side, side, 1))
    for number in range(depth):
        x = keras.layers.Conv2D(8, 3, padding="same", name=f"conv{number}", **options)(x)
        if batch_norm:
            x = keras.layers.BatchNormalization(name=f"bn{number}")(x)
        x = keras.layers.Activation(activation, name=f"activation{number}")(x)
    x = keras.layers.Flatten()(keras.layers.MaxPooling2D(4)(x))
    x = keras.layers.Dense(32, activation, name="hidden", **options)(x)
    x = keras.layers.Dense(CLASSES, "softmax", kernel_initializer=initializer, name="scores")(x)
    model = keras.Model(image, x, name="plain")
    model.compile(optimizer, loss)
    return model


def found(model: keras.Model, data, **options) -> Diagnosis:
    """What the checks of the start find; those that train have tests of their own."""
    return examine(make_case(model, data, **options), AT_START)


def names(diagnosis: Diagnosis) -> list[str]:
    """The names of what was found."""
    return [finding.check for finding in diagnosis.findings]
