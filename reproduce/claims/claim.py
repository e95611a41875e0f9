"""A claim of a paper that runs bear out or do not, and the rows of those runs.

A claim has two files in results/: NAME.csv, a row a run, and NAME_history.csv, a row an epoch, both
from the folders that `python -m reproduce.PROGRAM` leaves. Some have a third, NAME_layers.csv, a
row for each layer that was looked into. A row's `run` is the start of its run's `result_sha256`.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_classics import files
from keras_classics.analysis import plots
from keras_classics.data import ImageData
from keras_classics.errors import UserError
from keras_classics.evaluation.statistics import mean_difference
from keras_classics.training import FinishedRun, Recipe
from reproduce.harness.tables import ENVIRONMENT, Row, read_rows

HERE = Path(__file__).parents[1]
RESULTS = HERE / "results"
FIGURES = HERE / "figures"

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


@dataclass(frozen=True)
class Results:
    """Rows of the runs of a claim.

    Attributes:
        runs: A row a run, with `COLUMNS`.
        epochs: A row an epoch of a run, with `HISTORY_COLUMNS`.
        layers: A row for each quantity of a layer of a run, or of what else was looked at, with
            `LAYER_COLUMNS`.
    """

    runs: Sequence[Row] = ()
    epochs: Sequence[Row] = ()
    layers: Sequence[Row] = ()

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
            part: `"test"`, or `"training"`: the running error of the last pass.
        """
        if part == "training":
            return [100 * (1 - float(run["train_accuracy"])) for run in self.of(variant)]
        return [100 * float(run["test_error"]) for run in self.of(variant)]

    def gain(self, variant: str, over: str, part: str = "test") -> str:
        """Returns by how many points a variant's error is larger, with the 95 % interval."""
        runs = self.errors(variant, part), self.errors(over, part)
        if min(map(len, runs)) < 2:
            return "-"
        difference, low, high = mean_difference(*runs)
        return f"{difference:+.2f} ({low:+.2f} to {high:+.2f})"

    def error_lines(self, variant: str, label: str) -> list[plots.Line]:
        """Returns the test errors of a variant over the epochs, and the training errors dashed."""
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
        """Returns a quantity of each layer, in their order, for each run that was looked into."""
        by_run = {run_of(row): {} for row in self.of(variant)}
        for row in self.layers:
            if row["run"] in by_run and (row["quantity"], row["when"]) == (quantity, when):
                by_run[row["run"]][row["layer"]] = float(row["value"])
        return [layers for layers in by_run.values() if layers]

    def layer_lines(
        self, variant: str, label: str, quantity: str, when: str = "end"
    ) -> list[plots.Line]:
        """Returns a quantity of a variant over its layers."""
        runs = [list(layers.values()) for layers in self.layers_of(variant, quantity, when)]
        return [plots.Line(label, runs)] if runs else []


@dataclass(frozen=True)
class Claim:
    """What a paper says, the runs that test it, and how their outcome is shown.

    Attributes:
        name: Name of the files of its results and of its figure.
        title: Its heading.
        says: What the paper says, with the place.
        paper: The paper's figures, in a few words.
        program: Name of the program, and what tells it to test this claim.
        recipes: Recipes by name; the first is what is run here, the others a paper's own.
        variants: What is compared: by name, what a variant makes of a recipe.
        seeds: Number of runs of each variant.
        table: Makes a Markdown table of the results.
        draw: Draws them into a PNG file.
        reading: What came out, in a few sentences without figures.
        starts_from: For a variant, the one whose weights of the same seed it starts from.
        measure: Looks into the layers of a finished run: makes rows with `when`, `layer`,
            `quantity` and `value` of the run, its recipe and its data. None: nothing is looked at.
    """

    name: str
    title: str
    says: str
    paper: str
    program: str
    recipes: Mapping[str, Recipe]
    variants: Mapping[str, Callable[[Recipe], Recipe]]
    seeds: int
    table: Callable[[Results], str]
    draw: Callable[[Results, Path], None]
    reading: str
    starts_from: Mapping[str, str] = field(default_factory=dict)
    measure: Callable[[FinishedRun, Recipe, ImageData], list[dict[str, Any]]] | None = None

    def recipe_of(self, variant: str, recipe: Recipe, seed: int) -> Recipe:
        """Returns the recipe of one run."""
        changed = self.variants[variant](recipe)
        return dataclasses.replace(changed, variant=f"{self.name}/{variant}", seed=seed)

    def results(self) -> Results:
        """Reads the rows that are kept."""
        return Results(*(read_rows(path) for path in self._files()))

    def add(self, folders: Iterable[Path]) -> None:
        """Adds the rows of finished runs; one that is repeated takes the old one's place."""
        old, new = self.results(), results_of(folders)
        by_identity = {_identity(row): row for row in [*old.runs, *new.runs]}
        runs = sorted(by_identity.values(), key=_identity)
        there, anew = {run_of(row) for row in runs}, {run_of(row) for row in new.runs}

        def joined(before: Sequence[Row], added: Sequence[Row]) -> list[Row]:
            rows = [row for row in before if row["run"] in there - anew]
            return sorted([*rows, *added], key=lambda row: (row["variant"], int(row["seed"])))

        tables = (runs, joined(old.epochs, new.epochs), joined(old.layers, new.layers))
        for path, columns, rows in zip(
            self._files(), (COLUMNS, HISTORY_COLUMNS, LAYER_COLUMNS), tables, strict=True
        ):
            if rows:
                files.write_csv(path, columns, rows)

    def _files(self) -> list[Path]:
        return [RESULTS / f"{self.name}{end}.csv" for end in ("", "_history", "_layers")]


def on_images_of(recipe: Recipe, other: Recipe) -> Recipe:
    """Returns a recipe on the images of another, seen as often, and under its name."""
    shared = ("name", "dataset", "epochs", "steps", "limit_train", "limit_test")
    return dataclasses.replace(recipe, **{field: getattr(other, field) for field in shared})


def results_of(folders: Iterable[Path]) -> Results:
    """Reads the folders of finished runs."""
    runs, epochs, layers = [], [], []
    for folder in folders:
        row = row_of(folder / "result.json", COLUMNS)
        common = {"run": run_of(row), "variant": row["variant"], "seed": row["seed"]}
        runs.append(row)
        epochs += [
            _only(HISTORY_COLUMNS, {**e, **common}) for e in read_rows(folder / "history.csv")
        ]
        for layer in read_rows(folder / "layers.csv"):
            # As many digits as float32 has.
            value = f"{float(layer['value']):.9g}"
            layers.append(_only(LAYER_COLUMNS, {**layer, **common, "value": value}))
    return Results(runs, epochs, layers)


def finished_runs(folder: Path) -> list[Path]:
    """Returns a folder that holds a finished run, or those in it that do.

    Raises:
        UserError: There are none.
    """
    runs = [path.parent for path in sorted([folder / "result.json", *folder.glob("*/result.json")])]
    runs = [run for run in runs if (run / "result.json").exists()]
    if not runs:
        raise UserError(
            f"{folder} holds no finished run: there is no {folder / 'result.json'}, and none in "
            "the folders in it."
        )
    return runs


def row_of(path: Path, columns: Sequence[str]) -> Row:
    """Returns the row of a run, given its `result.json`."""
    content = path.read_bytes()
    result = json.loads(content)
    environment = result["environment"]
    values = {
        **result,
        **result["metrics"],
        **environment,
        **environment["versions"],
        "variant": (result.get("variant") or "").rpartition("/")[2],
        "result_sha256": hashlib.sha256(content).hexdigest(),
    }
    return {name: str(values[name]) for name in columns}


def claim_of(folder: Path) -> str | None:
    """Returns the name of the claim that a run belongs to, if it is of one."""
    variant = json.loads((folder / "result.json").read_text()).get("variant")
    return variant and variant.partition("/")[0]


def run_of(row: Row) -> str:
    """Returns the name by which rows of a run's epochs and layers know it."""
    return row["result_sha256"][:12]


def _only(columns: Sequence[str], row: Mapping[str, Any]) -> Row:
    return {name: str(row[name]) for name in columns}


def _identity(row: Row) -> tuple:
    numbers = (int(row[name]) for name in ("train_images", "images", "epochs", "seed"))
    return (row["dataset"], row["recipe"], row["variant"], *numbers)
