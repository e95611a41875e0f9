"""Intervals and tests against the textbook formulas."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from keras_classics.errors import UserError
from keras_classics.evaluation.statistics import McNemar, mcnemar, mean_difference, wilson

CONFIDENCES = st.floats(0.01, 0.999)


@st.composite
def shares(draw):
    count = draw(st.integers(1, 100_000))
    return draw(st.integers(0, count)), count


outcomes = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60)
# Whole numbers: their variances are 0 or far from it.
measured = st.lists(st.integers(0, 1000), min_size=2, max_size=8)


def columns(pairs) -> np.ndarray:
    return np.array(pairs, bool).reshape(-1, 2).T


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    # z = 1.959964, z^2 = 3.841459. At 0 of 10: high = z^2 / (10 + z^2). At 5 of 10: half the
    # width is z / 2 * sqrt(10 + z^2) / (10 + z^2).
    [(0, 10, 0, 0.277533), (10, 10, 0.722467, 1), (5, 10, 0.236593, 0.763407)],
)
def test_wilson_by_hand(successes, count, low, high):
    assert wilson(successes, count) == pytest.approx((low, high), abs=1e-6)


@given(shares(), CONFIDENCES)
def test_wilson_by_its_formula(share, confidence):
    successes, n = share
    p, z = successes / n, NormalDist().inv_cdf((1 + confidence) / 2)
    middle = p + z**2 / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    expected = [(middle + sign * half) / (1 + z**2 / n) for sign in (-1, 1)]
    assert wilson(successes, n, confidence) == pytest.approx(expected, abs=1e-9)


@given(shares(), CONFIDENCES)
def test_wilson_contains_the_proportion(share, confidence):
    successes, count = share
    low, high = wilson(successes, count, confidence)
    assert 0 <= low <= successes / count <= high <= 1


@given(shares(), CONFIDENCES)
def test_wilson_is_symmetric(share, confidence):
    successes, count = share
    low, high = wilson(successes, count, confidence)
    mirrored = wilson(count - successes, count, confidence)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-12)


@given(shares(), CONFIDENCES, CONFIDENCES)
def test_wilson_grows_with_the_confidence(share, one, other):
    (low, high), (lower, higher) = (wilson(*share, c) for c in sorted((one, other)))
    assert lower <= low + 1e-12
    assert high <= higher + 1e-12


def test_wilson_takes_numpy_integers():
    correct = np.array([True, False, True, True])
    assert wilson(correct.sum(), correct.size) == wilson(3, 4)


@pytest.mark.parametrize(("successes", "count"), [(0, 0), (3, 2), (-1, 2)])
def test_wilson_refuses_impossible_counts(successes, count):
    with pytest.raises(UserError, match=f"0 to count. Received: {successes} of {count}.$"):
        wilson(successes, count)


@pytest.mark.parametrize("confidence", [0, 1, 95, math.nan])
def test_wilson_refuses_an_impossible_confidence(confidence):
    with pytest.raises(UserError, match=f"between 0 and 1. Received: {confidence}.$"):
        wilson(1, 2, confidence)


def test_mcnemar_by_hand():
    # Of seven images that one alone has right, one is a's: 2 * (1 + 7) / 2^7.
    a = [True] * 5 + [True] + [False] * 6 + [False] * 3
    b = [True] * 5 + [False] + [True] * 6 + [False] * 3
    assert mcnemar(a, b) == McNemar(only_a=1, only_b=6, p_value=0.125)


@given(outcomes)
def test_mcnemar_by_its_formula(pairs):
    a, b = columns(pairs)
    result = mcnemar(a, b)
    assert result.only_a == sum(x and not y for x, y in pairs)
    assert result.only_b == sum(y and not x for x, y in pairs)
    n, fewer = result.only_a + result.only_b, min(result.only_a, result.only_b)
    tail = sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n
    assert result.p_value == pytest.approx(min(1, 2 * tail), rel=1e-9)


@given(outcomes)
def test_mcnemar_is_symmetric(pairs):
    a, b = columns(pairs)
    there, back = mcnemar(a, b), mcnemar(b, a)
    assert (there.only_a, there.only_b) == (back.only_b, back.only_a)
    assert there.p_value == pytest.approx(back.p_value, rel=1e-12)


def test_mcnemar_of_equal_predictions():
    assert mcnemar([True, False], [True, False]) == McNemar(0, 0, 1.0)


@pytest.mark.parametrize(("a", "b"), [([True], [True, False]), ([[True]], [[True]])])
def test_mcnemar_refuses_different_shapes(a, b):
    with pytest.raises(UserError, match="one value per image, .* Received: shapes"):
        mcnemar(a, b)


def test_mean_difference_by_hand():
    # Variances 1 and 1, three each: a standard error of sqrt(2 / 3), and 4 degrees of freedom, of
    # which tables of Student's t give 2.776445.
    half = 2.776445 * math.sqrt(2 / 3)
    expected = (-3, -3 - half, -3 + half)
    assert mean_difference([1, 2, 3], [4, 5, 6]) == pytest.approx(expected, abs=1e-5)
    # Variances 2 and 8, two and four: 1 + 2 = 3, and 9 / (1 / 1 + 4 / 3) = 27 / 7 degrees, between
    # the table's 3.182446 for three and 2.776445 for four.
    difference, low, high = mean_difference([9, 11], [1, 1, 1, 1 + math.sqrt(32)])
    assert difference == pytest.approx(9 - math.sqrt(2))
    assert 2.776445 < (high - low) / 2 / math.sqrt(3) < 3.182446


# SciPy warns where one list is of equal values.
@pytest.mark.filterwarnings("ignore:Precision loss")
@given(measured, measured, CONFIDENCES)
def test_mean_difference_matches_scipy(a, b, confidence):
    difference, low, high = mean_difference(a, b, confidence)
    assert difference == pytest.approx(np.mean(a) - np.mean(b), abs=1e-9)
    if len(set(a)) == len(set(b)) == 1:
        assert low == difference == high
        return
    test = stats.ttest_ind(a, b, equal_var=False)
    expected = test.confidence_interval(confidence)
    assert (low, high) == pytest.approx((expected.low, expected.high), rel=1e-6, abs=1e-6)


@given(measured, measured)
def test_mean_difference_changes_sign_when_swapped(a, b):
    difference, low, high = mean_difference(a, b)
    assert mean_difference(b, a) == pytest.approx((-difference, -high, -low), abs=1e-9)


@pytest.mark.parametrize(("a", "b"), [([1.0], [1.0, 2.0]), ([1.0, 2.0], []), ([[1, 2]], [1, 2])])
def test_mean_difference_needs_two_values(a, b):
    with pytest.raises(UserError, match="two or more values of each. Received: shapes"):
        mean_difference(a, b)


def test_mean_difference_refuses_an_impossible_confidence():
    with pytest.raises(UserError, match="between 0 and 1. Received: 95.$"):
        mean_difference([1, 2], [3, 4], 95)
