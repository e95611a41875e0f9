"""Learning rates at chosen moments."""

import dataclasses

import numpy as np
import pytest

from keras_classics.data.plan import Plan
from keras_classics.errors import UserError
from keras_classics.training import recipes, schedules
from keras_classics.training.schedules import StepInfo, rates
from tests.helpers.pipelines import plan

SPE = 10


def at(schedule, passes: float, epochs: int = 20, history=()) -> float:
    return schedule(StepInfo(round(passes * SPE), epochs * SPE, SPE, history))


def test_constant():
    assert at(schedules.Constant(0.3), 17.5) == 0.3


def test_the_paper_s_rates_of_lenet5():
    schedule = recipes.LENET5_PAPER.schedule
    # LeCun et al. 1998, section III-B, pass by pass.
    expected = 2 * [5e-4] + 3 * [2e-4] + 3 * [1e-4] + 4 * [5e-5] + 8 * [1e-5]
    assert [at(schedule, done) for done in range(20)] == expected
    assert [at(schedule, done + 0.9) for done in range(20)] == expected
    assert at(schedule, 30, 40) == 1e-5


def test_cosine():
    schedule = schedules.Cosine(0.2)
    assert at(schedule, 0, 8) == 0.2
    assert at(schedule, 4, 8) == pytest.approx(0.1)
    assert at(schedule, 8, 8) == pytest.approx(0)
    assert at(schedule, 2, 8) == pytest.approx(0.2 * 0.853553, rel=1e-5)


@pytest.mark.parametrize(
    ("unit", "places", "passes"),
    [
        ("steps", (30, 45), (3, 4.5)),
        ("epochs", (2, 7.5), (2, 7.5)),
        ("fraction", (0.5, 0.75), (5, 7.5)),
    ],
)
def test_drops_at_steps_passes_and_shares(unit, places, passes):
    schedule = schedules.MultiStepDecay(0.4, places, factor=0.5, unit=unit)
    first, second = passes
    got = [at(schedule, p, 10) for p in (0, first - 0.1, first, second - 0.1, second, 9.9)]
    assert got == pytest.approx([0.4, 0.4, 0.2, 0.2, 0.1, 0.1])


def accuracies(*values: float) -> list[dict[str, float]]:
    return [{"validation_accuracy": value} for value in values]


def test_a_plateau_divides_by_ten_when_the_error_stalls():
    schedule = schedules.Plateau(0.1, patience=2, drops=2, least=0.01)
    improving = accuracies(0.5, 0.6, 0.7)
    assert at(schedule, 3, history=improving) == 0.1
    # By less than `least`, twice.
    stalled = [*improving, *accuracies(0.705, 0.7)]
    assert at(schedule, 4, history=stalled[:-1]) == 0.1
    assert at(schedule, 5, history=stalled) == pytest.approx(0.01)
    # The count starts anew; small steps add up against the error that was last counted as better.
    again = [*stalled, *accuracies(0.72, 0.71)]
    assert at(schedule, 7, history=again) == pytest.approx(0.01)
    more = [*again, *accuracies(0.70, 0.70, 0.70, 0.70, 0.70)]
    assert at(schedule, 12, history=more) == pytest.approx(0.001)


def test_polynomial():
    schedule = schedules.Polynomial(0.4, power=2)
    assert [at(schedule, p, 10) for p in (0, 5, 10)] == pytest.approx([0.4, 0.1, 0])


def test_inverse_is_caffe_s():
    # Caffe's LeNet: 0.01 (1 + 0.0001 iter) ** -0.75.
    schedule = schedules.InverseDecay(0.01, gamma=0.0001, power=0.75)
    assert schedule(StepInfo(0, 10_000, SPE)) == 0.01
    assert schedule(StepInfo(10_000, 10_000, SPE)) == pytest.approx(0.01 * 2**-0.75)


def test_warmup_grows_in_a_line_or_jumps():
    line = schedules.Warmup(schedules.Constant(0.4), epochs=2)
    assert [at(line, p) for p in (0, 0.5, 1, 2, 3)] == pytest.approx([0, 0.1, 0.2, 0.4, 0.4])
    jump = schedules.Warmup(schedules.Constant(0.1), steps=4, first=0.1, jump=True)
    got = [jump(StepInfo(step, 100, SPE)) for step in (0, 3, 4, 50)]
    assert got == pytest.approx([0.01, 0.01, 0.1, 0.1])


def test_rates_of_consecutive_steps():
    # 8 steps an epoch.
    each = (schedules.PiecewiseConstant((1.0, 2.0), (1, 1)), schedules.Constant(0.5))
    got = rates(each, plan(), first_step=6, steps=4)
    assert got.dtype == np.float32
    assert got.tolist() == [[1, 0.5], [1, 0.5], [2, 0.5], [2, 0.5]]


def test_a_plateau_needs_images_that_are_held_out():
    with pytest.raises(ValueError, match="held out of training. Received: validation=0"):
        dataclasses.replace(recipes.LENET5_MODERN, schedule=schedules.Plateau(0.1))


def test_defaults():
    # "Divide the learning rate by 10"; how long is waited, and for how little, is ours.
    assert schedules.MultiStepDecay(1.0, (3,)) == schedules.MultiStepDecay(1.0, (3,), 0.1, "epochs")
    plateau = schedules.Plateau(1.0, factor=0.1, drops=3, patience=5, least=0.001)
    assert schedules.Plateau(1.0) == plateau
    assert schedules.Polynomial(1.0) == schedules.Polynomial(1.0, power=1.0)
    constant = schedules.Constant(1.0)
    warmup = schedules.Warmup(constant, steps=0, epochs=0.0, first=0.0, jump=False)
    assert schedules.Warmup(constant) == warmup


def test_a_plateau_at_its_bounds():
    schedule = schedules.Plateau(1.0, factor=0.5, drops=1, patience=2, least=0.25)
    # 0.25 better is not enough, by more it is.
    assert at(schedule, 3, history=accuracies(0.0, 0.25, 0.25)) == 0.5
    assert at(schedule, 3, history=accuracies(0.0, 0.375, 0.25)) == 1.0
    # The first error is better than none; no more drops than `drops`.
    assert at(schedule, 1, history=accuracies(0.0)) == 1.0
    assert at(schedule, 9, history=accuracies(*[0.0] * 9)) == 0.5


def test_a_warmup_in_steps_or_in_epochs_and_from_a_first_fraction():
    schedule = schedules.Warmup(schedules.Constant(1.0), steps=4, epochs=9, first=0.5)
    got = [schedule(StepInfo(step, 100, SPE)) for step in range(6)]
    assert got == pytest.approx([0.5, 0.625, 0.75, 0.875, 1, 1])


@pytest.mark.parametrize(
    "schedule",
    [
        schedules.PiecewiseConstant((0.1, 0.2), (1,)),
        schedules.PiecewiseConstant((), ()),
        schedules.InverseDecay(0.1, gamma=-1.0, power=0.5),
        schedules.InverseDecay(0.1, gamma=-0.25, power=1.0),
        schedules.MultiStepDecay(0.1, at=(0.0,) * 400, factor=1e300),
    ],
    ids=lambda schedule: type(schedule).__name__,
)
def test_arguments_that_do_not_fit_together_are_told(schedule):
    made = Plan(images=8, batch_size=2, steps=12, steps_per_block=4, seed=0)
    with pytest.raises(UserError, match=r"no learning rate for a step from 5 to 8: .* Received"):
        rates([schedule], made, first_step=4, steps=4)
