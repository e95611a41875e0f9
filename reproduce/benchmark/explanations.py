"""Benchmark of explaining answers."""

import keras
import numpy as np
import tensorflow as tf

from keras_classics.analysis import explain
from keras_classics.models import resnet50
from reproduce.benchmark.turns import Turn, compare

# Images of a turn.
IMAGES = 8


def benchmark_explain() -> None:
    """Compares class maps and gradients by the image with a forward and backward pass."""
    model = resnet50()
    images = np.random.default_rng(0).normal(size=(IMAGES, 224, 224, 3)).astype("float32")
    labels = np.arange(IMAGES)
    network = explain.Network(model)
    sides = {
        "Grad-CAM": lambda: explain.grad_cam(network, images, labels),
        "gradient": lambda: explain.gradient(network, images, labels),
        "forward alone": lambda: network.scores(images),
        "forward and backward": _passes(model, images, labels),
    }
    compare(sides, IMAGES, "images/s")


def _passes(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> Turn:
    """A forward and backward pass to the weights, as in training."""

    @tf.function
    def passes(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        weights = [variable.value for variable in model.trainable_variables]
        with tf.GradientTape() as tape:
            probabilities = model(images, training=False)
            loss = keras.losses.sparse_categorical_crossentropy(labels, probabilities)
        return tf.reduce_sum([tf.norm(part) for part in tape.gradient(loss, weights)])

    return lambda: passes(tf.constant(images), tf.constant(labels)).numpy()
