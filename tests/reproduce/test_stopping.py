"""Seeds that are added until a claim is decided: tests, their errors, the rule that ends."""

import dataclasses
import json
import math

import numpy as np
import pytest

from keras_classics.errors import UserError
from reproduce.claims import CLAIMS, stopping
from reproduce.claims import results as claim_results
from reproduce.claims.evidence import (
    LEVEL,
    POWER,
    Counts,
    Equal,
    Images,
    Means,
    Resampled,
    Steps,
    fixed_seeds,
)
from reproduce.claims.results import Results
from reproduce.claims.sequential import (
    MIXTURE,
    PairedEqual,
    PairedMeans,
    PairedSigns,
    always_valid,
    intervals,
    p_values,
    sign_p_values,
)
from reproduce.claims.stopping import StoppingRule
from reproduce.claims.verdicts import CONTRADICTED, SHOWN, UNDECIDED, Hypothesis, judge
from reproduce.report import stopping_table
from tests.helpers.claims import run_of, together
from tests.helpers.runs import RESULT

stats = pytest.importorskip("scipy.stats")
integrate = pytest.importorskip("scipy.integrate")

DRAW = np.random.default_rng(7)
MANY = DRAW.normal(0.4, 1.0, 12)


def searched(results, arm):
    return "0.1 of 0.1, 0.2"


def arms(**errors):
    """Runs of arms with these test errors, in per cent."""
    return together(
        *(
            run_of(arm, seed, error / 100)
            for arm, several in errors.items()
            for seed, error in enumerate(several)
        )
    )


def judged(test, results, number=1):
    return judge([Hypothesis("", "more", "less", test)] * number, results, 5, searched)[0]


@pytest.mark.parametrize("pairs", [2, 5, 12])
def test_p_values_are_those_of_the_integral(pairs):
    """One over the ratio of Student's densities, mixed over true means in units of the spread."""
    differences = MANY[:pairs]
    t = stats.ttest_1samp(differences, 0).statistic

    def alternative(mean):
        density = stats.nct.pdf(t, pairs - 1, mean * math.sqrt(pairs))
        return density * stats.norm.pdf(mean, scale=MIXTURE)

    mixed, _ = integrate.quad(alternative, -8 * MIXTURE, 8 * MIXTURE, limit=200)
    ratio = mixed / stats.t.pdf(t, pairs - 1)
    assert p_values(differences)[-1] == pytest.approx(min(1.0, 1 / ratio), rel=1e-6)


def test_intervals_hold_the_means_that_are_not_rejected():
    means, halves = intervals(MANY, LEVEL)
    np.testing.assert_allclose(means, [MANY[: n + 1].mean() for n in range(len(MANY))])
    # No single look at the first runs decides anything.
    assert np.isinf(halves[:3]).all()
    for sign in (-1, 1):
        inside, outside = (means[-1] + sign * halves[-1] * near for near in (0.999, 1.001))
        assert p_values(MANY - inside)[-1] >= LEVEL > p_values(MANY - outside)[-1]
    np.testing.assert_allclose(intervals(1e6 + MANY, LEVEL)[1], halves, rtol=1e-6)


def test_what_p_values_do_not_depend_on():
    last = p_values(MANY)[-1]
    assert p_values(MANY[::-1])[-1] == pytest.approx(last)
    assert p_values(-100 * MANY)[-1] == pytest.approx(last)
    assert p_values(MANY[:1]).tolist() == [1]
    assert p_values(np.zeros(9)).tolist() == [1] * 9


def test_signs_by_hand():
    # Uniform over the probability: a chance of 1 in 10 for nine of nine, 2^-9 if both are alike.
    assert sign_p_values(np.array(9), np.array(0)) == pytest.approx(10 / 2**9)
    # And 1 / (8 * C(7, 2)) for one order of five and two.
    assert sign_p_values(np.array(5), np.array(2)) == pytest.approx(1.0)
    assert sign_p_values(np.array(0), np.array(0)) == pytest.approx(1)
    results = arms(more=[1] * 9 + [5], less=[0] * 9 + [5])
    steps = {"more": [math.inf] * 9 + [5.0], "less": [3.0] * 9 + [5.0]}
    test = PairedSigns(lambda _, arm: steps.get(arm, []), "steps")
    found = test.evidence(results, "more", "less")
    assert (found.measured, found.p) == ("9 and 0 of 10 pairs", pytest.approx(10 / 2**9))
    assert judged(test, results).verdict == SHOWN
    assert test.evidence(results, "less", "more").p_against < LEVEL
    assert test.evidence(results, "more", "none") is None
    # Eight pairs are not enough: 9 / 2^8 is above a level of 1 %.
    assert test.detects(results, "more", "less", 8, 0.01) == "nothing"
    assert "% of pairs that differ" in test.detects(results, "more", "less", 20, 0.01)


HIGH = [12.0, 12.2, 12.4, 12.1, 12.3]
LOW = [10.0, 10.2, 10.5, 10.1, 10.2]
NEAR = [10.1, 10.2, 10.4, 10.2, 10.1]


@pytest.mark.parametrize(
    ("test", "more", "less", "verdict"),
    [
        (PairedMeans(), HIGH, LOW, SHOWN),
        (PairedMeans(), LOW, HIGH, CONTRADICTED),
        (PairedMeans(), LOW, NEAR, UNDECIDED),
        (PairedMeans(margin=1), HIGH, LOW, SHOWN),
        (PairedMeans(margin=3), HIGH, LOW, CONTRADICTED),
        (PairedMeans(margin=-1), LOW, NEAR, SHOWN),
        (PairedMeans(part="training"), HIGH, LOW, SHOWN),
        (PairedEqual(1), LOW, NEAR, SHOWN),
        (PairedEqual(1), LOW, HIGH, CONTRADICTED),
        (PairedEqual(1), HIGH, LOW, CONTRADICTED),
        (PairedEqual(0.1), LOW, NEAR, UNDECIDED),
        (PairedMeans(), LOW, [12.0], UNDECIDED),
        # What three pairs cannot show, however large.
        (PairedMeans(), HIGH[:3], LOW[:3], UNDECIDED),
    ],
)
def test_verdicts(test, more, less, verdict):
    assert judged(test, arms(more=more, less=less)).verdict == verdict


def test_runs_of_one_seed_are_a_pair():
    """Rows in any order, and seeds that only one arm has."""
    more = [run_of("more", seed, error / 100) for seed, error in enumerate(HIGH)]
    less = [run_of("less", seed, error / 100) for seed, error in enumerate(LOW)]
    whole = PairedMeans().evidence(together(*more, *less), "more", "less")
    alone = run_of("less", 9, 0.9)
    shuffled = PairedMeans().evidence(together(*less[::-1], alone, *more), "more", "less")
    assert shuffled == whole


@pytest.mark.parametrize("spread", stopping_table.SPREADS)
def test_claims_without_a_difference_are_rarely_decided(spread):
    """At most 5 % of 2,000 simulated claims, with a look after each of 50 seeds."""
    ended = stopping_table.simulated(spread, 0.0)
    assert len(ended.signs) == 2000
    assert ended.wrong(0.0) == np.mean(ended.signs != 0) <= LEVEL


def test_a_look_after_each_seed_makes_a_fixed_test_wrong_too_often():
    """What the always-valid tests are for: Student's decides a quarter of such claims."""
    differences = np.random.default_rng(0).normal(size=(2000, 50))
    counts = np.arange(2, 51)
    sums, squares = (np.cumsum(v, axis=1)[:, 1:] for v in (differences, differences**2))
    spread = np.sqrt((squares - sums**2 / counts) / (counts - 1))
    t = np.abs(sums) / np.sqrt(counts) / spread
    assert (t > stats.t.ppf(1 - LEVEL / 2, counts - 1)).any(axis=1).mean() > 0.2


def test_signs_of_arms_alike_are_rarely_decided():
    ups = np.cumsum(np.random.default_rng(3).random((2000, 50)) < 0.5, axis=1)
    downs = np.arange(1, 51) - ups
    assert (sign_p_values(ups, downs) < LEVEL).any(axis=1).mean() <= LEVEL


def test_seeds_against_a_fixed_design():
    """Fewer on average than a fixed design that finds the difference about as often."""
    for difference in (1.0, 1.5):
        ended = stopping_table.simulated("normal", difference)
        assert ended.wrong(difference) < 0.005
        assert np.mean(ended.signs == 1) > 0.9
        fixed = fixed_seeds(difference, LEVEL, stopping_table.HIGH_POWER)
        assert ended.seeds.mean() < fixed
    # Of 2 (z + z)^2 by normal quantiles, and one or two more for the spread that is not known.
    z = stats.norm.ppf(1 - LEVEL / 2) + stats.norm.ppf(POWER)
    assert fixed_seeds(1.0, LEVEL, POWER) == pytest.approx(2 * z**2 + 1, abs=1)


def test_the_difference_that_a_design_finds():
    rows = arms(more=[10.0, 11.0, 12.0], less=[10.0, 12.0, 14.0])
    shown = float(PairedMeans().detects(rows, "more", "less", 10, LEVEL).removesuffix(" points"))
    draw = np.random.default_rng(3)
    more, less = draw.normal(shown, 1, (1000, 10)), draw.normal(0, 2, (1000, 10))
    means, halves = intervals(more - less, LEVEL)
    assert (means > halves).any(axis=1).mean() == pytest.approx(POWER, abs=0.05)
    assert PairedMeans().detects(rows, "more", "less", 3, LEVEL) == "nothing"
    assert PairedMeans().detects(rows, "more", "none", 5, LEVEL) == "-"


@pytest.fixture
def rule(tmp_path, monkeypatch):
    """The rule of a claim whose rates need no search, and rows in a folder of their own."""
    monkeypatch.setattr(claim_results, "RESULTS", tmp_path / "results")
    described = CLAIMS["vgg_receptive_field"]
    claim = dataclasses.replace(
        described,
        name="tiny",
        hypotheses=[Hypothesis("more", "B_5x5", "B", Means())],
        seeds=2,
        rate_of=searched,
    )
    return StoppingRule(claim, tmp_path / "runs", ("B", "B_5x5"), max_hours=1.0)


def finish(rule, variant, seed, error, seconds=36.0):
    """What a run leaves, as far as the rule looks at it."""
    run = rule.folder / f"{variant}_seed{seed}"
    run.mkdir(parents=True)
    content = {
        **RESULT,
        "seed": seed,
        "seconds": seconds,
        "tags": {"claim": "tiny", "variant": variant},
        "metrics": {**RESULT["metrics"], "test_error": error, "test_accuracy": 1 - error},
    }
    (run / "result.json").write_text(json.dumps(content))
    (run / "history.csv").write_text(
        "epoch,step,learning_rate,train_loss,train_accuracy,test_loss,test_accuracy\n"
        "1,2,0.1,1,0.5,1,0.5\n"
    )
    (run / "layers.csv").write_text("when,layer,quantity,value\n")
    return run


def test_a_comparison_ends_when_it_is_decided(rule):
    rule.check()
    seeds = 0
    while not rule.is_over():
        for variant, errors in (("B", LOW), ("B_5x5", HIGH)):
            finish(rule, variant, seeds, errors[seeds] / 100)
        seeds += 1
    # As soon as the interval excludes 0, and after no hour. Welch's would have after two seeds.
    differences = np.array(HIGH[:seeds]) - LOW[:seeds]
    assert p_values(differences)[-1] < LEVEL <= p_values(differences)[-2]
    assert rule.verdict().startswith("verdict shown: more; +")
    # A seed that was interrupted changes nothing, whatever it would say.
    before = rule.verdict()
    finish(rule, "B", 99, 0.99)
    assert rule.verdict() == before
    # Nor does one whose last run was trained and not measured.
    unmeasured = finish(rule, "B_5x5", 99, 0.0) / "layers.csv"
    unmeasured.unlink()
    assert rule.verdict() == before


def test_each_run_is_read_once(rule, monkeypatch):
    read = []

    def results_of(runs):
        read.extend(runs)
        return claim_results.results_of(runs)

    monkeypatch.setattr(stopping, "results_of", results_of)
    folders = []
    for seed in range(3):
        folders += [finish(rule, variant, seed, LOW[seed] / 100) for variant in rule.variants]
        assert not rule.is_over()
        rule.verdict()
    assert sorted(read) == sorted(folders)


def test_a_comparison_ends_after_its_hours(rule):
    for seed in range(2):
        assert not rule.is_over()
        for variant in rule.variants:
            finish(rule, variant, seed, LOW[seed] / 100, seconds=900.0)
    assert rule.is_over()
    assert rule.verdict().startswith(f"verdict {UNDECIDED}: more; +0.00 (-")


def test_claims_to_which_no_seeds_can_be_added(rule):
    fixed = dataclasses.replace(rule, claim=CLAIMS["alexnet_relu"])
    with pytest.raises(
        UserError, match="a fixed number of seeds.* Received: log-rank, steps, factor 6"
    ):
        fixed.check()
    unsearched = dataclasses.replace(rule, claim=dataclasses.replace(rule.claim, rate_of=None))
    with pytest.raises(UserError, match="needs a searched rate"):
        unsearched.check()


def test_a_design_is_judged_by_its_own_test_and_more_seeds_by_one_that_stays_valid():
    five, six = (arms(more=HIGH + more, less=LOW + more) for more in ([], [11.0]))
    hypothesis = Hypothesis("", "more", "less", Means())
    names = [judge([hypothesis] * 2, rows, 5, searched)[1].test.name for rows in (five, six)]
    assert names == ["Welch, test error", "always-valid t, test error"]
    # One arm is enough: Holm's method takes p-values of one kind.
    one = arms(more=HIGH, less=LOW, other=[*LOW, 11.0])
    both = [hypothesis, Hypothesis("", "more", "other", Means())]
    assert {j.test.name for j in judge(both, one, 5, searched)} == {names[1]}
    # A test that stays valid is missing for one of them.
    fixed = [hypothesis, Hypothesis("", "more", "less", Resampled(lambda *_: (2.0, 0.1)))]
    assert {j.verdict for j in judge(fixed, five, 5, searched)} == {SHOWN}
    assert {j.verdict for j in judge(fixed, six, 5, searched)} == {UNDECIDED}


def test_each_test_and_the_one_that_stays_valid():
    steps = {"slow": [(5.0, True), (9.0, False)], "fast": [(3.0, True), (4.0, True)]}

    def of_arm(results, arm):
        return steps[arm]

    assert always_valid(Means(0.5, "training")) == PairedMeans(0.5, "training")
    assert always_valid(Equal(0.5)) == PairedEqual(0.5)
    assert always_valid(Counts(of_arm)) == PairedSigns(of_arm, "number of runs")
    found = always_valid(Steps(of_arm)).values(Results(), "slow")
    assert found == [5.0, math.inf]
    for fixed in (Steps(of_arm, factor=6.0), Resampled(of_arm), Images(of_arm)):
        assert always_valid(fixed) is None
