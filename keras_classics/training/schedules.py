"""Learning rate schedules: plain functions of the position in a run."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from keras_classics.data.plan import Plan
from keras_classics.errors import UserError


@dataclass(frozen=True)
class StepInfo:
    """The position of a run before a step.

    Attributes:
        step: Number of finished steps.
        steps: Steps of the whole run.
        steps_per_epoch: Steps of an epoch; not a whole number if images are carried over.
        history: One row per finished epoch, as in `history.csv`.
    """

    step: int
    steps: int
    steps_per_epoch: float
    history: Sequence[Mapping[str, Any]] = ()

    @property
    def epoch(self) -> float:
        """Number of finished epochs, with the fraction of the current one."""
        return self.step / self.steps_per_epoch

    @property
    def fraction(self) -> float:
        """Finished fraction of the run, 0 to 1."""
        return self.step / self.steps


@dataclass(frozen=True)
class Constant:
    """A constant learning rate."""

    rate: float

    def __call__(self, info: StepInfo) -> float:
        """Returns the learning rate of a step."""
        return self.rate


@dataclass(frozen=True)
class PiecewiseConstant:
    """A table of learning rates: `rates[i]` holds for `epochs[i]` epochs.

    If the run is longer than the table, the last rate continues.
    """

    rates: tuple[float, ...]
    epochs: tuple[int, ...]

    def __call__(self, info: StepInfo) -> float:
        """Returns the learning rate of a step."""
        end = 0
        for rate, length in zip(self.rates, self.epochs, strict=True):
            end += length
            if info.epoch < end:
                return rate
        return self.rates[-1]


@dataclass(frozen=True)
class MultiStepDecay:
    """A learning rate that is multiplied by `factor` at fixed positions.

    Attributes:
        rate: Initial rate.
        at: Positions, in `unit`.
        factor: Factor at each position.
        unit: `"steps"`, `"epochs"`, or `"fraction"` of the whole run.
    """

    rate: float
    at: tuple[float, ...]
    factor: float = 0.1
    unit: Literal["steps", "epochs", "fraction"] = "epochs"

    def __call__(self, info: StepInfo) -> float:
        """Returns the learning rate of a step."""
        done = {"steps": info.step, "epochs": info.epoch, "fraction": info.fraction}[self.unit]
        return self.rate * self.factor ** sum(done >= position for position in self.at)


@dataclass(frozen=True)
class Plateau:
    """A learning rate that drops when the error on the validation split stops falling.

    "Divide the learning rate by 10 when the validation error rate stopped improving with the
    current learning rate" (Krizhevsky et al. 2012, section 5), as VGG and ResNet do too. None of
    the papers says when an error has stopped improving: `patience` and `least` are ours. The
    history is the whole state, and every checkpoint holds it. The recipe must set `validation`.

    Attributes:
        rate: Initial rate.
        factor: Factor of each drop.
        drops: Maximum number of drops.
        patience: Epochs without a better error before a drop.
        least: By how much an error must be lower to count as better.
    """

    rate: float
    factor: float = 0.1
    drops: int = 3
    patience: int = 5
    least: float = 0.001

    def __call__(self, info: StepInfo) -> float:
        """Returns the learning rate of a step."""
        dropped, stalled, best = 0, 0, math.inf
        for row in info.history:
            error = 1 - row["validation_accuracy"]
            if error < best - self.least:
                best, stalled = error, 0
            else:
                stalled += 1
            if stalled == self.patience and dropped < self.drops:
                dropped, stalled = dropped + 1, 0
        return self.rate * self.factor**dropped


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from `rate` down to 0 over the whole run."""

    rate: float

    def __call__(self, info: StepInfo) -> float:
        """Returns the learning rate of a step."""
        return 0.5 * self.rate * (1 + math.cos(math.pi * info.fraction))


@dataclass(frozen=True)
class Polynomial:
    """From `rate` down to 0 over the whole run: rate (1 - fraction) ** power, Caffe's poly."""

    rate: float
    power: float = 1.0

    def __call__(self, info: StepInfo) -> float:
        """Returns the learning rate of a step."""
        return self.rate * (1 - info.fraction) ** self.power


@dataclass(frozen=True)
class InverseDecay:
    """Caffe's inv: rate (1 + gamma step) ** -power."""

    rate: float
    gamma: float
    power: float

    def __call__(self, info: StepInfo) -> float:
        """Returns the learning rate of a step."""
        return self.rate * (1 + self.gamma * info.step) ** -self.power


@dataclass(frozen=True)
class Warmup:
    """Another schedule with smaller rates at the start.

    Attributes:
        then: The schedule; it counts from the start of the run, too.
        steps: Length of the warm-up in steps.
        epochs: Length of the warm-up in epochs, if it is not given in steps.
        first: Fraction of `then`'s rate at the start.
        jump: Whether the fraction stays at `first` and jumps to 1 at the end (He et al. 2015,
            section 4.2), or grows linearly (Goyal et al. 2017, section 2.2).
    """

    then: "Schedule"
    steps: int = 0
    epochs: float = 0.0
    first: float = 0.0
    jump: bool = False

    def __call__(self, info: StepInfo) -> float:
        """Returns the learning rate of a step."""
        length = self.steps or self.epochs * info.steps_per_epoch
        rate = self.then(info)
        if info.step >= length:
            return rate
        grown = 0.0 if self.jump else info.step / length
        return rate * (self.first + (1 - self.first) * grown)


Schedule = (
    Constant
    | PiecewiseConstant
    | MultiStepDecay
    | Plateau
    | Cosine
    | Polynomial
    | InverseDecay
    | Warmup
)


def rates(
    schedules: Sequence[Callable[[StepInfo], float]],
    plan: Plan,
    first_step: int,
    steps: int,
    history: Sequence[Mapping[str, Any]] = (),
) -> np.ndarray:
    """Returns the learning rates of consecutive steps of one epoch.

    Args:
        schedules: One for each group of variables.
        plan: The run's steps.
        first_step: First of the steps, counted from 0 in the run.
        steps: Number of steps.
        history: Rows of the finished epochs.

    Returns:
        float32, shape (steps, schedules).

    Raises:
        UserError: If a schedule's arguments do not fit together.
    """
    infos = [
        StepInfo(step, plan.steps, plan.steps_per_epoch, history)
        for step in range(first_step, first_step + steps)
    ]
    try:
        with np.errstate(over="ignore"):
            table = [[schedule(info) for schedule in schedules] for info in infos]
            return np.array(table, "float32")
    except (ArithmeticError, IndexError, TypeError, ValueError) as error:
        # Arguments that do not fit together: tables of other lengths, powers beyond all numbers.
        raise UserError(
            f"A schedule has no learning rate for a step from {first_step + 1} to "
            f"{first_step + steps}: {error}. Received: {', '.join(map(str, schedules))}."
        ) from error
