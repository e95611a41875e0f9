"""Checks during and after a training: its rate, its log, its normalisations, both parts alike."""

import dataclasses
import math

import keras
import numpy as np
import pytest

from keras_classics.diagnosis import make_case
from keras_classics.diagnosis.agreement import held_out_preprocessing, training_and_inference
from keras_classics.diagnosis.normalisation import batch_norm_mode, batch_norm_statistics
from keras_classics.diagnosis.progress import (
    Epochs,
    loss_at_chance,
    not_finite,
    overfitting,
    underfitting,
)
from keras_classics.diagnosis.rates import learning_rate, read_range
from keras_classics.diagnosis.start import saturated
from keras_classics.diagnosis.steps import planned_rates
from keras_classics.diagnosis.trial import first_steps

CLASSES = 4


def images(count: int = 192, seed: int = 0, channels: int = 1):
    """Images whose class is the quarter that is bright."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    x = rng.normal(0.2, 0.1, (count, 6, 6, channels))
    for image, label in zip(x, labels, strict=True):
        row, column = 3 * (label // 2), 3 * (label % 2)
        image[row : row + 3, column : column + 3] += 0.6
    return x.astype("float32"), labels


class AlwaysTraining(keras.layers.BatchNormalization):
    def call(self, inputs, training=None, mask=None):
        return super().call(inputs, training=True)


def network(norm=keras.layers.BatchNormalization, **options) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 1))
    features = keras.layers.Conv2D(8, 3, use_bias=False, name="conv")(inputs)
    features = norm(name="norm", **options)(features)
    features = keras.layers.Flatten()(keras.layers.ReLU()(features))
    return keras.Model(inputs, keras.layers.Dense(CLASSES, activation="softmax")(features))


def case_of(model, rate=0.01, data=None, **options):
    model.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return make_case(model, data or (*images(), *images(64, 1)), **options)


@pytest.fixture(scope="module")
def trained():
    model = network(momentum=0.8)
    case = case_of(model)
    x, y = images()
    history = model.fit(x, y, epochs=4, verbose=0, validation_data=images(64, 1))
    return dataclasses.replace(case, history=make_case(model, (x, y), history=history).history)


def names(findings) -> list[str]:
    return [finding.check for finding in findings]


@pytest.mark.parametrize(
    ("rate", "found"), [(1e-7, ["rate_too_small"]), (0.01, []), (100.0, ["rate_too_large"])]
)
def test_rates(rate, found):
    model = network()
    case = case_of(model, rate)
    before = [variable.numpy() for variable in model.variables]
    findings = list(learning_rate(case))
    assert names(findings) == found
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    assert planned_rates(case, 2) == pytest.approx([rate] * 2)
    for finding in findings:
        mended = first_steps(finding.trial(case), 40)
        assert mended[-1].loss < 0.5 * mended[0].loss


def test_a_schedule_gives_the_rates_of_its_steps():
    model = network()
    schedule = keras.optimizers.schedules.PolynomialDecay(0.2, 4, 0.0)
    case = make_case(
        model,
        images(),
        loss="sparse_categorical_crossentropy",
        optimizer=keras.optimizers.SGD(schedule),
    )
    assert planned_rates(case, 3) == pytest.approx([0.2, 0.15, 0.1])


def test_range_test_is_read():
    rates = np.geomspace(1e-6, 10, 84)
    flat = np.full(84, 2.0)
    assert read_range(rates, flat).suggested is None
    losses = np.where(rates < 1e-3, 2.0, np.where(rates < 0.1, 0.5, 9.0))
    read = read_range(rates, losses)
    assert 0.8e-3 < read.low <= read.suggested <= read.high < 0.2
    assert read_range(rates, [2.0, math.nan]).suggested is None
    assert math.isnan(read_range(rates, [math.inf]).start)


@pytest.mark.parametrize(
    "check",
    [
        not_finite,
        batch_norm_mode,
        batch_norm_statistics,
        held_out_preprocessing,
        training_and_inference,
        loss_at_chance,
        underfitting,
        overfitting,
        learning_rate,
    ],
)
def test_a_healthy_training_has_no_findings(trained, check):
    assert list(check(trained)) == []


def test_first_layer_that_is_not_finite():
    model = network()
    kernel = model.get_layer("conv").kernel
    kernel.assign(np.full(kernel.shape, np.inf))
    (finding,) = not_finite(case_of(model))
    assert finding.layer == "conv"


def test_a_loss_that_becomes_infinite_is_traced_to_its_layer():
    model = network(keras.layers.LayerNormalization)
    case = case_of(model)
    case = dataclasses.replace(
        case, optimizer=keras.optimizers.SGD(1e38), history=[{"loss": math.nan}]
    )
    (finding,) = not_finite(case)
    assert finding.layer == "conv"
    assert "nan in epoch 1" in finding.measured


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_image_that_is_not_finite(value):
    x, y = images(400)
    x[300, 0, 0] = value
    (finding,) = not_finite(case_of(network(), data=(x, y), history=[{"loss": math.nan}]))
    assert finding.values["image"] == 300


def test_normalisations_in_the_wrong_mode():
    assert names(batch_norm_mode(case_of(network(AlwaysTraining)))) == ["batch_norm_mode"]
    frozen = network()
    frozen.get_layer("norm").trainable = False
    (finding,) = batch_norm_mode(case_of(frozen))
    assert "norm, is frozen" in finding.measured
    # Frozen with the statistics of the data, as in fine-tuning.
    frozen.get_layer("norm").moving_mean.assign(np.full(8, 0.1))
    assert not list(batch_norm_mode(case_of(frozen)))


def test_statistics_that_lag_behind(trained):
    slow = network(momentum=0.8)
    slow.set_weights(trained.model.get_weights())
    slow.get_layer("norm").moving_mean.assign(np.full(8, 5.0))
    case = dataclasses.replace(case_of(slow), history=trained.history)
    (finding,) = batch_norm_statistics(case)
    assert finding.layer == "norm"
    assert finding.values["exact_accuracy"] > 0.9
    # That explains what the log says, too.
    assert not list(training_and_inference(case))


def test_images_that_reach_the_network_otherwise_than_in_training(trained):
    x, y = images()
    case = dataclasses.replace(case_of(trained.model, data=(x * 255, y)), history=trained.history)
    changed = dataclasses.replace(case, preprocessing=lambda images: 1 - images)
    assert names(training_and_inference(changed)) == ["training_and_inference"]


@pytest.mark.parametrize(
    "change", [lambda x: 255 * x, lambda x: x / 255, lambda x: x - 3, lambda x: 2 - 8 * x]
)
def test_parts_that_are_preprocessed_differently(change):
    x, y = images(64, 1)
    case = case_of(network(), data=(*images(), change(x), y))
    assert names(held_out_preprocessing(case)) == ["held_out_preprocessing"]


def test_tanh_at_its_ends_is_no_fault_after_training():
    inputs = keras.Input((6, 6, 1))
    start = keras.initializers.RandomNormal(stddev=9.0, seed=0)
    features = keras.layers.Dense(8, activation="tanh", kernel_initializer=start)(
        keras.layers.Flatten()(inputs)
    )
    case = case_of(keras.Model(inputs, keras.layers.Dense(CLASSES, activation="softmax")(features)))
    assert names(saturated(case)) == ["saturated"]
    learned = [{"loss": 1.4}, {"loss": 0.1}]
    assert not list(saturated(dataclasses.replace(case, history=learned)))


def log(**columns) -> list[dict]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


LOGS = {
    loss_at_chance: [
        log(loss=[1.39, 1.386, 1.387]),
        log(train_loss=["1.39"] * 3, train_accuracy=[".25"] * 3),
    ],
    overfitting: [
        log(
            loss=[1, 0.5, 0.2, 0.1, 0.05, 0.01],
            accuracy=[0.5, 0.8, 0.9, 0.95, 1, 1],
            val_loss=[1, 0.8, 0.9, 1.0, 1.1, 1.3],
            val_accuracy=[0.5, 0.6, 0.6, 0.6, 0.6, 0.6],
        )
    ],
    underfitting: [
        log(loss=[1.2, 1.1, 1.1, 1.1], accuracy=[0.4] * 4),
        log(train_loss=[1.2, 1.2, 1.2], train_accuracy=[0.4] * 3, test_loss=[1, 1, 1]),
    ],
}


@pytest.mark.parametrize(
    ("check", "number"), [(c, n) for c, logs in LOGS.items() for n in range(len(logs))]
)
def test_what_a_log_says(trained, check, number):
    case = dataclasses.replace(trained, history=LOGS[check][number])
    found = {other: names(other(case)) for other in LOGS}
    assert found == {other: [other.__name__] if other is check else [] for other in LOGS}


def test_columns_of_logs():
    epochs = Epochs.of(
        log(loss=[1], sparse_categorical_accuracy=[0.5], val_loss=[2], val_acc=[0.1])
    )
    assert [*epochs.loss, *epochs.accuracy, *epochs.held_out_loss] == [1, 0.5, 2]
    rows = log(train_loss=["1"], test_loss=["3"], validation_loss=["2"], seconds=["9"])
    assert Epochs.of(rows).held_out_loss.tolist() == [2]
    assert np.isnan(Epochs.of(rows).accuracy).all()
