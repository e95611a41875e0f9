"""Accuracies of fine-tuning with its defaults: rows of runs, and the table of docs/."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from keras_classics.data.augment import AffineDistortion, Augmentation, CropFlip
from keras_classics.training import Recipe, read_result
from keras_classics.training.schedules import Warmup
from reproduce.finetuning.sets import TESTED, SmallSet
from reproduce.harness.result_table import RESULTS, ResultTable, cells, result_row
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

SEARCH_COLUMNS = (
    "set",
    "model",
    "weights",
    "top",
    "seed",
    "batch_size",
    "head_steps",
    "steps",
    "rate",
    "rate_whole",
    "warmup",
    "augmentation",
    "clip_norm",
    "optimizer",
    "head_accuracy",
    "accuracy",
)

# Names of the networks, with the data that their weights were trained on.
NETWORKS = {
    ("resnet20", "fashion_mnist"): "`resnet20`, Fashion-MNIST",
    ("lenet5", "digits"): "`lenet5`, digits",
}


def _identity(row: Row) -> tuple:
    return row["sets"], row["variant"], int(row["seed"])


def _search_identity(row: Row) -> tuple:
    return tuple(row[name] for name in SEARCH_COLUMNS)


FINETUNED = ResultTable(RESULTS / "finetuning.csv", COLUMNS, _identity)
SEARCHED = ResultTable(RESULTS / "finetuning_search.csv", SEARCH_COLUMNS, _search_identity)


def is_finetuned(run: Path) -> bool:
    """Returns whether a run is one of `reproduce.finetuning`."""
    return "sets" in read_result(run / "result.json")["tags"]


def add_finetuned(runs: Iterable[Path]) -> None:
    """Adds the rows of runs, each to the table of its sets; new rows replace old ones."""
    columns = [name for name in COLUMNS if name != "sets"]
    for run in runs:
        sets = read_result(run / "result.json")["tags"]["sets"]
        if sets == "search":
            SEARCHED.add([_search_row(run)])
        else:
            FINETUNED.add([{"sets": sets, **result_row(run / "result.json", columns)}])


def _search_row(run: Path) -> Row:
    """Returns the row of a fine-tuning on a set that chooses the defaults."""
    (head, head_result), (whole, result) = (
        (_recipe(folder), read_result(folder / "result.json"))
        for folder in (run.parent / "head", run)
    )
    warmup = whole.schedule.epochs / result["epochs"] if isinstance(whole.schedule, Warmup) else 0
    return cells(
        {
            "set": whole.tags["variant"],
            "model": whole.model,
            "weights": head.model_arguments["weights"],
            "top": "kept" if whole.model_arguments.get("include_top", True) else "new",
            "seed": whole.seed,
            "batch_size": whole.batch_size,
            "head_steps": head_result["steps"],
            "steps": result["steps"],
            "rate": _peak(head),
            "rate_whole": _peak(whole),
            "warmup": f"{warmup:.2g}",
            "augmentation": _augmentation(whole.augmentation),
            "clip_norm": whole.clip_norm and f"{whole.clip_norm:g}",
            "optimizer": type(whole.optimizer).__name__.lower(),
            "head_accuracy": f"{head_result['metrics']['test_accuracy']:.4f}",
            "accuracy": f"{result['metrics']['test_accuracy']:.4f}",
        },
        SEARCH_COLUMNS,
    )


def _recipe(run: Path) -> Recipe:
    return Recipe.from_json(json.loads((run / "recipe.json").read_text()))


def _peak(recipe: Recipe) -> float:
    schedule: Any = recipe.schedule
    return getattr(schedule, "then", schedule).rate


def _augmentation(augmentation: Augmentation | None) -> str:
    """Returns an augmentation in words, as they stand in the rows."""
    if isinstance(augmentation, CropFlip):
        return "shift and flip"
    if isinstance(augmentation, AffineDistortion):
        amounts = augmentation.scale, augmentation.squeeze, augmentation.shear
        return "distortion" if any(amounts) else "shift"
    return str(augmentation)


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
