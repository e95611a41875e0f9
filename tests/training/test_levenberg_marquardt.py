"""The curvature against the paper's rule, connection by connection, in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_classics.errors import UserError
from keras_classics.models import lenet5
from keras_classics.models.layers import (
    EuclideanRBF,
    TableConv2D,
    TrainableSubsampling,
    scaled_tanh,
)
from keras_classics.models.losses import CodeDistance, DiscriminativeMAP
from keras_classics.training.levenberg_marquardt import diagonal_curvature

TABLE = [[1, 0, 1], [0, 1, 1]]
CODES = np.array([[1, -1, 1, -1], [-1, 1, 1, -1], [1, 1, -1, 1]])


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(3)
    normal = keras.initializers.RandomNormal(stddev=0.5)
    style = {"activation": scaled_tanh, "bias_initializer": normal}
    x = image = keras.Input((6, 6, 1))
    x = keras.layers.Conv2D(2, 3, name="c1", kernel_initializer=normal, **style)(x)
    x = TrainableSubsampling(name="s2", coefficient_initializer=normal, **style)(x)
    x = TableConv2D(TABLE, 2, name="c3", kernel_initializer=normal, **style)(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(4, name="f6", kernel_initializer=normal, **style)(x)
    return keras.Model(image, EuclideanRBF(CODES, name="distances")(x))


def connections(model: keras.Model) -> list[list[tuple]]:
    """All connections of each layer: (unit, input, parameter, place in it); None is the bias's."""
    layers = []

    def at(side, maps):
        return lambda row, column, map_: (row * side + column) * maps + map_

    x, c = at(6, 1), at(4, 2)
    layers.append(
        [
            (c(r, q, m), x(r + i, q + j, 0), "c1/kernel", (i, j, 0, m))
            for r, q, m in np.ndindex(4, 4, 2)
            for i, j in np.ndindex(3, 3)
        ]
        + [(c(r, q, m), None, "c1/bias", (m,)) for r, q, m in np.ndindex(4, 4, 2)]
    )
    s = at(2, 2)
    layers.append(
        [
            (s(r, q, m), c(2 * r + i, 2 * q + j, m), "s2/coefficient", (m,))
            for r, q, m in np.ndindex(2, 2, 2)
            for i, j in np.ndindex(2, 2)
        ]
        + [(s(r, q, m), None, "s2/bias", (m,)) for r, q, m in np.ndindex(2, 2, 2)]
    )
    links = [
        (source, target) for source in range(2) for target in range(3) if TABLE[source][target]
    ]
    layers.append(
        [
            (target, s(i, j, source), "c3/kernel", (i, j, link))
            for link, (source, target) in enumerate(links)
            for i, j in np.ndindex(2, 2)
        ]
        + [(target, None, "c3/bias", (target,)) for target in range(3)]
    )
    layers.append(
        [(unit, i, "f6/kernel", (i, unit)) for unit in range(4) for i in range(3)]
        + [(unit, None, "f6/bias", (unit,)) for unit in range(4)]
    )
    return layers


def by_hand(model, image, output_curvature) -> dict[str, np.ndarray]:
    """Curvature for one image: forward and backward over the connections."""
    values = {v.path: v.numpy().astype("float64") for v in model.trainable_variables}
    layers = connections(model)
    signals, sums = [image.reshape(-1).astype("float64")], []
    for layer in layers:
        total = np.zeros(1 + max(unit for unit, *_ in layer))
        for unit, source, name, place in layer:
            total[unit] += values[name][place] * (1 if source is None else signals[-1][source])
        sums.append(total)
        signals.append(1.7159 * np.tanh(2 / 3 * total))
    result = {name: np.zeros_like(value) for name, value in values.items()}
    of_outputs = output_curvature(signals[-1])
    for layer, total, inputs in reversed(list(zip(layers, sums, signals, strict=False))):
        slope = 1.7159 * 2 / 3 / np.cosh(2 / 3 * total) ** 2
        of_sums = slope**2 * of_outputs
        of_outputs = np.zeros_like(inputs)
        for unit, source, name, place in layer:
            if source is None:
                result[name][place] += of_sums[unit]
            else:
                result[name][place] += of_sums[unit] * inputs[source] ** 2
                of_outputs[source] += of_sums[unit] * values[name][place] ** 2
    return result


def second_differences(function, x, step=1e-4):
    slopes = []
    for i in range(len(x)):
        move = np.zeros_like(x)
        move[i] = step
        slopes.append((function(x + move) - 2 * function(x) + function(x - move)) / step**2)
    return np.array(slopes)


def plain(label):
    return lambda x: ((x - CODES[label]) ** 2).sum()


def discriminative(label, j):
    def loss(x):
        distances = ((x - CODES) ** 2).sum(axis=1)
        return distances[label] + np.log(np.exp(-j) + np.exp(-distances).sum())

    return loss


@pytest.mark.parametrize(
    ("loss", "reference"),
    [
        (CodeDistance(), plain),
        (DiscriminativeMAP(j=6.0), lambda label: discriminative(label, 6.0)),
    ],
)
def test_curvature_equals_the_rule_connection_by_connection(model, loss, reference):
    images = np.random.default_rng(0).normal(size=(3, 6, 6, 1)).astype("float32")
    labels = np.array([0, 2, 1])
    expected = [
        by_hand(model, image, lambda x, label=label: second_differences(reference(label), x))
        for image, label in zip(images, labels, strict=True)
    ]
    got = diagonal_curvature(model, loss, tf.constant(images), tf.constant(labels))
    for variable, curvature in zip(model.trainable_variables, got, strict=True):
        mean = np.mean([one[variable.path] for one in expected], axis=0)
        np.testing.assert_allclose(curvature, mean, rtol=1e-4, atol=1e-6, err_msg=variable.path)


def test_networks_without_a_rule_are_refused():
    with pytest.raises(UserError, match="ends in distances to codes, such as lenet5_1998"):
        diagonal_curvature(lenet5(), CodeDistance(), tf.zeros((1, 32, 32, 1)), tf.constant([0]))
    x = image = keras.Input((3,))
    x = keras.layers.PReLU(name="odd")(x)
    odd = keras.Model(image, EuclideanRBF(np.ones((2, 3)), name="distances")(x))
    with pytest.raises(UserError, match=r"no rule for layer odd \(PReLU\)"):
        diagonal_curvature(odd, CodeDistance(), tf.zeros((1, 3)), tf.constant([0]))
