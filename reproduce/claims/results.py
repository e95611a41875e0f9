"""The result rows of a claim.

A claim has up to four files in reproduce/results: NAME.csv has a row for each run,
NAME_history.csv a row for each epoch, NAME_layers.csv a row for each layer that was measured, and
NAME_search.csv a row for each run that helped to choose a learning rate.
All come from the run directories that `python -m reproduce.PROGRAM` writes. The column `run` holds
the first characters of the run's `result_sha256`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_classics.analysis import plots
from keras_classics.errors import UserError
from keras_classics.evaluation.statistics import mean_difference
from keras_classics.training import read_result
from reproduce.harness.result_table import RESULTS, ResultTable, result_row
from reproduce.harness.tables import ENVIRONMENT, Row, markdown, read_rows, spread

COLUMNS = (
    "variant",
    "model",
    "recipe",
    "dataset",
    "train_images",
    "images",
    "seed",
    "epochs",
    "steps",
    "parameters",
    "test_error",
    "test_loss",
    "train_accuracy",
    "train_loss",
    "protocol",
    "seconds",
    "images_per_second",
    *ENVIRONMENT,
    "result_sha256",
    "outcome_sha256",
)

HISTORY_COLUMNS = (
    "run",
    "variant",
    "seed",
    "epoch",
    "step",
    "learning_rate",
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
)

LAYER_COLUMNS = ("run", "variant", "seed", "when", "layer", "quantity", "value")

# The file in a run's folder that its rows of layers come from.
LAYERS = "layers.csv"

# The row of a run's training error in inference among those of its layers.
TRAINING_ERROR = {"when": "end", "layer": "network", "quantity": "training_error"}

# Heads of `Results.error_cells`.
ERRORS_HEAD = ("training error, %", "in inference, %", "test error, %")

SEARCH_COLUMNS = (
    "variant",
    "rate",
    "recipe",
    "dataset",
    "train_images",
    "seed",
    "epochs",
    "held_out_error",
    "seconds",
    *ENVIRONMENT,
    "result_sha256",
)


@dataclass(frozen=True)
class Results:
    """Rows of the runs of a claim.

    Attributes:
        runs: A row for each run, with `COLUMNS`.
        epochs: A row for each epoch of a run, with `HISTORY_COLUMNS`.
        layers: A row for each quantity of a layer of a run, with `LAYER_COLUMNS`.
        search: A row for each run that helped to choose a rate, with `SEARCH_COLUMNS`.
    """

    runs: Sequence[Row] = ()
    epochs: Sequence[Row] = ()
    layers: Sequence[Row] = ()
    search: Sequence[Row] = ()

    def of(self, variant: str) -> list[Row]:
        """Returns the runs of a variant."""
        return [row for row in self.runs if row["variant"] == variant]

    def histories(self, variant: str) -> list[list[Row]]:
        """Returns the epochs of each run of a variant."""
        return [[e for e in self.epochs if e["run"] == run_of(row)] for row in self.of(variant)]

    def errors(self, variant: str, part: str = "test") -> list[float]:
        """Returns the errors of a variant's runs after the last epoch, in per cent.

        Args:
            variant: The variant.
            part: `"test"`; `"training"`: the running error of the last epoch, with its dropout and
                augmentation; or `"inference"`: that of the final network on the plain training
                images, of the runs in which it was measured.
        """
        if part == "inference":
            measured = self.layers_of(variant, TRAINING_ERROR["quantity"], TRAINING_ERROR["when"])
            return [100 * layers[TRAINING_ERROR["layer"]] for layers in measured]
        if part == "training":
            return [100 * (1 - float(run["train_accuracy"])) for run in self.of(variant)]
        return [100 * float(run["test_error"]) for run in self.of(variant)]

    def error_cells(self, variant: str) -> list[str]:
        """Returns the cells of a variant's errors, for a table with `ERRORS_HEAD`."""
        return [spread(self.errors(variant, part)) for part in ("training", "inference", "test")]

    def held_out_errors(self, variant: str, recipe: str) -> dict[float, list[float]]:
        """Returns a variant's errors on images held out of training, in per cent, by rate."""
        errors: dict[float, list[float]] = {}
        for row in self.search:
            if (row["variant"], row["recipe"]) == (variant, recipe):
                errors.setdefault(float(row["rate"]), []).append(100 * float(row["held_out_error"]))
        return errors

    def gain(self, variant: str, over: str, part: str = "test") -> str:
        """Returns how many points larger a variant's error is, with the 95 % interval."""
        runs = self.errors(variant, part), self.errors(over, part)
        if min(map(len, runs)) < 2:
            return "-"
        return with_interval(*mean_difference(*runs))

    def error_lines(self, variant: str, label: str) -> list[plots.Line]:
        """Returns lines of a variant's test errors over the epochs, and of its training errors."""
        histories = self.histories(variant)
        return [
            plots.Line(
                label,
                [[100 * (1 - float(e[f"{part}_accuracy"])) for e in h] for h in histories],
                dashed=part == "train",
            )
            for part in ("test", "train")
            if histories
        ]

    def layers_of(self, variant: str, quantity: str, when: str) -> list[dict[str, float]]:
        """Returns a quantity of each layer, in order, for each run in which it was measured."""
        return [layers for _, layers in self.layers_by_run(variant, quantity, when)]

    def layers_by_run(
        self, variant: str, quantity: str, when: str
    ) -> list[tuple[Row, dict[str, float]]]:
        """Returns the row of each run in which a quantity was measured, and the quantity."""
        runs = {run_of(row): row for row in self.of(variant)}
        layers: dict[str, dict[str, float]] = {run: {} for run in runs}
        for row in self.layers:
            if row["run"] in runs and (row["quantity"], row["when"]) == (quantity, when):
                layers[row["run"]][row["layer"]] = float(row["value"])
        return [(runs[run], found) for run, found in layers.items() if found]

    def layer_lines(
        self, variant: str, label: str, quantity: str, when: str = "end"
    ) -> list[plots.Line]:
        """Returns lines of a quantity over the layers of a variant."""
        runs = [list(layers.values()) for layers in self.layers_of(variant, quantity, when)]
        return [plots.Line(label, runs)] if runs else []


def with_interval(difference: float, low: float, high: float) -> str:
    """Returns a difference in points with its interval, for a table."""
    return f"{difference:+.2f} ({low:+.2f} to {high:+.2f})"


def draw_errors(
    panels: Mapping[str, Sequence[plots.Line]], path: Path, *, columns: int = 3
) -> None:
    """Draws panels of `Results.error_lines` over the epochs. See `plots.lines`."""
    training = "training error during the epoch"
    plots.lines(
        panels, "epoch", "error, %", path, columns=columns, solid="test error", dashed=training
    )


def read_results(claim: str) -> Results:
    """Reads the result rows of a claim, given its name."""
    return Results(*(table.read() for table in _tables(claim)))


def add_results(claim: str, folders: Iterable[Path]) -> None:
    """Adds the rows of finished runs to those of a claim.

    A run that was repeated replaces the old one, with the rows of its epochs and layers.
    """
    runs, epochs, layers, search = _tables(claim)
    folders = list(folders)
    new = results_of(folder for folder in folders if searched_rate(folder) is None)
    search.add([search_row(folder) for folder in folders if searched_rate(folder) is not None])
    runs.add(new.runs)
    unchanged = {run_of(row) for row in runs.read()} - {run_of(row) for row in new.runs}
    for table, rows in ((epochs, new.epochs), (layers, new.layers)):
        table.add(rows, keep=lambda row: row["run"] in unchanged)


def runs_table(results: Results) -> str:
    """Returns a Markdown table of the runs alone, where a claim's would lack most."""
    rows = [
        [
            run["variant"],
            run["dataset"],
            str(run["seed"]),
            str(run["epochs"]),
            f"{100 * (1 - float(run['train_accuracy'])):.2f}",
            f"{100 * float(run['test_error']):.2f}",
            f"{float(run['seconds']):,.1f}",
        ]
        for run in results.runs
    ]
    head = ["variant", "data", "seed", "epochs", "training error, %", "test error, %", "seconds"]
    return markdown(head, rows, left=2)


def results_of(folders: Iterable[Path]) -> Results:
    """Reads the results of finished runs from their folders."""
    return joined([_results_of_run(folder) for folder in folders])


def joined(several: Sequence[Results]) -> Results:
    """Returns all runs of several results, with their epochs and layers."""
    return Results(
        [run for results in several for run in results.runs],
        [epoch for results in several for epoch in results.epochs],
        [layer for results in several for layer in results.layers],
    )


def _results_of_run(folder: Path) -> Results:
    row = result_row(folder / "result.json", COLUMNS)
    common = {"run": run_of(row), "variant": row["variant"], "seed": row["seed"]}
    epochs = [_only(HISTORY_COLUMNS, {**e, **common}) for e in read_rows(folder / "history.csv")]
    # The digits of float32.
    layers = [
        _only(LAYER_COLUMNS, {**layer, **common, "value": f"{float(layer['value']):.9g}"})
        for layer in read_rows(folder / LAYERS)
    ]
    return Results([row], epochs, layers)


def claim_of(folder: Path) -> str | None:
    """Returns the name of the claim that a run belongs to, or None."""
    return read_result(folder / "result.json")["tags"].get("claim")


def searched_rate(folder: Path) -> str | None:
    """Returns the rate that a run tries for a search; None if it is no part of one."""
    return read_result(folder / "result.json")["tags"].get("rate")


def search_row(folder: Path) -> Row:
    """Returns the row of a finished run of a search."""
    last = read_rows(folder / "history.csv")[-1]
    known = {
        "rate": searched_rate(folder),
        "held_out_error": str(1 - float(last["validation_accuracy"])),
    }
    columns = [name for name in SEARCH_COLUMNS if name not in known]
    return _only(SEARCH_COLUMNS, {**result_row(folder / "result.json", columns), **known})


def search_table(rows: Sequence[Row]) -> str:
    """Returns a Markdown table of the runs of a search."""
    cells = [
        [row["variant"], row["rate"], row["seed"], f"{100 * float(row['held_out_error']):.2f}"]
        for row in rows
    ]
    return markdown(["variant", "rate", "seed", "error of images held out, %"], cells)


def run_of(row: Row) -> str:
    """Returns the value of `run` in the rows of a run's epochs and layers."""
    return row["result_sha256"][:12]


def _tables(claim: str) -> tuple[ResultTable, ResultTable, ResultTable, ResultTable]:
    """The tables of runs, epochs, layers and searches."""
    return (
        ResultTable(RESULTS / f"{claim}.csv", COLUMNS, _identity),
        ResultTable(RESULTS / f"{claim}_history.csv", HISTORY_COLUMNS, _epoch, _variant_and_seed),
        ResultTable(RESULTS / f"{claim}_layers.csv", LAYER_COLUMNS, _layer, _variant_and_seed),
        ResultTable(RESULTS / f"{claim}_search.csv", SEARCH_COLUMNS, _tried),
    )


def _identity(row: Row) -> tuple:
    numbers = (int(row[name]) for name in ("train_images", "images", "epochs", "seed"))
    return (row["dataset"], row["recipe"], row["variant"], *numbers)


def _tried(row: Row) -> tuple:
    numbers = (int(row[name]) for name in ("train_images", "epochs", "seed"))
    return (row["dataset"], row["recipe"], row["variant"], float(row["rate"]), *numbers)


def _epoch(row: Row) -> tuple:
    return row["run"], row["epoch"]


def _layer(row: Row) -> tuple:
    return row["run"], row["when"], row["layer"], row["quantity"]


def _variant_and_seed(row: Row) -> tuple:
    return row["variant"], int(row["seed"])


def _only(columns: Sequence[str], row: Mapping[str, Any]) -> Row:
    try:
        return {name: str(row[name]) for name in columns}
    except KeyError as error:
        raise UserError(f"A table of a run lacks the column {error}. Run it again.") from error
