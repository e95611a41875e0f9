"""Learning rates, as plain functions of the position in a run."""

import math
from dataclasses import dataclass

import numpy as np

from keras_classics.data.pipeline import Plan


@dataclass(frozen=True)
class Constant:
    """The same rate throughout."""

    rate: float

    def __call__(self, passes: float, epochs: int) -> float:
        """Returns the rate. See `rates`."""
        return self.rate


@dataclass(frozen=True)
class PerPass:
    """A rate for each pass over the training split: `rates[i]` holds for `passes[i]` passes.

    The last rate goes on where the run is longer than the table.
    """

    rates: tuple[float, ...]
    passes: tuple[int, ...]

    def __call__(self, passes: float, epochs: int) -> float:
        """Returns the rate after so many passes. See `rates`."""
        end = 0
        for rate, length in zip(self.rates, self.passes, strict=True):
            end += length
            if passes < end:
                return rate
        return self.rates[-1]


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from `rate` down to 0 over the whole run."""

    rate: float

    def __call__(self, passes: float, epochs: int) -> float:
        """Returns the rate after so many passes. See `rates`."""
        return 0.5 * self.rate * (1 + math.cos(math.pi * passes / epochs))


Schedule = Constant | PerPass | Cosine


def rates(schedule: Schedule, plan: Plan, epoch: int, first_step: int, steps: int) -> np.ndarray:
    """Rates of consecutive steps of an epoch.

    Args:
        schedule: Called with the number of passes done before a step, a fraction inside a pass,
            and the number of passes in the run.
        plan: The run's steps.
        epoch: Counted from 0.
        first_step: First of the steps, counted from 0 in its epoch.
        steps: How many.

    Returns:
        float32, shape (steps,).
    """
    numbers = range(first_step, first_step + steps)
    passes = [epoch + number / plan.steps_per_epoch for number in numbers]
    return np.array([schedule(done, plan.epochs) for done in passes], "float32")
