"""LeNet-5 against the paper."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.models.lenet import C3_TABLE, digit_codes
from keras_classics.models.losses import CodeDistance, DiscriminativeMAP
from tests.helpers.images import random_images

# LeCun et al. 1998, Table I, as the sets of S2 maps that each C3 map takes: six runs of three,
# six runs of four, three broken fours, all.
C3_INPUTS = [
    *[{i % 6, (i + 1) % 6, (i + 2) % 6} for i in range(6)],
    *[{i % 6, (i + 1) % 6, (i + 2) % 6, (i + 3) % 6} for i in range(6)],
    {0, 1, 3, 4},
    {1, 2, 4, 5},
    {0, 2, 3, 5},
    {0, 1, 2, 3, 4, 5},
]


@pytest.fixture(scope="module")
def paper_net() -> keras.Model:
    keras.utils.set_random_seed(0)
    return kc.lenet5_1998(classifier_activation=None)


def test_c3_table():
    table = np.array(C3_TABLE)
    assert table.shape == (6, 16)
    assert [set(np.flatnonzero(column)) for column in table.T] == C3_INPUTS
    assert table.sum() == 60
    assert (table.sum(axis=1) == 10).all()


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("lenet5", {"c1": 156, "c3": 2_416, "c5": 48_120, "f6": 10_164, "predictions": 850}),
        (
            "lenet5_1998",
            {"c1": 156, "s2": 12, "c3": 1_516, "s4": 32, "c5": 48_120, "f6": 10_164},
        ),
    ],
)
def test_parameters_layer_by_layer(name, layers):
    model = kc.get_model(name)
    counts = {
        layer.name: sum(int(np.prod(v.shape)) for v in layer.trainable_variables)
        for layer in model.layers
        if layer.trainable_variables
    }
    assert counts == layers


@pytest.mark.parametrize("name", ["lenet5", "lenet5_1998"])
def test_shapes_of_figure_2(name):
    model = kc.get_model(name)
    shapes = {n: tuple(model.get_layer(n).output.shape[1:]) for n in ("c1", "s2", "c3", "s4", "f6")}
    assert shapes == {
        "c1": (28, 28, 6),
        "s2": (14, 14, 6),
        "c3": (10, 10, 16),
        "s4": (5, 5, 16),
        "f6": (84,),
    }


@pytest.mark.parametrize("exponent", [1, 0.5])
def test_initial_weights_are_uniform_in_the_paper_s_bounds(paper_net, exponent):
    if exponent != 1:
        keras.utils.set_random_seed(0)
        paper_net = kc.lenet5_1998(fan_in_exponent=exponent)
    table = np.array(C3_TABLE)
    fan_in = {"c1": 25, "s2": 4, "s4": 4, "c5": 400, "f6": 120}
    for name, inputs in fan_in.items():
        kernel, bias = paper_net.get_layer(name).get_weights()
        bound = 2.4 / inputs**exponent
        assert np.abs(kernel).max() <= bound
        if kernel.size > 100:
            assert np.abs(kernel).max() > 0.95 * bound
            np.testing.assert_allclose(kernel.std(), bound / np.sqrt(3), rtol=0.1)
        assert (bias == 0).all()
    taps = paper_net.get_layer("c3").get_weights()[0]
    links = [column for row in table for column in np.flatnonzero(row)]
    for column in range(16):
        bound = 2.4 / (25 * table[:, column].sum()) ** exponent
        of_map = taps[..., [link == column for link in links]]
        assert 0.9 * bound < np.abs(of_map).max() <= bound


def test_an_exponent_out_of_range():
    with pytest.raises(UserError, match=r"fan_in_exponent must be 0 to 1\. Received: 2\."):
        kc.lenet5_1998(fan_in_exponent=2)


def test_inputs_of_the_units_of_c3(paper_net):
    # 25 positions in each of three, four or six maps, for each of 60 connections.
    fan_in = paper_net.get_layer("c3").get_config()["kernel_initializer"]["config"]["fan_in"]
    counts = [len(inputs) for inputs in C3_INPUTS]
    rows = [25 * counts[column] for row in np.array(C3_TABLE) for column in np.flatnonzero(row)]
    assert fan_in == rows
    assert set(fan_in) == {75, 100, 150}


def test_missing_connections_stay_zero_in_training(paper_net):
    model = keras.models.clone_model(paper_net)
    layer = model.get_layer("c3")
    before = layer.kernel.numpy()
    model.compile(keras.optimizers.Adam(0.05), CodeDistance())
    model.fit(random_images(16, 32, 32, 1), np.arange(16) % 10, epochs=2, verbose=0)
    assert np.abs(layer.kernel.numpy() - before).min() > 0
    dense = layer.dense_kernel(layer.kernel.value).numpy()
    assert (dense[:, :, np.array(C3_TABLE) == 0] == 0).all()
    assert (dense[:, :, np.array(C3_TABLE) == 1] != 0).all()


def test_codes_are_legible_bitmaps():
    codes = digit_codes()
    assert codes.shape == (10, 84)
    assert set(np.unique(codes)) == {-1, 1}
    apart = [np.sum(a != b) for a, b in itertools.combinations(codes, 2)]
    assert min(apart) == 12
    for digit in codes.reshape(10, 12, 7) == 1:
        rows = np.flatnonzero(digit.any(axis=1))
        # One figure, without a bar that floats above it.
        assert rows[-1] - rows[0] + 1 == len(rows)
    seven = (codes[7].reshape(12, 7) == 1)[:10]
    assert seven[0].all()
    assert (seven.sum(axis=1) == [7] + 9 * [2]).all()


def test_distances_and_probabilities_predict_the_nearest_code(paper_net):
    images = random_images(20, 32, 32, 1)
    distances = paper_net(images).numpy()
    features = keras.Model(paper_net.input, paper_net.get_layer("f6").output)(images).numpy()
    expected = ((features[:, None] - digit_codes()) ** 2).sum(axis=2)
    np.testing.assert_allclose(distances, expected, rtol=1e-5)
    probable = kc.lenet5_1998()
    probable.set_weights(paper_net.get_weights())
    probabilities = probable(images).numpy()
    assert (probabilities.argmax(axis=1) == distances.argmin(axis=1)).all()


def test_losses():
    distances = np.float32([[3.0, 5.0, 4.0], [2.0, 1.0, 9.0]])
    labels = np.array([0, 2])
    assert float(CodeDistance()(labels, distances)) == pytest.approx((3 + 9) / 2)
    j = 2.0
    expected = [
        3 + np.log(np.exp(-j) + np.exp(-3) + np.exp(-5) + np.exp(-4)),
        9 + np.log(np.exp(-j) + np.exp(-2) + np.exp(-1) + np.exp(-9)),
    ]
    loss = DiscriminativeMAP(j=j)
    assert float(loss(labels, distances)) == pytest.approx(np.mean(expected), rel=1e-6)
    again = DiscriminativeMAP.from_config(loss.get_config())
    assert again.j == j


def test_map_loss_without_rubbish_class_is_cross_entropy_on_negated_distances():
    distances = np.random.default_rng(0).uniform(0, 9, (6, 10)).astype("float32")
    labels = np.arange(6)
    expected = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, -distances).numpy()
    np.testing.assert_allclose(DiscriminativeMAP(j=200.0).call(labels, distances), expected, 1e-5)


def test_codes_for_other_classes():
    assert kc.lenet5_1998(classes=4).output_shape == (None, 4)
    codes = np.where(np.random.default_rng(0).random((26, 84)) < 0.5, -1, 1)
    assert kc.lenet5_1998(classes=26, codes=codes).output_shape == (None, 26)
    with pytest.raises(UserError, match=r"26 classes take codes of shape \(26, 84\)"):
        kc.lenet5_1998(classes=26)
    with pytest.raises(UserError, match="classifier_activation='softmax' or None"):
        kc.lenet5_1998(classifier_activation="sigmoid")


def test_pooling():
    images = random_images(2, 40, 36, 1)
    maps = kc.lenet5(include_top=False)
    for pooling, reduce in (("avg", np.mean), ("max", np.max)):
        pooled = kc.lenet5(include_top=False, pooling=pooling)
        pooled.set_weights(maps.get_weights())
        expected = reduce(maps(images).numpy(), axis=(1, 2))
        np.testing.assert_allclose(pooled(images), expected, atol=1e-6)
