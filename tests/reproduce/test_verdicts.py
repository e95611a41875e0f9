"""Verdicts on claims: each test by hand, the rule, the error rate and the power it promises."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from reproduce.claims import CLAIMS, evidence, results
from reproduce.claims.claim import Claim
from reproduce.claims.evidence import LEVEL, POWER, Counts, Equal, Images, Means, Resampled, Steps
from reproduce.claims.results import Results, add_results, read_results
from reproduce.claims.verdicts import (
    CONTRADICTED,
    NOT_SEARCHED,
    SHOWN,
    UNDECIDED,
    Hypothesis,
    holm,
    judge,
)
from reproduce.harness.result_table import finished_runs
from reproduce.report import claims_page
from tests.helpers.claims import rows_of, run_of, together
from tests.helpers.runs import RESULT

every_claim = pytest.mark.parametrize("name", CLAIMS)


def arms(**errors: list[float]) -> Results:
    """Runs of arms with these test errors, in per cent."""
    return together(
        *(
            run_of(arm, seed, error / 100)
            for arm, several in errors.items()
            for seed, error in enumerate(several)
        )
    )


def searched(results: Results, arm: str) -> str:
    return "0.1 of 0.1, 0.2"


def test_holm_of_his_paper():
    """The adjusted values of Holm 1979 for p of 0.01, 0.06 and 0.012, given out of order."""
    assert holm([0.06, 0.01, 0.012]) == pytest.approx([0.06, 0.03, 0.03])
    assert holm([0.9, 0.8]) == [1, 1]


LOW, HIGH = [10.0, 10.2, 10.4], [12.0, 12.2, 12.4]
NEAR = [10.1, 10.2, 10.3]


@pytest.mark.parametrize(
    ("test", "more", "less", "verdict"),
    [
        (Means(), HIGH, LOW, SHOWN),
        (Means(), LOW, HIGH, CONTRADICTED),
        (Means(), LOW, NEAR, UNDECIDED),
        # Two points are more than one, and not more than three.
        (Means(margin=1), HIGH, LOW, SHOWN),
        (Means(margin=3), HIGH, LOW, CONTRADICTED),
        # Not worse by more than a point.
        (Means(margin=-1), LOW, NEAR, SHOWN),
        (Means(margin=-1), LOW, HIGH, CONTRADICTED),
        (Means(part="training"), HIGH, LOW, SHOWN),
        (Equal(1), LOW, NEAR, SHOWN),
        (Equal(1), LOW, HIGH, CONTRADICTED),
        (Equal(1), HIGH, LOW, CONTRADICTED),
        (Equal(0.1), LOW, NEAR, UNDECIDED),
        (Means(), LOW, [12.0], UNDECIDED),
        # Without spread there is no test.
        (Means(), [10.0, 10.0], [12.0, 12.0], UNDECIDED),
    ],
)
def test_verdicts_on_means(test, more, less, verdict):
    hypothesis = Hypothesis("", "more", "less", test)
    (judgement,) = judge([hypothesis], arms(more=more, less=less), 3, searched)
    assert judgement.verdict == verdict
    assert bool(judgement.because) == (verdict == UNDECIDED)


def test_a_difference_may_be_one_of_rates():
    hypothesis = Hypothesis("", "more", "less", Means())
    for unknown in (["more"], ["less"], ["more", "less"]):
        (judgement,) = judge(
            [hypothesis],
            arms(more=HIGH, less=LOW),
            3,
            lambda _, arm, unknown=unknown: NOT_SEARCHED if arm in unknown else "0.1",
        )
        assert (judgement.verdict, judgement.because) == (UNDECIDED, "rates not searched")


def test_more_hypotheses_need_more_evidence():
    hypothesis = Hypothesis("", "more", "less", Means())
    rows = arms(more=[10.0, 10.5, 11.0], less=[9.0, 9.4, 9.8])
    verdicts = [judge([hypothesis] * number, rows, 3, searched)[0].verdict for number in (1, 10)]
    assert verdicts == [SHOWN, UNDECIDED]


def test_counts_by_hand():
    happened = {"most": [True] * 4 + [False], "one": [True] + [False] * 4}
    test = Counts(lambda _, arm: happened.get(arm, []))
    found = test.evidence(Results(), "most", "one")
    # 5 choose 4 times 5 choose 1, and 5 choose 5 times 5 choose 0, of 10 choose 5.
    assert found.p_for == pytest.approx((25 + 1) / 252)
    assert found.measured == "4 of 5, 1 of 5"
    assert test.evidence(Results(), "most", "none") is None
    # Five runs of each do not find even the largest difference from 20 %; twenty find 70 %.
    assert test.detects(Results(), "most", "one", 5, LEVEL) == "nothing from 20 %"
    assert re.fullmatch(r"6\d % against 20 %", test.detects(Results(), "most", "one", 20, LEVEL))


def test_steps_by_hand():
    steps = {
        "slow": [(500.0, True), (600.0, True), (700.0, False)],
        "fast": [(100.0, True), (200.0, True), (300.0, True)],
    }
    test = Steps(lambda _, arm: steps.get(arm, []))
    found = test.evidence(Results(), "slow", "fast")
    # Of the 20 ways to deal six runs to two arms, the most extreme on this side.
    assert found.p_for == pytest.approx(1 / 20)
    assert found.p_against == 1
    ratio = (500 * 600 * 700 / (100 * 200 * 300)) ** (1 / 3)
    assert found.measured == f"at least {ratio:.1f} times"
    ten = Steps(test.steps, factor=10).evidence(Results(), "slow", "fast")
    assert ten.p_against < ten.p_for
    assert test.evidence(Results(), "slow", "none") is None


def test_scores_of_the_log_rank_test():
    """Events at 1 and 3 of three runs, one ended at 2: hazards of 1/3 and 1."""
    scores = evidence._scores([(1.0, True), (2.0, False), (3.0, True)])
    assert scores == pytest.approx([1 - 1 / 3, -1 / 3, 1 - 4 / 3])
    assert sum(scores) == pytest.approx(0)


def test_images_by_hand():
    wrong = {"more": {1, 2, 3, 4, 5, 9}, "less": {9}}
    test = Images(lambda _, arm: {image: image in wrong[arm] for image in range(100)})
    found = test.evidence(Results(), "more", "less")
    assert found.p_for == pytest.approx(1 / 32)
    assert found.measured == "+5.00; 5 and 0 of 100"
    none = Images(lambda _, arm: {arm: True}).evidence(Results(), "more", "less")
    assert none is None


def test_gains_over_images():
    test = Resampled(lambda results, more, less: (1.0, 0.5) if less == "net" else None)
    found = test.evidence(Results(), "mean", "net")
    assert found.p == pytest.approx(math.erfc(2 / math.sqrt(2)))
    assert found.measured == "+1.00 (+0.02 to +1.98)"
    assert test.evidence(Results(), "mean", "other") is None


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_wrong_decisions_on_means_are_rare(seeds):
    """At most 5 % of claims without a difference are decided."""
    draw = np.random.default_rng(1)
    errors = draw.normal(10, 1, (1000, 2, seeds))
    p = [2 * min(evidence._welch(a, b)) for a, b in errors]
    assert np.mean(np.array(p) < LEVEL) <= 0.065


@pytest.mark.parametrize("seeds", [4, 5, 10])
def test_wrong_decisions_on_steps_are_rare(seeds):
    draw = np.random.default_rng(2)
    steps = draw.lognormal(6, 0.3, (1000, 2 * seeds))
    runs = [[(step, step < 600) for step in design] for design in steps]
    p = [2 * min(of_design) for of_design in evidence._log_rank(runs, seeds)]
    assert np.mean(np.array(p) < LEVEL) <= 0.065


def test_the_difference_that_a_design_finds():
    rows = arms(more=[10.0, 11.0, 12.0], less=[10.0, 12.0, 14.0])
    shown = Means().detects(rows, "more", "less", 5, LEVEL)
    difference = float(shown.removesuffix(" points"))
    draw = np.random.default_rng(3)
    more, less = draw.normal(difference, 1, (1000, 5)), draw.normal(0, 2, (1000, 5))
    found = [2 * evidence._welch(a, b)[0] < LEVEL for a, b in zip(more, less, strict=True)]
    assert np.mean(found) == pytest.approx(POWER, abs=0.05)
    assert Means().detects(rows, "more", "none", 5, LEVEL) == "-"


@every_claim
def test_each_verdict_follows_its_rule(name):
    claim = CLAIMS[name]
    rows = claim.results()
    judgements = claim.judgements(rows)
    assert judgements
    p_values = [1.0 if j.evidence is None else j.evidence.p for j in judgements]
    for judgement, p in zip(judgements, holm(p_values), strict=True):
        decided = (
            judgement.evidence is not None and NOT_SEARCHED not in judgement.rates and p < LEVEL
        )
        assert (judgement.verdict != UNDECIDED) == decided
        if decided:
            supports = judgement.evidence.p_for < judgement.evidence.p_against
            assert judgement.verdict == (SHOWN if supports else CONTRADICTED)


@every_claim
def test_words_say_no_more_than_the_verdict(name):
    claim = CLAIMS[name]
    if claim.judgements(claim.results())[0].verdict != SHOWN:
        assert not re.search(r"\b(confirm|holds|proves)", claim.reading)


@every_claim
def test_each_rate_that_a_search_tries_is_trained(name):
    claim = CLAIMS[name]
    here = next(iter(claim.recipes.values()))
    for arm, rates in claim.rates.items():
        for rate in rates:
            recipe = claim.recipe_of(arm, here.with_fields({"schedule.rate": rate}), seed=0)
            assert recipe.schedule.rate == rate


@every_claim
def test_runs_name_the_rate_that_a_search_may_change(name):
    claim = CLAIMS[name]
    here = next(iter(claim.recipes.values()))
    for arm in claim.variants:
        own = claim.recipe_of(arm, here, seed=0).schedule.rate if arm in claim.rates else None
        assert claim.rate(Results(), arm, here) == own


def tried(folder: Path, rate: str, error: float) -> Path:
    """What a run of a search leaves, as far as its row is taken from it."""
    folder.mkdir()
    tags = {"claim": "lenet5_networks", "variant": "today", "rate": rate}
    content = {**RESULT, "recipe": "fashion", "seed": 100, "tags": tags}
    (folder / "result.json").write_text(json.dumps(content))
    (folder / "history.csv").write_text(f"epoch,validation_accuracy\n1,0.1\n2,{1 - error}\n")
    return folder


def test_a_search_chooses_a_rate_on_images_held_out(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    name = "lenet5_networks"
    described = Claim(**{**vars(CLAIMS[name]), "rates": {"today": (0.02, 0.05)}})
    here = described.recipes["fashion"]
    add_results(name, [tried(tmp_path / "a", "0.02", 0.25)])
    assert read_results(name).runs == []
    assert described.chosen_rate(read_results(name), "today") is None
    page = claims_page.rendered_page([described])
    assert rows_of(page, "variant") == [["0.02", "0.05"]]
    assert rows_of(page, "today") == [["25.00", "not run"]]
    add_results(name, [tried(tmp_path / "b", "0.05", 0.125)])
    rows = read_results(name)
    assert rows.held_out_errors("today", "fashion") == {0.02: [25], 0.05: [12.5]}
    assert described.chosen_rate(rows, "today") == 0.05
    assert rows_of(claims_page.rendered_page([described]), "today") == [["25.00", "**12.50**"]]
    assert described.chosen_rate(rows, "1998") is None
    assert described.rate(rows, "today", here.with_fields({"schedule.rate": 0.1})) == 0.05
    # A run counts as at the rate that was found if its command says so, or leaves out the
    # recipe's own rate and that was found.
    elsewhere = {"fashion": here.with_fields({"schedule.rate": 0.1})}
    others = Claim(**{**vars(described), "recipes": elsewhere})
    for of, flag, found in (
        (described, "--learning_rate=0.05", "0.05 of 0.02, 0.05"),
        (described, "--learning_rate=0.5", NOT_SEARCHED),
        (described, "--seed=0", "0.05 of 0.02, 0.05"),
        (others, "--seed=0", NOT_SEARCHED),
    ):
        run = {"variant": "today", "command": f"python {flag}"}
        assert of._searched(Results([run], search=rows.search), "today") == found


@pytest.mark.slow
def test_the_program_of_a_search(run_program, tmp_path):
    flags = ("--compare=networks", "--search", "--variant=today", "--smoke")
    done = run_program("-m", "reproduce.lenet5_mnist", *flags, f"--run_dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert "| today | 0.05 | 100 |" in done.stdout
    recipes = [json.loads((run / "recipe.json").read_text()) for run in finished_runs(tmp_path)]
    assert sorted(recipe["schedule"]["rate"] for recipe in recipes) == [0.02, 0.05, 0.1]
    # A fifth of the 128 images.
    assert {recipe["validation"] for recipe in recipes} == {25}
    assert {recipe["seed"] for recipe in recipes} == {100}
    results = [json.loads((run / "result.json").read_text()) for run in finished_runs(tmp_path)]
    assert results[0]["environment"]["command"] == (
        "python -m reproduce.lenet5_mnist --compare=networks --learning_rate=0.02 --search "
        "--seed=100 --smoke --variant=today"
    )
