"""Result rows: the CSV files in reproduce/results, and the row of a finished run."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_classics import files
from keras_classics.environment import ONEDNN
from keras_classics.errors import UserError
from keras_classics.training import read_result
from keras_classics.training.run_directory import run_folder
from reproduce.harness.tables import Row, read_rows

# The variable of TensorFlow's number of threads within an operation.
INTRA_OP = "TF_NUM_INTRAOP_THREADS"

RESULTS = Path(__file__).parents[1] / "results"


@dataclass(frozen=True)
class ResultTable:
    """A CSV file of result rows.

    Attributes:
        path: The file. It need not exist.
        columns: Names of its columns.
        identity: Returns what identifies a row, which is also what rows are sorted by. A new row
            replaces the old row of the same identity.
        order: Returns what rows are sorted by instead; rows that it ranks alike keep their order.
    """

    path: Path
    columns: Sequence[str]
    identity: Callable[[Row], tuple]
    order: Callable[[Row], tuple] | None = None

    def read(self) -> list[Row]:
        """Returns the rows; none if there is no file."""
        return read_rows(self.path)

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replaces all rows. Keys that are not columns are left out."""
        # Rows of before there was a column have nothing in it.
        kept = [{name: row.get(name, "") for name in self.columns} for row in rows]
        files.write_csv(self.path, self.columns, kept)

    def add(self, rows: Iterable[Row], keep: Callable[[Row], bool] = lambda row: True) -> None:
        """Adds rows, or replaces the old rows of the same identity.

        Args:
            rows: The new rows.
            keep: Returns whether an old row stays. By default all do.
        """
        old = [row for row in self.read() if keep(row)]
        by_identity = {self.identity(row): row for row in [*old, *rows]}
        if by_identity:
            self.write(sorted(by_identity.values(), key=self.order or self.identity))


def result_row(path: Path, columns: Sequence[str]) -> Row:
    """Returns the row of a finished run.

    Args:
        path: The run's `result.json`.
        columns: The columns of the row.

    Raises:
        UserError: If it holds no result.
    """
    result = read_result(path)
    environment = result["environment"]
    values = {
        **result,
        **result["metrics"],
        **environment,
        "command": command_with_settings(environment),
        **environment["versions"],
        "variant": result["tags"].get("variant", ""),
        "result_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    try:
        return cells(values, columns)
    except KeyError as error:
        raise UserError(f"{path} does not hold the result of a run: it lacks {error}.") from error


def command_with_settings(environment: Mapping[str, Any]) -> str:
    """Returns a run's command with the settings on which the order of sums depends.

    They are the number of threads, and oneDNN's kernels where the user had turned them off.
    """
    settings = {INTRA_OP: environment.get("threads", {}).get("intra_op")}
    if environment.get("onednn") == "0":
        settings[ONEDNN] = "0"
    words = [f"{name}={value}" for name, value in settings.items() if value]
    return " ".join([*words, environment["command"]])


def cells(values: Mapping[str, Any], columns: Sequence[str]) -> Row:
    """Returns the cells of a row.

    Args:
        values: A value for each column, and others. Runs of before there were pins have no
            `constraints`, older ones no `outcome_sha256`; such cells are then empty.
        columns: The columns of the row.
    """
    values = {"constraints": None, "outcome_sha256": None, **values}
    return {name: "" if values[name] is None else str(values[name]) for name in columns}


def finished_runs(folder: Path) -> list[Path]:
    """Returns a folder that holds a finished run, or those in it that do.

    A fine-tuning counts as its last stage.

    Raises:
        UserError: There are none.
    """
    run = run_folder(folder)
    inside = [] if run != folder else [run_folder(path) for path in sorted(folder.glob("*/"))]
    runs = [run for run in [run, *inside] if (run / "result.json").exists()]
    if not runs:
        raise UserError(
            f"{folder} holds no finished run: there is no {folder / 'result.json'}, and none in "
            "the folders in it."
        )
    return runs
