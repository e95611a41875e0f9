"""How sure a measured accuracy is, and whether two networks differ."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from keras_classics.errors import UserError, require


@dataclass(frozen=True)
class McNemar:
    """How the answers of two networks to the same images differ.

    Attributes:
        only_a: Number of images that only the first has right.
        only_b: Number of images that only the second has right.
        p_value: Probability of a difference at least as large if both were equally good, 0 to 1.
    """

    only_a: int
    only_b: int
    p_value: float


def wilson(successes: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval for a share, without correction for continuity.

    Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference". It stays
    within 0 and 1, and holds for shares near either as well.

    Args:
        successes: Such as images that are recognised, 0 to `count`.
        count: Such as all images, 1 or more.
        confidence: Probability that such an interval contains the true share, between 0 and 1.

    Returns:
        Its least and its largest share.

    Raises:
        UserError: An argument is out of its range, or scipy is missing.
    """
    if not 0 <= successes <= count or count < 1:
        raise UserError(
            "An interval needs a count of 1 or more, and from 0 to count successes. Received: "
            f"{successes} of {count}."
        )
    _check_confidence(confidence)
    test = require("scipy.stats", "train").binomtest(int(successes), int(count))
    interval = test.proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike) -> McNemar:
    """McNemar's exact test of two networks on the same images.

    McNemar 1947, "Note on the Sampling Error of the Difference Between Correlated Proportions or
    Percentages". If both were equally good, each image that only one of them has right would be
    either's by the toss of a coin; the test is two-sided, by the binomial distribution itself.

    Args:
        correct_a: Whether the first network has each image right, bool, shape (count,).
        correct_b: The same for the second, of the same images in the same order.

    Raises:
        UserError: The shapes are other ones or differ, or scipy is missing.
    """
    a, b = np.asarray(correct_a, bool), np.asarray(correct_b, bool)
    if a.ndim != 1 or a.shape != b.shape:
        raise UserError(
            "Two networks are compared on the same images, one answer an image. Received: answers "
            f"of shapes {a.shape} and {b.shape}."
        )
    only_a, only_b = int(np.sum(a & ~b)), int(np.sum(b & ~a))
    stats = require("scipy.stats", "train")
    # Without an image that only one has right, nothing speaks for a difference.
    p_value = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    return McNemar(only_a, only_b, float(p_value))


def mean_difference(
    a: ArrayLike, b: ArrayLike, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Difference of two means with Welch's interval, which takes no two variances for equal.

    Welch 1947, "The Generalization of 'Student's' Problem when Several Different Population
    Variances are Involved". Of logarithms of positive values it is that of a ratio.

    Args:
        a: Values such as errors of runs that differ in their seeds alone, shape (count,), 2 or
            more of them.
        b: Such values of another network.
        confidence: Probability that such an interval contains the true difference, between 0 and
            1, where values scatter as a normal distribution does.

    Returns:
        The mean of `a` minus that of `b`, and the interval's least and largest difference.

    Raises:
        UserError: An argument is out of its range, or scipy is missing.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.ndim != 1 or b.ndim != 1 or min(a.size, b.size) < 2:
        raise UserError(
            "An interval of a difference needs two values of each or more. Received: values of "
            f"shapes {a.shape} and {b.shape}."
        )
    _check_confidence(confidence)
    difference = float(a.mean() - b.mean())
    shares = [values.var(ddof=1) / values.size for values in (a, b)]
    variance = sum(shares)
    if not variance:
        return difference, difference, difference
    freedom = variance**2 / sum(
        share**2 / (values.size - 1) for share, values in zip(shares, (a, b), strict=True)
    )
    quantile = require("scipy.stats", "train").t.ppf((1 + confidence) / 2, freedom)
    half = float(quantile) * math.sqrt(variance)
    return difference, difference - half, difference + half


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise UserError(f"confidence must lie between 0 and 1. Received: {confidence}.")
