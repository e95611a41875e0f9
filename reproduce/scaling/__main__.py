"""How far training scales over many GPUs: the tables and the figure of docs/scaling.md.

    python -m reproduce.scaling             render them from the model; takes seconds
    python -m reproduce.scaling --check     fail if a table is out of date
    python -m reproduce.scaling --measure   measure workers on this machine first; takes about 3
                                            minutes on two cores without other work

The formulas and their constants are in model.py, the workers in loopback.py.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from absl import flags

from keras_classics.analysis import plots
from keras_classics.cli._program import run
from reproduce.harness.result_table import RESULTS, ResultTable
from reproduce.harness.tables import ENVIRONMENT, Row, update_pages
from reproduce.scaling import loopback
from reproduce.scaling.measured_tables import WORKERS, measured_tables
from reproduce.scaling.model import cluster_of, modelled
from reproduce.scaling.model_tables import DENSE, model_tables

MEASURE = flags.DEFINE_bool("measure", False, "Measure workers on this machine first.")
CHECK = flags.DEFINE_bool("check", False, "Write nothing; fail if a table is out of date.")

HERE = Path(__file__).parents[1]
DOC = HERE.parent / "docs" / "scaling.md"
FIGURE = DOC.with_name("scaling.png")

# Networks in the figure.
DRAWN = ("lenet5", *DENSE, "resnet50", "resnet20")

COLUMNS = (
    "what",
    "workers",
    "network",
    "batch",
    "bytes",
    "seconds",
    "turns",
    "seed",
    "load",
    *ENVIRONMENT,
)


def _identity(row: Row) -> tuple:
    return row["what"], row["workers"], row["network"], row["bytes"]


MEASURED = ResultTable(RESULTS / "scaling.csv", COLUMNS, _identity)


def main() -> None:
    """Measures if asked to, then renders or checks."""
    if MEASURE.value:
        MEASURED.write(loopback.measure(WORKERS))
    update_pages(tables(MEASURED.read()), CHECK.value)
    if not CHECK.value:
        _draw()


def tables(rows: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Returns all tables of the page by name.

    Args:
        rows: The rows of measurements on this machine.
    """
    return {**model_tables(), **measured_tables(rows)}


def _draw() -> None:
    """Draws the efficiencies with machines of eight GPUs."""
    counts = [2**power for power in range(11)]
    panels = {
        title: {
            name: [modelled(name, cluster_of(gpus), overlap=overlap) for gpus in counts]
            for name in DRAWN
        }
        for title, overlap in (
            ("gradients summed after the backward pass", False),
            ("gradients summed while it runs, at best", True),
        )
    }
    plots.scaling(panels, counts, DENSE, FIGURE, accent="networks with large dense layers")


if __name__ == "__main__":
    run(main)
