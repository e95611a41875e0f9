"""The default initial weights train: real digits, a few hundred steps, with and without BN.

A network that stays at the loss of chance, ln(10) = 2.30, has not begun.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_classics as kc

NARROW = {"filters": (16, 32, 64, 64, 64), "hidden": (256, 256)}


@pytest.fixture(scope="module")
def digit_images(digits) -> tuple[np.ndarray, np.ndarray]:
    """1,437 digits of three equal channels, their mean 0 and their deviation 1."""
    images = digits.train.images[..., :1].astype("float32")
    images = np.repeat((images - images.mean()) / images.std(), 3, axis=-1)
    return images, digits.train.labels


def last_loss(model: keras.Model, digit_images, steps: int, rate: float, scale: float) -> float:
    """Trains with batches of 32 and momentum; returns the mean loss of the last ten steps."""
    images, labels = digit_images
    images = scale * tf.image.resize(images, model.input_shape[1:3]).numpy()
    optimizer = keras.optimizers.SGD(rate, momentum=0.9)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step(images, labels):
        with tf.GradientTape() as tape:
            probabilities = model(images, training=True)
            losses = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
            loss = tf.reduce_mean(losses)
        variables = model.trainable_variables
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        optimizer.apply(gradients, variables)
        return loss

    order = np.random.default_rng(0).integers(0, len(labels), (steps, 32))
    losses = [float(step(images[chosen], labels[chosen])) for chosen in order]
    return float(np.mean(losses[-10:]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments", "rate", "steps"),
    [
        ("vgg11", NARROW, 0.01, 300),
        ("vgg16", NARROW, 0.01, 300),
        ("vgg16_first_bn", NARROW, 0.01, 300),
        # 300 steps are not enough for it with the rounding of every CPU.
        ("vgg19_bn", NARROW, 0.01, 450),
        ("resnet20", {}, 0.1, 100),
        ("plain20", {}, 0.1, 100),
    ],
)
def test_trains(digit_images, name, arguments, rate, steps):
    keras.utils.set_random_seed(0)
    model = kc.get_model(name, input_shape=(32, 32, 3), classes=10, **arguments)
    assert last_loss(model, digit_images, steps=steps, rate=rate, scale=1.0) < 1.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "side", "scale"),
    [
        # The 2012 networks take images of 0..255; the later ones do not normalise responses.
        ("alexnet", 64, 80.0),
        ("alexnet_single_tower", 64, 80.0),
        ("caffenet", 64, 80.0),
        ("alexnet_owt", 63, 1.0),
        ("alexnet_slim", 67, 1.0),
    ],
)
def test_alexnets_train(digit_images, name, side, scale):
    keras.utils.set_random_seed(0)
    model = kc.get_model(name, input_shape=(side, side, 3), classes=10)
    assert last_loss(model, digit_images, steps=400, rate=0.01, scale=scale) < 2.0
