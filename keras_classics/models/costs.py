"""Parameters and multiply-adds of the networks as published, known without building them.

reproduce/report/zoo_table.py writes costs.csv, and the tests compare it with the networks.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).parent / "costs.csv"


@dataclass(frozen=True)
class Costs:
    """What a network costs with the paper's input size and classes.

    Attributes:
        parameters: Number of trainable parameters.
        multiply_adds: Multiply-adds for one image, of convolutions and dense layers.
    """

    parameters: int
    multiply_adds: int


def short_macs(macs: int) -> str:
    """Returns a number of multiply-adds in thousands of millions or millions: `1.14 G`."""
    return f"{macs / 1e9:.2f} G" if macs >= 1e9 else f"{macs / 1e6:.1f} M"


def published_costs() -> dict[str, Costs]:
    """Returns the costs of all networks by name."""
    with open(FILE, newline="") as rows:
        return {
            row["network"]: Costs(int(row["parameters"]), int(row["multiply_adds"]))
            for row in csv.DictReader(rows)
        }
