"""Optimisers against steps computed by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_classics.training import Adam, LevenbergMarquardt, Momentum
from keras_classics.training.optimizer import LossScale, MovingAverage, Updater
from tests.helpers.replicas import mirrored


def tiny_model() -> keras.Model:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.set_weights([np.float32([[1.0], [2.0]]), np.float32([3.0])])
    return model


def step(strategy: tf.distribute.Strategy, updater: Updater, gradients, rate: float) -> None:
    @tf.function
    def run():
        strategy.run(
            lambda: updater.update(
                [tf.constant(g, tf.float32) for g in gradients],
                [tf.constant(rate)] * len(gradients),
            )
        )

    run()


@pytest.mark.parametrize("replicas", [1, 2])
def test_momentum_with_coupled_decay_on_kernels(replicas):
    strategy = mirrored(replicas)
    with strategy.scope():
        model = tiny_model()
        updater = Momentum(momentum=0.9, weight_decay=0.1).start(model, None)
    kernel, bias = np.array([[1.0], [2.0]]), np.array([3.0])
    kernel_velocity, bias_velocity = np.zeros((2, 1)), np.zeros(1)
    for rate, kernel_gradient, bias_gradient in [
        (0.5, [[0.2], [-0.4]], [1.0]),
        (0.25, [[-0.1], [0.3]], [0.5]),
    ]:
        step(strategy, updater, [kernel_gradient, bias_gradient], rate)
        # AlexNet paper, section 5: v <- 0.9 v - rate decay w - rate gradient, w <- w + v.
        kernel_velocity = 0.9 * kernel_velocity - rate * (np.array(kernel_gradient) + 0.1 * kernel)
        bias_velocity = 0.9 * bias_velocity - rate * np.array(bias_gradient)
        kernel, bias = kernel + kernel_velocity, bias + bias_velocity
    np.testing.assert_allclose(model.get_weights()[0], kernel, rtol=1e-6)
    np.testing.assert_allclose(model.get_weights()[1], bias, rtol=1e-6)
    np.testing.assert_allclose(updater.variables[0].numpy(), kernel_velocity, rtol=1e-5)


@pytest.mark.parametrize("replicas", [1, 2])
def test_adam_equals_keras_s(replicas):
    strategy = mirrored(replicas)
    with strategy.scope():
        model = tiny_model()
        updater = Adam(beta_1=0.8, beta_2=0.99, epsilon=0.01).start(model, None)
    other = tiny_model()
    keras_s = keras.optimizers.Adam(0.1, beta_1=0.8, beta_2=0.99, epsilon=0.01)
    for gradients in [([[0.2], [-0.4]], [1.0]), ([[-0.1], [1e-3]], [0.5]), ([[0.0], [2.0]], [3.0])]:
        step(strategy, updater, gradients, 0.1)
        keras_s.apply([tf.constant(g) for g in gradients], other.trainable_variables)
    for found, expected in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_adam_s_first_step_is_the_rate_whatever_the_gradient():
    model = tiny_model()
    updater = Adam().start(model, None)
    step(tf.distribute.get_strategy(), updater, [[[0.2], [-20.0]], [4.0]], 0.01)
    np.testing.assert_allclose(model.get_weights()[0], [[1 - 0.01], [2 + 0.01]], rtol=1e-5)
    np.testing.assert_allclose(model.get_weights()[1], [3 - 0.01], rtol=1e-5)


def test_levenberg_marquardt_divides_the_rate_by_mu_and_the_curvature():
    model = tiny_model()
    updater = LevenbergMarquardt(mu=0.02).start(model, None)
    for slot, curvature in zip(updater.variables, ([[0.08], [0.0]], [1.98]), strict=True):
        slot.assign(curvature)
    step(tf.distribute.get_strategy(), updater, [[[1.0], [1.0]], [2.0]], 0.01)
    np.testing.assert_allclose(model.get_weights()[0], [[1 - 0.1], [2 - 0.5]], rtol=1e-6)
    np.testing.assert_allclose(model.get_weights()[1], [3 - 0.01], rtol=1e-6)


def test_defaults():
    # Krizhevsky et al. 2012, section 5; Kingma and Ba 2015, with Keras's epsilon; LeCun et al.
    # 1998, section III-B.
    assert Momentum() == Momentum(0.9, weight_decay=0.0, nesterov=False, decayed="kernels")
    assert Adam() == Adam(beta_1=0.9, beta_2=0.999, epsilon=1e-7)
    assert LevenbergMarquardt() == LevenbergMarquardt(mu=0.02, samples=500)
    assert (LossScale.FIRST, LossScale.GROWTH) == (32768, 2000)


@pytest.mark.parametrize(
    ("optimizer", "samples"), [(Momentum(), 0), (Adam(), 0), (LevenbergMarquardt(), 500)]
)
def test_images_wanted_before_an_epoch(optimizer, samples):
    assert optimizer.start(tiny_model(), None).samples == samples


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("decayed", ["kernels", "all"])
def test_all_forms_of_momentum(momentum, nesterov, decayed):
    model = tiny_model()
    updater = Momentum(momentum, 0.1, nesterov, decayed).start(model, None)
    assert updater.samples == 0
    weights, velocity = np.array([1.0, 2.0, 3.0]), np.zeros(3)
    decay = np.array([0.1, 0.1, 0.1 if decayed == "all" else 0.0])
    for gradient in ([0.2, -0.4, 1.0], [-0.1, 0.3, 0.5]):
        step(
            tf.distribute.get_strategy(),
            updater,
            [np.reshape(gradient[:2], (2, 1)), gradient[2:]],
            0.5,
        )
        change = 0.5 * (np.array(gradient) + decay * weights)
        velocity = momentum * velocity - change
        weights = weights + (momentum * velocity - change if nesterov else velocity)
    np.testing.assert_allclose(
        np.concatenate([w.ravel() for w in model.get_weights()]), weights, rtol=1e-6
    )


def test_a_loss_scale_is_at_least_1():
    scale = LossScale()
    scale.value.assign(1.5)
    assert not scale.finite([tf.constant([1.0, np.inf])])
    assert scale.value.numpy() == 1
    assert not scale.finite([tf.constant([1.0]), tf.constant([np.nan])])
    assert scale.value.numpy() == 1
    assert [variable.numpy() for variable in scale.variables] == [1, 0]
    assert scale.finite([tf.constant([1.0]), tf.constant([-1.0])])
    assert [variable.numpy() for variable in scale.variables] == [1, 1]


def test_a_loss_scale_doubles_after_each_run_of_good_steps(monkeypatch):
    monkeypatch.setattr(LossScale, "GROWTH", 2)
    scale, found = LossScale(), []
    for gradient in (1.0, 1.0, 1.0, np.inf, 1.0, 1.0):
        scale.finite([tf.constant(gradient)])
        found.append([variable.numpy() for variable in scale.variables])
    first = 2.0**15
    assert found == [
        [first, 1],
        [2 * first, 0],
        [2 * first, 1],
        [first, 0],
        [first, 1],
        [2 * first, 0],
    ]


def test_a_moving_average_starts_at_the_weights_and_takes_its_share():
    model = tiny_model()
    average = MovingAverage(model, 0.75)
    assert [variable.numpy().ravel().tolist() for variable in average.variables] == [[1, 2], [3]]
    model.set_weights([np.float32([[5.0], [2.0]]), np.float32([-1.0])])
    average.update()
    assert [v.numpy().ravel().tolist() for v in average.variables] == [[2, 2], [2]]
    average.swap()
    assert [w.ravel().tolist() for w in model.get_weights()] == [[2, 2], [2]]
    assert [v.numpy().ravel().tolist() for v in average.variables] == [[5, 2], [-1]]
