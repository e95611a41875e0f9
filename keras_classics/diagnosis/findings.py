"""What the checks find: findings with their measurements, and the diagnosis that holds them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from keras_classics.diagnosis.case import Case


@dataclass(frozen=True, eq=False)
class Finding:
    """Something that is probably wrong.

    Attributes:
        check: Stable name of the fault, such as `"dead_relus"`.
        measured: What was measured, one line.
        expected: What it should be, one line.
        mend: The smallest change that mends it, one line.
        layer: Name of the layer that it is about, or None.
        values: What was measured, as JSON can hold it.
        plot: Draws a picture of it on axes of matplotlib, or None.
        trial: Returns the case with the mend carried out on copies, or None.
    """

    check: str
    measured: str
    expected: str
    mend: str
    layer: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    plot: Callable[[Any], None] | None = None
    trial: "Callable[[Case], Case] | None" = None

    def __str__(self) -> str:
        place = "" if self.layer is None else f" ({self.layer})"
        return (
            f"{self.check}{place}\n  measured: {self.measured}\n  expected: {self.expected}\n"
            f"  mend:     {self.mend}"
        )

    def to_json(self) -> dict[str, Any]:
        """Returns the finding without its functions; what is not finite becomes a text."""
        names = ("check", "layer", "measured", "expected", "mend", "values")
        return {name: json_value(getattr(self, name)) for name in names}


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What all checks found.

    Attributes:
        findings: In the order of the checks.
        checks: Names of the checks that ran.
        case: What was examined.
    """

    findings: tuple[Finding, ...]
    checks: tuple[str, ...]
    case: "Case"

    def __bool__(self) -> bool:
        return bool(self.findings)

    def __str__(self) -> str:
        if not self.findings:
            return f"{self.case.model.name}: nothing found by {len(self.checks)} checks."
        count = len(self.findings)
        head = f"{self.case.model.name}: {count} finding{'s' if count > 1 else ''}"
        return "\n\n".join([head, *map(str, self.findings)])

    def to_json(self) -> dict[str, Any]:
        """Returns the content of `diagnosis.json`."""
        return {
            "model": self.case.model.name,
            "data": self.case.data.name,
            "checks": list(self.checks),
            "findings": [finding.to_json() for finding in self.findings],
        }


def json_value(value: Any) -> Any:
    """Returns a value as JSON holds it: arrays as lists, NaN and infinity as texts."""
    if isinstance(value, Mapping):
        return {str(name): json_value(entry) for name, entry in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [json_value(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
