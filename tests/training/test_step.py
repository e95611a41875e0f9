"""One step against the same computed by hand: parts, clipping, groups, averages, loss scale."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_classics.errors import UserError
from keras_classics.models.losses import SmoothedCrossEntropy
from keras_classics.training import Momentum
from keras_classics.training.optimizer import LossScale, MovingAverage
from keras_classics.training.schedules import Constant
from keras_classics.training.step import Step, compiled_block
from keras_classics.training.trainer import Trainer
from tests.helpers.replicas import mirrored
from tests.helpers.runs import MODERN

IMAGES = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
PLAIN = Momentum(0.0)
LABELS = np.array([0, 1, 0, 1, 1, 0, 0, 1], "int32")
START = [np.float32([[0.1, -0.2], [0.3, 0.4], [-0.5, 0.6]]), np.float32([0.05, -0.05])]


def tiny(dtype: str = "float32") -> keras.Model:
    inputs = keras.Input((3,))
    scores = keras.layers.Dense(2, name="end", dtype=dtype)(inputs)
    ends = keras.layers.Activation("softmax", dtype="float32", name="probabilities")(scores)
    model = keras.Model(inputs, ends)
    model.set_weights(START)
    return model


def gradients_by_hand(kernel, bias) -> list[np.ndarray]:
    """Of the mean cross-entropy of the eight images, in float64."""
    scores = IMAGES.astype("float64") @ kernel + bias
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    error = (shares - np.eye(2)[LABELS]) / len(LABELS)
    return [IMAGES.T.astype("float64") @ error, error.sum(axis=0)]


def take(model, rates, optimizer=PLAIN, images=IMAGES, **options) -> np.ndarray:
    """Takes a step for each row of rates, and returns what the block returns."""
    loss = SmoothedCrossEntropy()
    step = Step(
        model,
        loss,
        optimizer.start(model, loss),
        batch_size=len(images),
        device_preprocess=lambda images: images,
        **{"groups": [0, 0], **options},
    )
    block = compiled_block(step, tf.distribute.get_strategy(), jit_compile=False)
    rates = np.float32(rates)
    blocks = [tf.constant(np.stack([part] * len(rates))) for part in (images, LABELS)]
    return block(*blocks, tf.constant(rates), tf.constant(0.0)).numpy()


def assert_weights(model, expected) -> None:
    for got, value in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(got, value, rtol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_accumulated_gradients_make_the_step_of_the_whole_batch(count):
    model = tiny()
    loss_sum, correct, stopping = take(model, [[0.5]], gradient_accumulation_steps=count)
    steps = gradients_by_hand(*START)
    assert_weights(model, [w - 0.5 * g for w, g in zip(START, steps, strict=True)])
    scores = IMAGES @ START[0] + START[1]
    losses = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(8), LABELS]
    assert loss_sum == pytest.approx(losses.sum(), rel=1e-5)
    assert correct == (scores.argmax(axis=1) == LABELS).sum()
    assert stopping == 0


def test_clipping_bounds_the_norm_of_all_gradients_together():
    model = tiny()
    gradients = gradients_by_hand(*START)
    norm = np.sqrt(sum((g**2).sum() for g in gradients))
    take(model, [[1.0]], clip_norm=norm / 3)
    assert_weights(model, [w - g / 3 for w, g in zip(START, gradients, strict=True)])


def test_each_group_has_its_rate():
    model = tiny()
    take(model, [[0.5, 0.1]], groups=[0, 1])
    kernel, bias = gradients_by_hand(*START)
    assert_weights(model, [START[0] - 0.5 * kernel, START[1] - 0.1 * bias])


def test_nesterov_as_it_is_written_and_decay_of_all():
    model = tiny()
    take(model, [[0.5], [0.25]], Momentum(0.9, weight_decay=0.1, nesterov=True, decayed="all"))
    weights, velocities = [w.astype("float64") for w in START], [0.0, 0.0]
    for rate in (0.5, 0.25):
        gradients = gradients_by_hand(*weights)
        for i, gradient in enumerate(gradients):
            gradient = gradient + 0.1 * weights[i]
            velocities[i] = 0.9 * velocities[i] - rate * gradient
            weights[i] = weights[i] + 0.9 * velocities[i] - rate * gradient
    assert_weights(model, weights)


def test_averages_follow_and_change_places():
    model = tiny()
    average = MovingAverage(model, 0.75)
    take(model, [[0.5], [0.5]], average=average)
    weights, averages = list(START), list(START)
    for _ in range(2):
        gradients = gradients_by_hand(*weights)
        weights = [w - 0.5 * g for w, g in zip(weights, gradients, strict=True)]
        averages = [0.75 * a + 0.25 * w for a, w in zip(averages, weights, strict=True)]
    assert_weights(model, weights)
    trained = model.get_weights()
    average.swap()
    assert_weights(model, averages)
    average.swap()
    for got, value in zip(model.get_weights(), trained, strict=True):
        np.testing.assert_array_equal(got, value)


def test_a_scaled_loss_makes_the_same_step():
    model, scale = tiny(), LossScale()
    take(model, [[0.5]], scale=scale)
    assert_weights(
        model, [w - 0.5 * g for w, g in zip(START, gradients_by_hand(*START), strict=True)]
    )
    assert scale.value.numpy() == 2.0**15


def test_gradients_that_overflow_are_left_out_and_the_scale_is_halved():
    model, scale = tiny("mixed_float16"), LossScale()
    # 32,768 times the gradient is beyond float16's 65,504.
    take(model, [[0.5]], images=1000 * IMAGES, scale=scale)
    assert_weights(model, START)
    assert scale.value.numpy() == 2.0**14


def test_the_scale_doubles_after_many_good_steps(monkeypatch):
    monkeypatch.setattr(LossScale, "GROWTH", 3)
    scale = LossScale()
    take(tiny(), [[0.1]] * 7, scale=scale)
    assert scale.value.numpy() == 2.0**17


@pytest.mark.parametrize("count", [1, 2])
def test_weights_of_classes_multiply_the_losses_of_their_images(count):
    model, weights = tiny(), np.float32([0.5, 3.0])
    loss_sum, *_ = take(model, [[0.5]], class_weights=weights, gradient_accumulation_steps=count)
    scores = IMAGES.astype("float64") @ START[0] + START[1]
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    # The mean is over the eight images, not over their weights.
    error = weights[LABELS][:, np.newaxis] * (shares - np.eye(2)[LABELS]) / 8
    gradients = [IMAGES.T.astype("float64") @ error, error.sum(axis=0)]
    assert_weights(model, [w - 0.5 * g for w, g in zip(START, gradients, strict=True)])
    losses = -np.log(shares[np.arange(8), LABELS])
    assert loss_sum == pytest.approx((weights[LABELS] * losses).sum(), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_label_smoothing(smoothing):
    scores = np.random.default_rng(1).normal(size=(5, 4))
    labels = np.array([0, 1, 2, 3, 3])
    targets = (1 - smoothing) * np.eye(4)[labels] + smoothing / 4
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    got = SmoothedCrossEntropy(smoothing).call(labels, tf.constant(scores, tf.float32))
    np.testing.assert_allclose(got, -(targets * np.log(shares)).sum(axis=1), rtol=1e-5)


def trainer(few_digits, **changes) -> Trainer:
    recipe = dataclasses.replace(MODERN, **changes)
    return Trainer(recipe, few_digits, recipe.make_preprocessing(), tf.distribute.get_strategy())


def test_float16_trains(few_digits):
    run = trainer(few_digits, dtype_policy="mixed_float16")
    blocks = run.blocks()
    for _ in range(3):
        run.train_block(blocks)
        run.end_epoch()
    losses = [row["train_loss"] for row in run.progress.history]
    assert losses[2] < losses[0] < 3


def test_schedules_hold_for_the_variables_that_they_name(few_digits):
    run = trainer(few_digits, schedule=Constant(0.0), schedules={"*/bias": Constant(0.1)})
    before = run.model.get_weights()
    run.train_block(run.blocks())
    for variable, old in zip(run.model.variables, before, strict=True):
        assert np.array_equal(variable, old) == (variable.name != "bias")


def test_float16_on_several_replicas_is_refused(few_digits):
    recipe = dataclasses.replace(MODERN, dtype_policy="mixed_float16")
    with pytest.raises(UserError, match="trains on one device. Received: 2 replicas"):
        Trainer(recipe, few_digits, recipe.make_preprocessing(), mirrored(2))
