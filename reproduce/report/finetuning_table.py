"""Accuracies of fine-tuning with its defaults: rows of runs, and the table of docs/."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean

from keras_classics.training import read_result
from reproduce.finetuning.sets import TESTED, SmallSet
from reproduce.harness.result_table import RESULTS, ResultTable, result_row
from reproduce.harness.tables import ENVIRONMENT, NOT_RUN, Row, markdown

COLUMNS = (
    "sets",
    "variant",
    "model",
    "train_images",
    "images",
    "seed",
    "batch_size",
    "epochs",
    "steps",
    "test_error",
    "test_loss",
    "train_accuracy",
    "train_loss",
    "seconds",
    *ENVIRONMENT,
    "result_sha256",
)

# Names of the networks, with the data that their weights were trained on.
NETWORKS = {
    ("resnet20", "fashion_mnist"): "`resnet20`, Fashion-MNIST",
    ("lenet5", "digits"): "`lenet5`, digits",
}


def _identity(row: Row) -> tuple:
    return row["sets"], row["variant"], int(row["seed"])


FINETUNED = ResultTable(RESULTS / "finetuning.csv", COLUMNS, _identity)


def is_finetuned(run: Path) -> bool:
    """Returns whether a run is one of `reproduce.finetuning`."""
    return "sets" in read_result(run / "result.json")["tags"]


def add_finetuned(runs: Iterable[Path]) -> None:
    """Adds the rows of runs; new rows replace old ones."""
    rows = []
    for run in runs:
        sets = read_result(run / "result.json")["tags"]["sets"]
        columns = [name for name in COLUMNS if name != "sets"]
        rows.append({"sets": sets, **result_row(run / "result.json", columns)})
    FINETUNED.add(rows)


def finetuning_table(rows: Sequence[Row]) -> str:
    """Returns the table: one line per tested set, with mean and lowest accuracy over seeds."""
    lines = []
    for name, small in TESTED.items():
        of_set = [row for row in rows if (row["sets"], row["variant"]) == ("tested", name)]
        lines.append([_title(name, small), NETWORKS[small.network, small.weights], *_cells(of_set)])
        lines[-1][2:2] = [str(len(small.classes)), str(small.images)]
    head = ["images", "network, weights", "classes", "trained on", "mean, %", "lowest, %", "seeds"]
    return markdown(head, lines, left=2)


def _title(name: str, small: SmallSet) -> str:
    if small.dataset is None:
        return f"generated: {', '.join(small.classes)}"
    return f"Fashion-MNIST: {name.replace('_', ', ')}"


def _cells(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return [NOT_RUN, NOT_RUN, "-"]
    accuracies = [100 * (1 - float(row["test_error"])) for row in rows]
    return [f"{mean(accuracies):.1f}", f"{min(accuracies):.1f}", str(len(rows))]
