"""The verdict on a claim, by rule from its rows: shown, contradicted or undecided at this budget.

A claim is tested by hypotheses; the first is the primary one, whose verdict is the claim's. Holm's
method keeps the probability of any wrong decision within a claim below `LEVEL` (Holm 1979, "A
Simple Sequentially Rejective Multiple Test Procedure"). A difference decides only if each arm has a
rate of its own: one that was chosen by runs of other seeds, or one that the hypothesis is about.
Otherwise the difference may be one of rates.

A claim with the seeds of its design is judged by the tests that it names. They would be wrong too
often if seeds were added until they decide: an arm with more seeds is judged by tests that stay
valid then (`sequential`), and where there are none, it is undecided.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reproduce.claims.evidence import LEVEL, Evidence, Test
from reproduce.claims.results import Results
from reproduce.claims.sequential import always_valid
from reproduce.harness.tables import NOT_RUN, markdown

SHOWN, CONTRADICTED = "shown", "contradicted"
UNDECIDED = "undecided at this budget"

NOT_SEARCHED = "not searched"


@dataclass(frozen=True)
class Hypothesis:
    """A statement of a claim: one arm has more of something than another.

    Attributes:
        says: The statement.
        more: Name of the arm that has more.
        less: Name of the arm that has less.
        test: The test of it, for the seeds of the claim's design.
    """

    says: str
    more: str
    less: str
    test: Test


@dataclass(frozen=True)
class Judgement:
    """A hypothesis and what the rows say about it.

    Attributes:
        hypothesis: The hypothesis.
        test: The test that was made of it.
        evidence: What the rows say, or None if there are too few.
        p: Its p-value by Holm's method.
        rates: How the rate of each arm was found.
        detects: The smallest difference that the design finds.
        verdict: `SHOWN`, `CONTRADICTED` or `UNDECIDED`.
        because: Why it is undecided, or nothing.
    """

    hypothesis: Hypothesis
    test: Test
    evidence: Evidence | None
    p: float
    rates: Sequence[str]
    detects: str
    verdict: str
    because: str


def judge(
    hypotheses: Sequence[Hypothesis],
    results: Results,
    seeds: int,
    rate_of: Callable[[Results, str], str],
) -> list[Judgement]:
    """Returns the verdict on each hypothesis of a claim.

    Args:
        hypotheses: All hypotheses of the claim, the primary one first.
        results: The claim's rows.
        seeds: Number of runs of each arm in the claim's design.
        rate_of: Returns how the rate of an arm was found, or `NOT_SEARCHED`.
    """
    added = any(len(results.of(arm)) > seeds for h in hypotheses for arm in (h.more, h.less))
    valid = [test for h in hypotheses if (test := always_valid(h.test))]
    # All of one kind: Holm's method needs p-values that are valid for the same end of the runs.
    one_kind = added and len(valid) == len(hypotheses)
    tests = valid if one_kind else [h.test for h in hypotheses]
    evidences = [
        test.evidence(results, h.more, h.less) for test, h in zip(tests, hypotheses, strict=True)
    ]
    adjusted = holm([1.0 if evidence is None else evidence.p for evidence in evidences])
    judgements = []
    for hypothesis, test, evidence, p in zip(hypotheses, tests, evidences, adjusted, strict=True):
        arms = hypothesis.more, hypothesis.less
        rates = [rate_of(results, arm) for arm in arms]
        detects = test.detects(results, *arms, seeds, LEVEL / len(hypotheses))
        verdict, because = _verdict(evidence, p, rates, valid=one_kind or not added)
        judgements.append(
            Judgement(hypothesis, test, evidence, p, rates, detects, verdict, because)
        )
    return judgements


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values adjusted by Holm's method, in the order given."""
    adjusted, largest = [1.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, (len(p_values) - place) * p_values[index])
        adjusted[index] = min(1.0, largest)
    return adjusted


def _verdict(
    evidence: Evidence | None, p: float, rates: Sequence[str], valid: bool
) -> tuple[str, str]:
    """The verdict, and why it is undecided."""
    if evidence is None:
        return UNDECIDED, "too few runs"
    if not valid:
        return UNDECIDED, "more seeds than the tests are made for"
    if NOT_SEARCHED in rates:
        return UNDECIDED, "rates not searched"
    if p >= LEVEL:
        return UNDECIDED, f"p is {LEVEL:g} or more"
    return (SHOWN if evidence.p_for < evidence.p_against else CONTRADICTED), ""


def verdict_line(judgements: Sequence[Judgement]) -> str:
    """Returns the verdict on a claim, that of its primary hypothesis, as a line of Markdown."""
    primary = judgements[0]
    because = f" ({primary.because})" if primary.because else ""
    return f"**Verdict:** *{primary.verdict}*{because}: {primary.hypothesis.says}."


def verdicts_table(judgements: Sequence[Judgement]) -> str:
    """Returns a Markdown table of hypotheses, with what the design detects, and verdicts."""
    rows = []
    for judgement in judgements:
        evidence, (more, less) = judgement.evidence, judgement.rates
        rows.append(
            [
                judgement.hypothesis.says,
                judgement.test.name,
                more if more == less else f"{more}; {less}",
                judgement.detects,
                evidence.measured if evidence else NOT_RUN,
                f"{judgement.p:.2g}" if evidence else "-",
                judgement.verdict,
            ]
        )
    head = ["hypothesis", "test", "rates of both arms", "design finds", "measured", "p, Holm"]
    return markdown([*head, "verdict"], rows, left=3)
