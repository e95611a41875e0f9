"""Confidence intervals of accuracies, and significance tests of differences."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from keras_classics.errors import UserError, require


@dataclass(frozen=True)
class McNemar:
    """Result of McNemar's test of two networks on the same images.

    Attributes:
        only_a: Number of images that only the first network classifies correctly.
        only_b: Number of images that only the second network classifies correctly.
        p_value: Probability of a difference at least as large if both were equally good, 0 to 1.
    """

    only_a: int
    only_b: int
    p_value: float


def wilson(successes: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Returns Wilson's interval for a proportion, without continuity correction.

    Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference". It stays
    within 0 and 1, and is valid for proportions near 0 and 1 too.

    Args:
        successes: Number of successes, such as correctly classified images, 0 to `count`.
        count: Number of trials, such as all images, 1 or more.
        confidence: Probability that such an interval contains the true proportion, between 0 and 1.

    Returns:
        The lower and the upper end of the interval.

    Raises:
        UserError: If an argument is out of range, or scipy is missing.
    """
    if not 0 <= successes <= count or count < 1:
        raise UserError(
            "An interval needs a count of at least 1, and successes from 0 to count. Received: "
            f"{successes} of {count}."
        )
    _check_confidence(confidence)
    test = require("scipy.stats", "train").binomtest(int(successes), int(count))
    interval = test.proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike) -> McNemar:
    """Runs McNemar's exact test of two networks on the same images.

    McNemar 1947, "Note on the Sampling Error of the Difference Between Correlated Proportions or
    Percentages". If both networks were equally good, an image that only one of them classifies
    correctly would be as likely to be the first's as the second's. The test is two-sided and uses
    the exact binomial distribution.

    Args:
        correct_a: Whether the first network classifies each image correctly, bool, shape (count,).
        correct_b: The same for the second network, for the same images in the same order.

    Raises:
        UserError: If a value is not finite, the shapes are wrong or differ, or scipy is missing.
    """
    _check_finite(correct_a, correct_b)
    a, b = np.asarray(correct_a, bool), np.asarray(correct_b, bool)
    if a.ndim != 1 or a.shape != b.shape:
        raise UserError(
            "McNemar's test needs one value per image, for the same images. Received: shapes "
            f"{a.shape} and {b.shape}."
        )
    only_a, only_b = int(np.sum(a & ~b)), int(np.sum(b & ~a))
    stats = require("scipy.stats", "train")
    # If the networks never differ, the p-value is 1; the binomial test needs at least one trial.
    p_value = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    return McNemar(only_a, only_b, float(p_value))


def mean_difference(
    a: ArrayLike, b: ArrayLike, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Returns the difference of two means with Welch's interval, for unequal variances.

    Welch 1947, "The Generalization of 'Student's' Problem when Several Different Population
    Variances are Involved". With logarithms of positive values it gives the interval of a ratio.

    Args:
        a: Two or more values, such as errors of runs that differ only in their seeds, shape
            (count,).
        b: The same for another network.
        confidence: Probability that such an interval contains the true difference, between 0 and
            1, if the values are normally distributed.

    Returns:
        The mean of `a` minus that of `b`, and the lower and the upper end of the interval.

    Raises:
        UserError: If an argument is out of range or not finite, or scipy is missing.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.ndim != 1 or b.ndim != 1 or min(a.size, b.size) < 2:
        raise UserError(
            "An interval of a difference needs two or more values of each. Received: shapes "
            f"{a.shape} and {b.shape}."
        )
    _check_finite(a, b)
    _check_confidence(confidence)
    difference = float(a.mean() - b.mean())
    squared_errors = [values.var(ddof=1) / values.size for values in (a, b)]
    variance = sum(squared_errors)
    if not variance:
        return difference, difference, difference
    freedom = variance**2 / sum(
        error**2 / (values.size - 1) for error, values in zip(squared_errors, (a, b), strict=True)
    )
    quantile = require("scipy.stats", "train").t.ppf((1 + confidence) / 2, freedom)
    half = float(quantile) * math.sqrt(variance)
    return difference, difference - half, difference + half


def _check_finite(*several: ArrayLike) -> None:
    for values in several:
        # NaN would count as correct: it is not 0.
        if not np.isfinite(np.asarray(values, float)).all():
            raise UserError("Statistics need finite numbers. Received: NaN or infinity among them.")


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise UserError(f"confidence must lie between 0 and 1. Received: {confidence}.")
