"""What a mend does: the first steps of training without it and with it, from the same start."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_classics.diagnosis.case import Case
from keras_classics.diagnosis.findings import Diagnosis, Finding
from keras_classics.diagnosis.graph import unchanged
from keras_classics.diagnosis.steps import (
    Stepper,
    StepResult,
    planned_rates,
    starting_network,
)

STEPS = 50
# Rate of trainings whose optimizer is not known, with momentum.
USUAL_RATE = 0.01


@dataclass(frozen=True, eq=False)
class Trial:
    """The steps without and with a mend.

    Attributes:
        finding: What is mended.
        before: Steps as the training is; the last loss may be infinite or NaN.
        after: Steps with the mend.
    """

    finding: Finding
    before: Sequence[StepResult]
    after: Sequence[StepResult]

    def __str__(self) -> str:
        before, after = map(_said, (self.before, self.after))
        return f"{self.finding.check}, tried: {before} without the mend, {after} with it."

    def to_json(self) -> dict[str, Any]:
        """Returns the losses and accuracies, as `diagnosis.json` holds them."""
        return {
            "check": self.finding.check,
            **{
                f"{name}_{kind}": [getattr(result, kind) for result in results]
                for name, results in (("before", self.before), ("after", self.after))
                for kind in ("loss", "accuracy")
            },
        }


def try_mends(diagnosis: Diagnosis, steps: int = STEPS) -> list[Trial]:
    """Carries out each mend that a finding knows, alone, for some steps on the sample.

    Args:
        diagnosis: The findings. The network stays as it is.
        steps: Number of steps without and with each mend.
    """
    mends = [(found, found.trial) for found in diagnosis.findings if found.trial is not None]
    if not mends:
        return []
    before = first_steps(diagnosis.case, steps)
    return [Trial(found, before, first_steps(mend(diagnosis.case), steps)) for found, mend in mends]


def first_steps(case: Case, steps: int) -> list[StepResult]:
    """Trains a case from its start for some steps, which are taken back."""
    model = starting_network(case)
    with unchanged(model):
        rates = planned_rates(case, steps) or [USUAL_RATE] * steps
        return Stepper(case, model).run(rates)


def _said(results: Sequence[StepResult]) -> str:
    losses = [result.loss for result in results]
    if not np.isfinite(losses[-1]):
        return f"no finite loss after {len(losses)} steps"
    last = results[-max(1, len(results) // 5) :]
    accuracy = np.mean([result.accuracy for result in last])
    return f"loss {losses[0]:.3g} to {np.mean([r.loss for r in last]):.3g} ({accuracy:.0%} right)"
