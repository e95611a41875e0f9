"""The rule that ends a comparison to which seeds are added: decided, or out of hours.

It looks at the seeds that are complete in a folder and at nothing else, so that an interruption
changes nothing. A run is complete when its layers are measured, the last thing that it writes.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keras_classics.errors import UserError
from reproduce.claims.claim import Claim
from reproduce.claims.results import LAYERS, Results, joined, results_of
from reproduce.claims.sequential import always_valid
from reproduce.claims.verdicts import NOT_SEARCHED, UNDECIDED, Judgement
from reproduce.harness.tables import NOT_RUN


@dataclass(frozen=True)
class StoppingRule:
    """Ends a comparison when its claim's primary hypothesis is decided, or the hours are over.

    Attributes:
        claim: The claim.
        folder: Folder of the comparison's runs.
        variants: The variants that each seed trains.
        max_hours: Hours of finished runs after which no seed is added.
    """

    claim: Claim
    folder: Path
    variants: Sequence[str]
    max_hours: float
    _read: dict[Path, Results] = field(default_factory=dict, init=False, repr=False)

    def check(self) -> None:
        """Raises a `UserError` if adding seeds cannot decide the claim, or is not valid."""
        tests = [hypothesis.test for hypothesis in self.claim.hypotheses]
        if fixed := {test.name for test in tests if always_valid(test) is None}:
            raise UserError(
                "--until=decided needs tests that stay valid when seeds are added. This claim has "
                f"a fixed number of seeds; leave out --until. Received: {'; '.join(sorted(fixed))}."
            )
        primary = self.claim.judgements(Results(search=self.claim.results().search))[0]
        if NOT_SEARCHED in primary.rates:
            raise UserError(
                "--until=decided needs a searched rate for both arms of the claim, or nothing is "
                "ever decided. Run --search, and `python -m reproduce.report --add=FOLDER`."
            )

    @property
    def runs(self) -> list[Path]:
        """Folders of the runs of complete seeds."""
        seeds: dict[str, list[Path]] = {}
        for path in sorted(self.folder.glob(f"*/{LAYERS}")):
            (row,) = self._results_of(path.parent).runs
            if row["variant"] in self.variants:
                seeds.setdefault(row["seed"], []).append(path.parent)
        complete = [runs for runs in seeds.values() if len(runs) == len(self.variants)]
        return list(itertools.chain.from_iterable(complete))

    @property
    def results(self) -> Results:
        """The rows of those runs."""
        return joined([self._results_of(run) for run in self.runs])

    def _results_of(self, run: Path) -> Results:
        """The rows of a complete run, which no longer change and are read once."""
        if run not in self._read:
            self._read[run] = results_of([run])
        return self._read[run]

    @property
    def hours(self) -> float:
        """Hours of those runs together."""
        return sum(float(row["seconds"]) for row in self.results.runs) / 3600

    def judgement(self) -> Judgement:
        """Returns what the runs say of the primary hypothesis, by the rule of the page."""
        search = self.claim.results().search
        return self.claim.judgements(dataclasses.replace(self.results, search=search))[0]

    def is_over(self) -> bool:
        """Whether no seed is to be added.

        The first look comes with the first seed after the claim's design: what decides is then
        always a test that stays valid, and never one for the seeds of the design.
        """
        if self.hours >= self.max_hours:
            return True
        added = len(self.runs) > self.claim.seeds * len(self.variants)
        return added and self.judgement().verdict != UNDECIDED

    def verdict(self) -> str:
        """Returns the verdict in a line."""
        primary = self.judgement()
        measured = primary.evidence.measured if primary.evidence else NOT_RUN
        return (
            f"verdict {primary.verdict}: {primary.hypothesis.says}; {measured}, p {primary.p:.2g}, "
            f"{self.hours:.1f} hours"
        )
