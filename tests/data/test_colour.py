"""Shifts of the colour: their size, their directions, their end."""

import numpy as np
import pytest
import tensorflow as tf

from keras_classics.data.colour import DIRECTIONS, GreyShift, PCAColour
from tests.helpers.pipelines import LAST, STEP


# Deviation along the first direction, of 255, by the three readings.
@pytest.mark.parametrize(("scale", "first"), [("code", 12.2), ("torch", 5.5), ("paper", 1483)])
def test_pca_colour_s_deviations(scale, first):
    random = tf.random.stateless_uniform((100_000, 3), (1, 2))
    shifts = PCAColour(scale=scale)(random, tf.constant(0, tf.int64)).numpy().astype(float)
    along = shifts @ np.array(DIRECTIONS)
    deviations = along.std(axis=0)
    assert deviations[0] == pytest.approx(first, rel=0.01)
    squared = np.array([121.78, 37.09, 19.72]) ** 2
    expected = {"code": np.sqrt(squared), "torch": [55.46, 4.79, 1.15], "paper": squared}[scale]
    assert deviations == pytest.approx(0.1 * np.array(expected), rel=0.01)
    assert (np.abs(along.mean(axis=0)) < 4 * deviations / np.sqrt(len(random))).all()
    assert np.abs(np.corrcoef(along.T) - np.eye(3)).max() < 0.015
    # Most of it is brightness.
    assert np.corrcoef(shifts.T).min() > 0.7


def test_pca_colour_s_directions_are_orthonormal():
    directions = np.array(DIRECTIONS)
    np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=1e-3)
    np.testing.assert_allclose(directions @ directions.T, np.eye(3), atol=1e-3)
    # The first one is that of cuda-convnet2, but for its sign.
    np.testing.assert_allclose(directions[:, 0], [-0.5635, -0.5762, -0.5920], atol=0.01)


def test_pca_colour_is_finite_and_symmetric_at_the_ends_of_the_draws():
    ends = tf.constant([[0.0] * 3, [LAST] * 3, [0.5 - STEP / 2] * 3])
    lowest, highest, middle = PCAColour(deviation=1.0)(ends, tf.constant(0)).numpy()
    assert np.isfinite([lowest, highest]).all()
    np.testing.assert_array_equal(lowest, -highest)
    # A normal deviate of 5.3, the first of its direction.
    along = lowest @ np.array(DIRECTIONS)
    assert along == pytest.approx(-5.295 * np.array([121.78, 37.09, 19.72]), rel=1e-3)
    np.testing.assert_allclose(middle, 0, atol=1e-4)


def test_pca_colour_ends_after_its_epochs():
    random = tf.constant([[0.1, 0.2, 0.3]])
    shifts = PCAColour(until=2)
    for epoch in range(4):
        got = shifts(random, tf.constant(epoch, tf.int64)).numpy()
        expected = PCAColour()(random, tf.constant(epoch, tf.int64)).numpy()
        np.testing.assert_array_equal(got, expected if epoch < 2 else 0 * expected)
        assert (expected != 0).all()


def test_grey_shift_s_deviation():
    random = tf.random.stateless_uniform((100_000, 1), (1, 2))
    shifts = GreyShift(pixels=90, deviation=0.1)(random, tf.constant(0)).numpy()
    assert shifts.shape == (100_000, 1)
    assert shifts.std() == pytest.approx(9.0, rel=0.01)
    assert abs(shifts.mean()) < 4 * 9 / np.sqrt(len(shifts))
    # A normal deviate lies below -1 in 15.87 of 100 draws.
    assert (shifts < -9).mean() == pytest.approx(0.1587, abs=0.005)
    ends = GreyShift(pixels=90)(tf.constant([[0.0], [LAST]]), tf.constant(0)).numpy()
    assert np.isfinite(ends).all()


def test_random_numbers_per_image():
    assert (PCAColour.num_random, GreyShift.num_random) == (3, 1)
