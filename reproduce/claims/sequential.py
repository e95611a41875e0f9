"""Tests that stay valid when seeds are added until they decide.

The two arms are compared run by run: runs of the same seed are a pair. After each pair there is a
p-value, and the probability that it ever falls below a level is at most that level if the arms are
alike, however often somebody looks and whenever the runs end (Ville 1939). It is one over the
likelihood ratio of a mixture of alternatives to "no difference", and it depends on the pairs alone,
not on their order.

- Means: the pairs' differences are normal, with a spread that is not known. The mixture is normal
  over the mean in units of that spread (Wang and Ramdas 2024, "Anytime-valid t-tests and confidence
  sequences for Gaussian means with unknown variance"). The arms may have different spreads; taking
  differences costs some seeds where there are few.
- Signs: which run of a pair has more. The mixture is uniform over the probability that it is the
  first arm's.

Exact for these assumptions; `reproduce.report.stopping_table` simulates others.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from keras_classics.errors import require
from reproduce.claims.evidence import (
    DESIGNS,
    LEVEL,
    POWER,
    Counts,
    Equal,
    Evidence,
    Means,
    Steps,
    Test,
    between,
    simulated_errors,
)
from reproduce.claims.results import Results, with_interval

# Standard deviation of the mixture: of the mean, in units of the differences' own spread. Smaller
# ones need fewer seeds for small differences, but cannot decide with five seeds, however large.
MIXTURE = 2.0


@dataclass(frozen=True)
class PairedMeans:
    """Always-valid t-test: the mean error of one arm exceeds that of another by more than a margin.

    A negative margin makes it a test of non-inferiority: of "no better by more than".

    Attributes:
        margin: Points.
        part: `"test"` or `"training"` error.
    """

    margin: float = 0.0
    part: str = "test"

    @property
    def name(self) -> str:
        over = f", over {self.margin:+g}" if self.margin else ""
        return f"always-valid t, {self.part} error{over}"

    def evidence(self, results: Results, more: str, less: str) -> Evidence | None:
        differences = _differences(results, more, less, self.part)
        if differences.size < 2:
            return None
        return Evidence(_measured(differences), *_one_sided(differences - self.margin))

    def detects(self, results: Results, more: str, less: str, seeds: int, level: float) -> str:
        if (arms := simulated_errors(results, more, less, self.part, seeds)) is None:
            return "-"
        means, halves = intervals(arms[0] - arms[1], level)
        found = _quantile((halves - means).min(axis=1))
        return f"{self.margin + found:+.1f} points" if np.isfinite(found) else "nothing"


@dataclass(frozen=True)
class PairedEqual:
    """Two one-sided always-valid t-tests: the means of two arms differ by less than a margin.

    Attributes:
        margin: Points, more than 0.
        part: `"test"` or `"training"` error.
    """

    margin: float
    part: str = "test"

    @property
    def name(self) -> str:
        return f"two always-valid t, {self.part} error, within {self.margin:g}"

    def evidence(self, results: Results, more: str, less: str) -> Evidence | None:
        low, high = (
            PairedMeans(bound, self.part).evidence(results, more, less)
            for bound in (-self.margin, self.margin)
        )
        return between(low, high)

    def detects(self, results: Results, more: str, less: str, seeds: int, level: float) -> str:
        if (arms := simulated_errors(results, more, less, self.part, seeds)) is None:
            return "-"
        means, halves = intervals(arms[0] - arms[1], level)
        within = _quantile((np.abs(means) + halves).min(axis=1))
        return f"equal within {within:.1f} points" if np.isfinite(within) else "nothing"


@dataclass(frozen=True)
class PairedSigns:
    """Always-valid sign test: of the pairs that differ, one arm has more in most.

    For what has no mean: whether something happened, or the steps until it did, infinite if it did
    not.

    Attributes:
        values: Returns a value for each run of an arm, in the order of the rows.
        what: What the values are.
    """

    values: Callable[[Results, str], Sequence[float]]
    what: str

    @property
    def name(self) -> str:
        return f"always-valid sign, {self.what}"

    def evidence(self, results: Results, more: str, less: str) -> Evidence | None:
        a, b = self._pairs(results, more, less)
        if not a.size:
            return None
        only_more, only_less = int(np.sum(a > b)), int(np.sum(a < b))
        p = float(sign_p_values(np.array(only_more), np.array(only_less)))
        measured = f"{only_more} and {only_less} of {a.size} pairs"
        return Evidence(measured, *_sided(p, only_more - only_less))

    def detects(self, results: Results, more: str, less: str, seeds: int, level: float) -> str:
        a, b = self._pairs(results, more, less)
        if not (differing := round(seeds * np.mean(a != b)) if a.size else 0):
            return "-"
        draws = np.random.default_rng(0).random((DESIGNS, differing))
        for share in np.linspace(0.5, 1, 51):
            ups = np.cumsum(draws < share, axis=1)
            downs = np.arange(1, differing + 1) - ups
            found = ((sign_p_values(ups, downs) < level) & (ups > downs)).any(axis=1)
            if found.mean() >= POWER:
                return f"{100 * share:.0f} % of pairs that differ"
        return "nothing"

    def _pairs(self, results: Results, more: str, less: str) -> tuple[np.ndarray, np.ndarray]:
        return _pairs(results, more, less, self.values)


def always_valid(test: Test) -> Test | None:
    """Returns the test of the same statement that stays valid when seeds are added.

    None if there is none: a comparison over images, and steps times a factor, have a fixed number
    of seeds.
    """
    match test:
        case PairedMeans() | PairedEqual() | PairedSigns():
            return test
        case Means(margin, part):
            return PairedMeans(margin, part)
        case Equal(margin, part):
            return PairedEqual(margin, part)
        case Counts(happened):
            return PairedSigns(happened, "number of runs")
        case Steps(steps, 1.0):
            return PairedSigns(functools.partial(_steps_or_never, steps), "steps")
    return None


def _steps_or_never(
    steps: Callable[[Results, str], Sequence[tuple[float, bool]]], results: Results, arm: str
) -> list[float]:
    """Steps of each run until its event, infinite without it."""
    return [number if reached else math.inf for number, reached in steps(results, arm)]


def p_values(differences: np.ndarray) -> np.ndarray:
    """Returns the two-sided p-value of "the mean is 0" after each pair.

    Args:
        differences: Shape (..., pairs).
    """
    pairs, means, squares = _moments(differences)
    spread_of_mean = 1 + pairs * MIXTURE**2
    total, left = squares + pairs * means**2, squares + pairs * means**2 / spread_of_mean
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = pairs / 2 * np.log(total / left) - np.log(spread_of_mean) / 2
    # Pairs without any difference say nothing.
    return np.minimum(1.0, np.exp(-np.where(total > 0, logs, 0.0)))


def intervals(differences: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean after each pair, and half the width of its always-valid interval.

    The interval holds all means whose p-value is `level` or more: those of all pairs together hold
    the true mean with a probability of at least 1 - `level`. It is infinite for the first pairs.

    Args:
        differences: Shape (..., pairs).
        level: 0 to 1.
    """
    pairs, means, squares = _moments(differences)
    spread_of_mean = 1 + pairs * MIXTURE**2
    limit = (np.sqrt(spread_of_mean) / level) ** (2 / pairs)
    finite = limit < spread_of_mean
    factor = np.where(finite, limit - 1, 1) / np.where(finite, 1 - limit / spread_of_mean, 1)
    return means, np.where(finite, np.sqrt(squares / pairs * factor), np.inf)


def sign_p_values(more: np.ndarray, less: np.ndarray) -> np.ndarray:
    """Returns the two-sided p-value of "more and less are as probable" for counts of both."""
    pairs = more + less
    logs = pairs * np.log(2) + require("scipy.special", "train").betaln(more + 1, less + 1)
    return np.minimum(1.0, np.exp(-logs))


def decisions(p: np.ndarray, means: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns after how many pairs each of many claims is decided, and in which direction.

    Args:
        p: p-value after each pair, shape (claims, pairs).
        means: The mean difference after each pair, of the same shape.
        level: Level that decides.

    Returns:
        Numbers of pairs, all of them where nothing is decided; and the signs of the means, 0 where
        nothing is decided. Both have the shape (claims,).
    """
    decided = p < level
    first = np.where(decided.any(axis=1), decided.argmax(axis=1), p.shape[1] - 1)
    at_end = np.take_along_axis(np.sign(means), first[:, None], axis=1)[:, 0]
    return first + 1, np.where(decided.any(axis=1), at_end, 0)


def _quantile(values: np.ndarray) -> float:
    # Without interpolation, because values may be infinite.
    return float(np.quantile(values, POWER, method="higher"))


def _moments(differences: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number of pairs, mean, and sum of squares around it, after each pair."""
    pairs = np.arange(1, differences.shape[-1] + 1)
    # Around the first difference, so that large means do not cancel digits.
    shifted = differences - differences[..., :1]
    shifts = np.cumsum(shifted, axis=-1) / pairs
    squares = np.cumsum(shifted**2, axis=-1) - pairs * shifts**2
    return pairs, differences[..., :1] + shifts, np.maximum(squares, 0.0)


def _pairs(
    results: Results, more: str, less: str, values: Callable[[Results, str], Sequence[float]]
) -> tuple[np.ndarray, np.ndarray]:
    """Values of both arms, from the runs whose seeds both have."""
    a, b = (
        {int(row["seed"]): v for row, v in zip(results.of(arm), values(results, arm), strict=True)}
        for arm in (more, less)
    )
    seeds = sorted(a.keys() & b.keys())
    return np.array([a[seed] for seed in seeds]), np.array([b[seed] for seed in seeds])


def _differences(results: Results, more: str, less: str, part: str) -> np.ndarray:
    a, b = _pairs(results, more, less, lambda rows, arm: rows.errors(arm, part))
    return a - b


def _measured(differences: np.ndarray) -> str:
    means, halves = intervals(differences, LEVEL)
    mean, half = float(means[-1]), float(halves[-1])
    return with_interval(mean, mean - half, mean + half)


def _one_sided(differences: np.ndarray) -> tuple[float, float]:
    """Small if the mean is above 0, small if it is below: each half of the two-sided p-value."""
    return _sided(float(p_values(differences)[-1]), float(differences.mean()))


def _sided(p: float, direction: float) -> tuple[float, float]:
    return (p / 2, 1 - p / 2) if direction > 0 else (1 - p / 2, p / 2)
