"""Learning rates at chosen places."""

import numpy as np
import pytest

from keras_classics.training import recipes
from keras_classics.training.schedules import Constant, Cosine, PerPass, rates
from tests.data.test_pipeline import plan


def test_constant():
    assert Constant(0.3)(17.5, 20) == 0.3


def test_the_paper_s_rates_of_lenet5():
    schedule = recipes.LENET5_PAPER.schedule
    # LeCun et al. 1998, section III-B, pass by pass.
    expected = 2 * [5e-4] + 3 * [2e-4] + 3 * [1e-4] + 4 * [5e-5] + 8 * [1e-5]
    assert [schedule(done, 20) for done in range(20)] == expected
    assert [schedule(done + 0.999, 20) for done in range(20)] == expected
    assert schedule(30, 40) == 1e-5


def test_cosine():
    schedule = Cosine(0.2)
    assert schedule(0, 8) == 0.2
    assert schedule(4, 8) == pytest.approx(0.1)
    assert schedule(8, 8) == pytest.approx(0)
    assert schedule(2, 8) == pytest.approx(0.2 * 0.853553, rel=1e-5)


def test_rates_of_consecutive_steps():
    # 8 steps an epoch.
    got = rates(PerPass((1.0, 2.0), (1, 1)), plan(), epoch=0, first_step=6, steps=4)
    assert got.dtype == np.float32
    assert got.tolist() == [1, 1, 2, 2]
