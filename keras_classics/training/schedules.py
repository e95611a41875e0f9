"""Learning rates, as plain functions of the moment in a run."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from keras_classics.data.plan import Plan


@dataclass(frozen=True)
class StepInfo:
    """Where a run stands before a step.

    Attributes:
        step: Steps done.
        steps: Steps of the whole run.
        steps_per_epoch: Steps of a pass over the training split.
        history: A row a pass that is done, as in `history.csv`.
    """

    step: int
    steps: int
    steps_per_epoch: int
    history: Sequence[Mapping[str, Any]] = ()

    @property
    def epoch(self) -> float:
        """Passes done, a fraction inside a pass."""
        return self.step / self.steps_per_epoch

    @property
    def fraction(self) -> float:
        """Share of the run that is done, 0 to 1."""
        return self.step / self.steps


@dataclass(frozen=True)
class Constant:
    """The same rate throughout."""

    rate: float

    def __call__(self, info: StepInfo) -> float:
        """Returns the rate at a info."""
        return self.rate


@dataclass(frozen=True)
class PiecewiseConstant:
    """A rate for each pass over the training split: `rates[i]` holds for `epochs[i]` passes.

    The last rate goes on where the run is longer than the table.
    """

    rates: tuple[float, ...]
    epochs: tuple[int, ...]

    def __call__(self, info: StepInfo) -> float:
        """Returns the rate at a info."""
        end = 0
        for rate, length in zip(self.rates, self.epochs, strict=True):
            end += length
            if info.epoch < end:
                return rate
        return self.rates[-1]


@dataclass(frozen=True)
class MultiStepDecay:
    """A rate that is multiplied by `factor` at fixed places.

    Attributes:
        rate: The first rate.
        at: Where it drops, counted in `unit`.
        factor: What it is multiplied by at each.
        unit: `"steps"`, `"epochs"` over the training split, or `"fraction"` of the whole run.
    """

    rate: float
    at: tuple[float, ...]
    factor: float = 0.1
    unit: Literal["steps", "epochs", "fraction"] = "epochs"

    def __call__(self, info: StepInfo) -> float:
        """Returns the rate at a info."""
        done = {"steps": info.step, "epochs": info.epoch, "fraction": info.fraction}[self.unit]
        return self.rate * self.factor ** sum(done >= place for place in self.at)


@dataclass(frozen=True)
class Plateau:
    """A rate that drops when the error on held-out training images stops falling.

    "Divide the learning rate by 10 when the validation error rate stopped improving with the
    current learning rate" (Krizhevsky et al. 2012, section 5), as VGG and ResNet do too. None of
    the papers says when an error has stopped improving: `patience` and `least` are ours. The
    whole state is the history, which every checkpoint holds. The recipe must hold images out,
    `validation`.

    Attributes:
        rate: The first rate.
        factor: What it is multiplied by at each drop.
        drops: Number of drops at most.
        patience: Passes without a better error before it drops.
        least: By how much an error must be lower to count as better.
    """

    rate: float
    factor: float = 0.1
    drops: int = 3
    patience: int = 5
    least: float = 0.001

    def __call__(self, info: StepInfo) -> float:
        """Returns the rate at a info."""
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
        """Returns the rate at a info."""
        return 0.5 * self.rate * (1 + math.cos(math.pi * info.fraction))


@dataclass(frozen=True)
class Polynomial:
    """From `rate` down to 0 over the whole run: rate (1 - share) ** power, as Caffe's poly."""

    rate: float
    power: float = 1.0

    def __call__(self, info: StepInfo) -> float:
        """Returns the rate at a info."""
        return self.rate * (1 - info.fraction) ** self.power


@dataclass(frozen=True)
class InverseDecay:
    """Caffe's inv: rate (1 + gamma step) ** -power."""

    rate: float
    gamma: float
    power: float

    def __call__(self, info: StepInfo) -> float:
        """Returns the rate at a info."""
        return self.rate * (1 + self.gamma * info.step) ** -self.power


@dataclass(frozen=True)
class Warmup:
    """Another schedule with smaller rates at the start.

    Attributes:
        then: The schedule; its own clock starts with the run.
        steps: Length of the warm-up, in steps.
        epochs: Length of the warm-up in passes, where it is not given in steps.
        first: Share of `then`'s rate at the start.
        jump: Whether the share stays at `first` and jumps to 1 at the end (He et al. 2015, section
            4.2), or grows in a straight line (Goyal et al. 2017, section 2.2).
    """

    then: "Schedule"
    steps: int = 0
    epochs: float = 0.0
    first: float = 0.0
    jump: bool = False

    def __call__(self, info: StepInfo) -> float:
        """Returns the rate at a info."""
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
    """Rates of consecutive steps of one pass.

    Args:
        schedules: One for each group of variables.
        plan: The run's steps.
        first_step: First of the steps, counted from 0 in the run.
        steps: How many.
        history: Rows of the passes that are done.

    Returns:
        float32, shape (steps, schedules).
    """
    infos = [
        StepInfo(step, plan.steps, plan.steps_per_epoch, history)
        for step in range(first_step, first_step + steps)
    ]
    return np.array([[schedule(info) for schedule in schedules] for info in infos], "float32")
