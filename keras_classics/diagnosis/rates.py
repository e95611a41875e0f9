"""The learning rate: the range test of Smith 2017, and what it says about the compiled rate.

Smith 2017, "Cyclical Learning Rates for Training Neural Networks" (arXiv 1506.01186), section 3.3,
lets the rate grow linearly over several epochs. Here it grows exponentially over some dozens of
steps, as has become usual.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras
import numpy as np

from keras_classics.diagnosis.case import Case
from keras_classics.diagnosis.findings import Finding
from keras_classics.diagnosis.graph import unchanged
from keras_classics.diagnosis.progress import has_learned
from keras_classics.diagnosis.steps import (
    Stepper,
    StepResult,
    once,
    planned_rates,
    starting_network,
    unscaled,
)
from keras_classics.training.schedules import Constant

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOWEST, HIGHEST = 1e-6, 10.0
# Twelve steps for each factor of ten.
STEPS = 84
# Weight of the mean of the losses before.
SMOOTHING = 0.8
# The test ends where the smoothed loss is so many times the loss at the start.
DIVERGED = 2.0
# Fall of the loss, of the loss at the start, below which nothing has been learned: in a range test,
# whose useful rates last for some steps only, and in the steps at one rate.
FALL = 0.03
LEARNED = 0.1
# The smallest useful rate is where the loss has fallen by this part of its whole fall.
VISIBLE = 0.2
# A tenth of the rate with the smallest loss is the usual choice: at that rate itself the loss is
# about to grow.
BACK = 10.0
# Steps at the compiled and at the suggested rate, which decide.
TRIED = 50
# Of the fall at the suggested rate, at most this part at a compiled rate that is too large, and at
# one that is too small: the network would need thousands of steps for what takes dozens. Adam at
# 0.0001, which many use, is slower than it could be and no fault.
SPOILT = 0.1
SLOW = 0.02
# A compiled rate that is too small is less than the suggested one by this factor.
FACTOR = 20.0


@dataclass(frozen=True)
class RangeTest:
    """What a range test measured.

    Attributes:
        rates: The rate of each step.
        losses: The smoothed loss before each step.
        start: The loss at rates that are too small to change it.
        suggested: The rate to train with, or None if the loss fell at no rate.
        low: The smallest rate at which the loss visibly falls, or None.
        high: The rate at which the loss was smallest, or None.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    start: float
    suggested: float | None = None
    low: float | None = None
    high: float | None = None

    def draw(self, axes: "Axes", given: float | None = None) -> None:
        """Draws the loss over the rate.

        Args:
            axes: Axes of matplotlib.
            given: A rate to mark beside the suggested one.
        """
        axes.plot(self.rates, self.losses)
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss (smoothed)")
        marks = {"suggested": self.suggested, "compiled": given}
        for style, (name, rate) in zip(("--", ":"), marks.items(), strict=True):
            if rate is not None:
                axes.axvline(rate, ls=style, color="grey", label=f"{name}: {rate:.2g}")
        if self.low is not None and self.high is not None:
            axes.axvspan(self.low, self.high, alpha=0.1)
        axes.legend(frameon=False)


def read_range(rates: Sequence[float], losses: Sequence[float]) -> RangeTest:
    """Reads the useful rates off the losses of a range test.

    Args:
        rates: The rate of each step, growing.
        losses: The loss before each step; one that is not finite ends the test.
    """
    finite = next((i for i, loss in enumerate(losses) if not math.isfinite(loss)), len(losses))
    rates, losses = [float(rate) for rate in rates[:finite]], losses[:finite]
    smoothed = smooth(losses)
    if len(smoothed) < 4:
        return RangeTest(tuple(rates), tuple(smoothed), smoothed[0] if smoothed else math.nan)
    # At the smallest rates nothing is learned yet: they show how much the batches differ.
    quiet = max(2, len(smoothed) // 5)
    start, noise = float(np.mean(losses[:quiet])), float(np.std(losses[:quiet]))
    end = next((i for i, loss in enumerate(smoothed) if loss > DIVERGED * start), len(smoothed))
    rates, smoothed = rates[:end], smoothed[:end]
    best = int(np.argmin(smoothed))
    fall = start - smoothed[best]
    measured = tuple(rates), tuple(smoothed), start
    if fall < max(FALL * start, noise):
        return RangeTest(*measured)
    before = [i for i in range(best) if smoothed[i] > start - VISIBLE * fall]
    low, high = rates[before[-1] if before else 0], rates[best]
    return RangeTest(*measured, min(max(high / BACK, low), high), low, high)


def smooth(losses: Sequence[float]) -> list[float]:
    """Returns exponential means of the losses so far, which do not lean to the first."""
    smoothed, total, weight = [], 0.0, 0.0
    for loss in losses:
        total = SMOOTHING * total + (1 - SMOOTHING) * loss
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        smoothed.append(total / weight)
    return smoothed


@dataclass(frozen=True)
class RateTest:
    """A range test, and some steps at the compiled and at the suggested rate.

    Attributes:
        range: The range test.
        rates: The compiled rates of the first steps.
        given: Steps at the compiled rates.
        suggested: Steps at the suggested rate; none if there is no such rate.
    """

    range: RangeTest
    rates: tuple[float, ...]
    given: tuple[StepResult, ...]
    suggested: tuple[StepResult, ...]

    @property
    def rate(self) -> float:
        """The largest of the compiled rates."""
        return max(self.rates)


@dataclass(frozen=True, eq=False)
class CompiledSteps:
    """The first steps at the compiled rates.

    Attributes:
        model: The network with the weights that training starts from.
        rates: The compiled rates.
        results: What each step saw.
    """

    model: keras.Model
    rates: tuple[float, ...]
    results: tuple[StepResult, ...]


@once
def compiled_steps(case: Case) -> CompiledSteps | None:
    """Trains some steps at the compiled rates, and takes them back; None if these are unknown."""
    rates = planned_rates(case, TRIED)
    if rates is None or not np.isfinite(case.inputs()).all():
        return None
    model = starting_network(case)
    if not model.trainable_variables:
        return None
    with unchanged(model):
        return CompiledSteps(model, tuple(rates), tuple(Stepper(case, model).run(rates)))


@once
def rate_test(case: Case) -> RateTest | None:
    """Tests the learning rate of a case from the start of its training; None if it has none.

    The network is as before afterwards. Steps see the case's sample again and again.
    """
    compiled = compiled_steps(case)
    if compiled is None:
        return None
    with unchanged(compiled.model):
        stepper = Stepper(case, compiled.model)
        growing = np.geomspace(LOWEST, HIGHEST, STEPS).tolist()
        tested = read_range(growing, [result.loss for result in stepper.run(growing, DIVERGED)])
        suggested = [] if tested.suggested is None else stepper.run([tested.suggested] * TRIED)
    return RateTest(tested, compiled.rates, compiled.results, tuple(suggested))


def learning_rate(case: Case) -> Iterator[Finding]:
    """Finds a rate at which the loss does not fall, or hardly, while it does at another."""
    if has_learned(case.history):
        return
    compiled = compiled_steps(case)
    if compiled is None or _falls(compiled.results):
        return  # No other rate can make this one a fault.
    test = rate_test(case)
    if test is None or test.range.suggested is None:
        return
    start, suggested = test.range.start, test.range.suggested
    reached, possible = end_of(test.given), end_of(test.suggested)
    if not start - possible > LEARNED * start:
        return
    too_large = test.rate > suggested and not start - reached > SPOILT * (start - possible)
    too_small = test.rate < suggested / FACTOR and start - reached < SLOW * (start - possible)
    if not (too_large or too_small):
        return
    yield Finding(
        "rate_too_large" if too_large else "rate_too_small",
        f"In {len(test.given)} steps at the compiled rate {_rates(test.rates)} the loss goes from "
        f"{start:.3g} to {reached:.3g}; at {suggested:.2g} it falls to {possible:.3g}.",
        f"A rate at which the loss falls: by the range test, {test.range.low:.2g} to "
        f"{test.range.high:.2g}.",
        f"Use the learning rate {suggested:.2g}.",
        values={**dataclasses.asdict(test.range), "compiled": test.rate},
        plot=lambda axes: test.range.draw(axes, test.rate),
        trial=lambda tried: with_rate(tried, suggested),
    )


def _falls(results: Sequence[StepResult]) -> bool:
    """Whether the loss falls by more than a rate that is too large or too small lets it."""
    return end_of(results) < (1 - max(SPOILT, SLOW) - FALL) * results[0].loss


def end_of(results: Sequence[StepResult]) -> float:
    """Returns the mean loss of the last fifth of some steps; infinite if one is not finite."""
    losses = [result.loss for result in results]
    if not losses or not math.isfinite(losses[-1]):
        return math.inf
    return float(np.mean(losses[-max(1, len(losses) // 5) :]))


def _rates(rates: Sequence[float]) -> str:
    low, high = min(rates), max(rates)
    return f"{high:.2g}" if high < 1.01 * low else f"({low:.2g} to {high:.2g})"


def with_rate(case: Case, rate: float) -> Case:
    """Returns a case with a constant learning rate."""
    if case.optimizer is None and case.recipe is not None:
        recipe = dataclasses.replace(case.recipe, schedule=Constant(rate))
        return dataclasses.replace(case, recipe=recipe)
    optimizer = unscaled(case.optimizer)
    config = {**optimizer.get_config(), "learning_rate": rate}
    copy: keras.optimizers.Optimizer = type(optimizer).from_config(config)
    return dataclasses.replace(case, optimizer=copy)
