"""The bench of the diagnosis: its faults, and the table of what was found."""

import numpy as np
import pytest

from reproduce.doctor.faults import FAULTS
from reproduce.doctor.images import arrays
from reproduce.doctor.trainings import HEALTHY
from reproduce.report import doctor_table as table


def row(kind: str, found: str, seed: int = 0) -> dict[str, str]:
    return {"kind": kind, "seed": str(seed), "found": found}


def test_rows_become_a_table():
    rows = [
        row("bgr", "channel_order"),
        row("bgr", "overfitting", 1),
        row("nan_in_data", "not_finite_data; not_finite"),
        row("healthy", ""),
        row("healthy", "overfitting (after)", 1),
        row("bgr", "channel_order", 200),
        row("healthy", "", 219),
    ]
    lines = table.doctor_table(rows).splitlines()
    assert "| BGR for RGB | 1 of 2 | 1 of 1 | `overfitting` |" in lines
    assert "| NaN in data | 1 of 1 | not run | - |" in lines
    assert "| dead ReLUs | not run | not run | - |" in lines
    assert lines[-2].startswith("| **all** | 2 of 3: 67% (")
    assert "| 1 of 1: 100% (" in lines[-2]
    assert "| 0 of 1: 0% (" in lines[-1]
    assert lines[-1].startswith("| healthy trainings with a finding | 1 of 2: 50% (")
    assert lines[-1].endswith("| `overfitting` (after) |")


def test_the_bench_has_enough_kinds():
    assert len(FAULTS) >= 14
    assert len(HEALTHY) == 20


@pytest.mark.parametrize("kind", ["class_missing", "train_in_held_out", "frozen", "softmax_twice"])
def test_a_fault_is_planted(kind):
    planted = FAULTS[kind].plant(0)
    changed = {
        "class_missing": len(np.unique(planted.y)) < len(np.unique(planted.y_held_out)),
        "train_in_held_out": (planted.x_held_out[0] == planted.x[0]).all(),
        "frozen": not planted.model.get_layer("conv1").trainable,
        "softmax_twice": planted.model.layers[-1].name == "probabilities_again",
    }
    assert changed[kind]


def test_images_depend_on_the_seed_alone():
    first, again, other = arrays("digits", 0), arrays.__wrapped__("digits", 0), arrays("digits", 1)
    np.testing.assert_array_equal(first.x, again.x)
    assert (first.x != other.x).any()
