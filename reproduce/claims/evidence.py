"""Tests of a statement about two arms: Welch's, Fisher's, the log-rank test, and over images.

Each says how likely the rows would be if the statement were just wrong, and if it were just right,
and how large a difference the design would find in four of five repetitions. The number of seeds
must be chosen before the runs; tests for seeds that are added are in `sequential`.
"""

import functools
import itertools
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from types import ModuleType
from typing import Protocol

import numpy as np

from keras_classics.errors import require
from keras_classics.evaluation.statistics import mean_difference
from reproduce.claims.results import Results, with_interval

# Level of the verdicts, and of the intervals in tables.
LEVEL = 0.05

# Probability with which a design must find the smallest difference that is given for it.
POWER = 0.8

# Simulated repetitions of a design.
DESIGNS = 2000

# Most regroupings of runs that the log-rank test tries; more are sampled.
REGROUPINGS = 5000


@dataclass(frozen=True)
class Evidence:
    """What the rows say about a statement.

    Attributes:
        measured: The difference, for a table.
        p_for: One-sided p-value: small if the rows speak for the statement.
        p_against: Small if they speak for its opposite.
    """

    measured: str
    p_for: float
    p_against: float

    @property
    def p(self) -> float:
        """The two-sided p-value."""
        return min(1.0, 2 * min(self.p_for, self.p_against))


def between(low: Evidence | None, high: Evidence | None) -> Evidence | None:
    """Returns the evidence that a difference lies between two bounds, by two one-sided tests.

    Args:
        low: The evidence that it exceeds the lower bound; None if there are too few rows.
        high: That it exceeds the upper bound.
    """
    if low is None or high is None:
        return None
    return Evidence(low.measured, max(low.p_for, high.p_against), min(low.p_against, high.p_for))


class Test(Protocol):
    """A test of the statement that one arm has more of something than another.

    Attributes:
        name: Name of the test.
    """

    name: str

    def evidence(self, results: Results, more: str, less: str) -> Evidence | None:
        """Returns what the rows say; None if there are too few."""

    def detects(self, results: Results, more: str, less: str, seeds: int, level: float) -> str:
        """Returns the smallest difference that the design finds with `POWER`, for a table.

        Args:
            results: Rows, from which the spread within an arm is taken.
            more: Arm with more.
            less: Arm with less.
            seeds: Runs of each arm.
            level: Level of the two-sided test.
        """


@dataclass(frozen=True)
class Means:
    """Welch's test: the mean error of one arm exceeds that of another by more than a margin.

    A negative margin makes it a test of non-inferiority: of "no better by more than".

    Attributes:
        margin: Points.
        part: `"test"` or `"training"` error.
    """

    margin: float = 0.0
    part: str = "test"

    @property
    def name(self) -> str:
        return f"Welch, {self.part} error" + (f", over {self.margin:+g}" if self.margin else "")

    def evidence(self, results: Results, more: str, less: str) -> Evidence | None:
        a, b = (np.array(results.errors(arm, self.part)) for arm in (more, less))
        if min(a.size, b.size) < 2:
            return None
        p_for, p_against = _welch(a - self.margin, b)
        return Evidence(with_interval(*mean_difference(a, b)), p_for, p_against)

    def detects(self, results: Results, more: str, less: str, seeds: int, level: float) -> str:
        if (arms := simulated_errors(results, more, less, self.part, seeds)) is None:
            return "-"
        difference, half = _simulated(*arms, level)
        return f"{self.margin + float(np.quantile(half - difference, POWER)):+.1f} points"


@dataclass(frozen=True)
class Equal:
    """Two one-sided tests of Welch: the means of two arms differ by less than a margin.

    Attributes:
        margin: Points, more than 0.
        part: `"test"` or `"training"` error.
    """

    margin: float
    part: str = "test"

    @property
    def name(self) -> str:
        return f"two one-sided, {self.part} error, within {self.margin:g}"

    def evidence(self, results: Results, more: str, less: str) -> Evidence | None:
        low, high = (
            Means(bound, self.part).evidence(results, more, less)
            for bound in (-self.margin, self.margin)
        )
        return between(low, high)

    def detects(self, results: Results, more: str, less: str, seeds: int, level: float) -> str:
        if (arms := simulated_errors(results, more, less, self.part, seeds)) is None:
            return "-"
        difference, half = _simulated(*arms, level)
        within = float(np.quantile(np.abs(difference) + half, POWER))
        return f"equal within {within:.1f} points"


@dataclass(frozen=True)
class Counts:
    """Fisher's exact test: something happens in more runs of one arm than of another.

    Attributes:
        happened: Returns for each run of an arm whether it happened.
    """

    happened: Callable[[Results, str], Sequence[bool]]
    name: str = "Fisher, number of runs"

    def evidence(self, results: Results, more: str, less: str) -> Evidence | None:
        a, b = (self.happened(results, arm) for arm in (more, less))
        if not (a and b):
            return None
        p_for, p_against = (
            _fisher(sum(a), len(a), sum(b), len(b), alternative)
            for alternative in ("greater", "less")
        )
        return Evidence(f"{sum(a)} of {len(a)}, {sum(b)} of {len(b)}", p_for, p_against)

    def detects(self, results: Results, more: str, less: str, seeds: int, level: float) -> str:
        if not (runs := self.happened(results, less)):
            return "-"
        counts = range(seeds + 1)
        found = np.array(
            [[2 * _fisher(a, seeds, b, seeds, "greater") < level for b in counts] for a in counts]
        )
        rate = sum(runs) / len(runs)
        for other in np.linspace(rate, 1, 101):
            pairs = np.outer(*(_stats().binom.pmf(counts, seeds, p) for p in (other, rate)))
            if (pairs * found).sum() >= POWER:
                return f"{100 * other:.0f} % against {100 * rate:.0f} %"
        return f"nothing from {100 * rate:.0f} %"


@dataclass(frozen=True)
class Steps:
    """The log-rank test: one arm takes more steps to an event than another, times a factor.

    Its p-values come from all ways to deal the runs to the two arms, so they are exact for few
    runs.

    Attributes:
        steps: Returns for each run of an arm its steps, and whether the event came with the last.
        factor: Factor of the steps of the faster arm.
    """

    steps: Callable[[Results, str], Sequence[tuple[float, bool]]]
    factor: float = 1.0

    @property
    def name(self) -> str:
        return "log-rank, steps" + (f", factor {self.factor:g}" if self.factor != 1 else "")

    def evidence(self, results: Results, more: str, less: str) -> Evidence | None:
        a, b = (self.steps(results, arm) for arm in (more, less))
        if not (a and b):
            return None
        scaled = [(self.factor * steps, reached) for steps, reached in b]
        ((p_for, p_against),) = _log_rank([[*a, *scaled]], len(a))
        # A run without the event counts with all its steps.
        logs = [np.mean([math.log(steps) for steps, _ in runs]) for runs in (a, b)]
        bound = "" if all(reached for _, reached in [*a, *b]) else "at least "
        return Evidence(f"{bound}{math.exp(logs[0] - logs[1]):.1f} times", p_for, p_against)

    def detects(self, results: Results, more: str, less: str, seeds: int, level: float) -> str:
        arms = [self.steps(results, arm) for arm in (more, less)]
        logs = [[math.log(steps) for steps, reached in arm if reached] for arm in arms]
        spreads = [np.var(of_arm, ddof=1) for of_arm in logs if len(of_arm) > 1]
        if not spreads:
            return "-"
        noise = np.random.default_rng(0).normal(size=(200, 2 * seeds)) * math.sqrt(np.mean(spreads))
        for factor in (1.1, 1.2, 1.3, 1.5, 2, 3, 5, 10, 100):
            steps = np.exp(noise) * np.where(np.arange(2 * seeds) < seeds, factor, 1.0)
            runs = [[(step, True) for step in design] for design in steps]
            found = [2 * p_for < level for p_for, _ in _log_rank(runs, seeds)]
            if np.mean(found) >= POWER:
                return f"{self.factor * factor:g} times"
        return "nothing"


@dataclass(frozen=True)
class Images:
    """McNemar's exact test on the test images of runs that share them.

    Attributes:
        mistakes: Returns whether an arm misclassifies each test image of each of its runs.
    """

    mistakes: Callable[[Results, str], Mapping[Hashable, bool]]
    name: str = "McNemar, test images"

    def evidence(self, results: Results, more: str, less: str) -> Evidence | None:
        only_more, only_less, images = self._counts(results, more, less)
        if not images:
            return None
        points = 100 * (only_more - only_less) / images
        differing = only_more + only_less
        p_for, p_against = (
            float(_stats().binomtest(only_more, differing, alternative=side).pvalue)
            if differing
            else 1.0
            for side in ("greater", "less")
        )
        measured = f"{points:+.2f}; {only_more} and {only_less} of {images:,}"
        return Evidence(measured, p_for, p_against)

    def detects(self, results: Results, more: str, less: str, seeds: int, level: float) -> str:
        only_more, only_less, images = self._counts(results, more, less)
        if not (differing := only_more + only_less):
            return "-"
        counts = np.arange(differing + 1)
        found = 2 * _stats().binom.sf(counts - 1, differing, 0.5) < level
        for share in np.linspace(0.5, 1, 201):
            if (_stats().binom.pmf(counts, differing, share) * found).sum() >= POWER:
                return f"{100 * (2 * share - 1) * differing / images:+.1f} points"
        return "nothing"

    def _counts(self, results: Results, more: str, less: str) -> tuple[int, int, int]:
        a, b = (self.mistakes(results, arm) for arm in (more, less))
        both = [(a[image], b[image]) for image in a.keys() & b.keys()]
        return both.count((True, False)), both.count((False, True)), len(both)


@dataclass(frozen=True)
class Resampled:
    """A difference whose standard error is that of bootstrap samples of the test images.

    Attributes:
        difference: Returns the difference of two arms and its standard error, in points, or None.
    """

    difference: Callable[[Results, str, str], tuple[float, float] | None]
    name: str = "bootstrap over images"

    def evidence(self, results: Results, more: str, less: str) -> Evidence | None:
        if (found := self.difference(results, more, less)) is None:
            return None
        points, error = found
        score = points / error
        measured = with_interval(points, points - 1.96 * error, points + 1.96 * error)
        return Evidence(measured, NormalDist().cdf(-score), NormalDist().cdf(score))

    def detects(self, results: Results, more: str, less: str, seeds: int, level: float) -> str:
        if (found := self.difference(results, more, less)) is None:
            return "-"
        errors = NormalDist().inv_cdf(1 - level / 2) + NormalDist().inv_cdf(POWER)
        return f"{errors * found[1]:+.1f} points"


def fixed_seeds(difference: float, level: float, power: float) -> int:
    """Returns the fewest seeds of each arm with which Welch's test finds a difference.

    Args:
        difference: The true difference, in spreads between seeds, which both arms share.
        level: Level of the two-sided test.
        power: Probability to find it.
    """

    def found(seeds: int) -> float:
        noise = np.random.default_rng(0).normal(size=(2, DESIGNS, seeds))
        means, halves = _simulated(*noise, level)
        return float(np.quantile(halves - means, power))

    return next(seeds for seeds in itertools.count(2) if found(seeds) <= difference)


def _stats() -> ModuleType:
    return require("scipy.stats", "train")


def _welch(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """One-sided p-values: small if the first mean is larger, small if it is smaller."""
    moments = [m for arm in (a, b) for m in (arm.mean(), arm.std(ddof=1), arm.size)]
    if not (moments[1] or moments[4]):
        # Without any spread there is no test.
        return 1.0, 1.0
    larger, smaller = (
        float(_stats().ttest_ind_from_stats(*moments, equal_var=False, alternative=side).pvalue)
        for side in ("greater", "less")
    )
    return larger, smaller


def simulated_errors(
    results: Results, more: str, less: str, part: str, seeds: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns errors of simulated designs without a difference, of both arms.

    None without rows to take the spreads of the arms from.
    """
    arms = [results.errors(arm, part) for arm in (more, less)]
    if min(map(len, arms)) < 2 or seeds < 2:
        return None
    draw = np.random.default_rng(0)
    a, b = (draw.normal(0, np.std(arm, ddof=1), (DESIGNS, seeds)) for arm in arms)
    return a, b


def _simulated(a: np.ndarray, b: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """The difference of each design and half the width of its interval, as Welch's."""
    test = _stats().ttest_ind(a, b, axis=1, equal_var=False)
    interval = test.confidence_interval(1 - level)
    return a.mean(axis=1) - b.mean(axis=1), (interval.high - interval.low) / 2


@functools.cache
def _fisher(a: int, of_a: int, b: int, of_b: int, alternative: str) -> float:
    table = [[a, of_a - a], [b, of_b - b]]
    return float(_stats().fisher_exact(table, alternative=alternative).pvalue)


def _log_rank(
    designs: Sequence[Sequence[tuple[float, bool]]], first: int
) -> list[tuple[float, float]]:
    """One-sided p-values of each design: small if its first runs take more steps, or fewer.

    Peto and Peto 1972, "Asymptotically Efficient Rank Invariant Test Procedures": the statistic is
    linear in scores, event minus cumulative hazard of all runs, which no regrouping changes.
    """
    scores = np.array([_scores(runs) for runs in designs])
    groups = _regroupings(scores.shape[1], first)
    sums = scores @ groups.T
    # Fewer events than expected: more steps. Equal sums must count as equal.
    own = scores[:, :first].sum(axis=1, keepdims=True)
    more = (sums <= own + 1e-9).mean(axis=1)
    fewer = (sums >= own - 1e-9).mean(axis=1)
    return [(float(p_for), float(p_against)) for p_for, p_against in zip(more, fewer, strict=True)]


def _scores(runs: Sequence[tuple[float, bool]]) -> list[float]:
    events = sorted({steps for steps, reached in runs if reached})
    hazards = {
        event: sum(1 for steps, reached in runs if reached and steps == event)
        / sum(1 for steps, _ in runs if steps >= event)
        for event in events
    }
    return [
        reached - sum(hazard for event, hazard in hazards.items() if event <= steps)
        for steps, reached in runs
    ]


@functools.cache
def _regroupings(runs: int, first: int) -> np.ndarray:
    """Which runs are in the first group: all ways, the own one first, or a sample of them."""
    if math.comb(runs, first) <= REGROUPINGS:
        chosen = np.array(list(itertools.combinations(range(runs), first)))
    else:
        draw = np.random.default_rng(0)
        sample = [draw.permutation(runs)[:first] for _ in range(REGROUPINGS - 1)]
        chosen = np.array([np.arange(first), *sample])
    groups = np.zeros((len(chosen), runs))
    np.put_along_axis(groups, chosen, 1.0, axis=1)
    return groups
