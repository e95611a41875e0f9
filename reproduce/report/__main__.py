"""Adds finished runs to the rows of results, and renders tables, pages and figures from the rows.

    python -m reproduce.report                     render README.md, docs/, reproduce/README.md
                                                   and the figures
    python -m reproduce.report --add=RUN[,RUN...]  add rows first, of finished runs, of folders of
                                                   runs, or of what `keras-classics evaluate` or
                                                   `export` wrote with --out; or what
                                                   `reproduce.benchmark` or
                                                   `reproduce.doctor` wrote
    python -m reproduce.report --zoo               also build every network, in about two minutes,
                                                   for the table of networks and the diagrams
    python -m reproduce.report --check             write nothing; fail if a page is out of date

A row of a run holds the values of its `result.json` and the hash of that file; a row of an
evaluation those of `evaluation.json` and the hash of the predictions; a row of an export those of
`manifest.json` and its hash.
"""

import json
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from keras_classics import files
from keras_classics.analysis import plots
from keras_classics.cli._paths import define_path_list
from keras_classics.cli._program import run
from keras_classics.errors import UserError
from keras_classics.models import costs
from keras_classics.training import read_result, recipes
from reproduce.claims import CLAIMS
from reproduce.claims.results import add_results, claim_of
from reproduce.harness.result_table import RESULTS, ResultTable, finished_runs, result_row
from reproduce.harness.tables import (
    ENVIRONMENT,
    ROOT,
    Row,
    markdown,
    spread,
    update_pages,
    write_or_check,
)
from reproduce.report.claims_page import FIGURES, update_claims
from reproduce.report.doctor_table import DOCTOR, add_doctor, doctor_table, is_doctor
from reproduce.report.export_table import EXPORTS, add_exports, export_table
from reproduce.report.finetuning_table import (
    FINETUNED,
    add_finetuned,
    finetuning_table,
    is_finetuned,
)
from reproduce.report.gpu_tables import (
    FULL_LENGTH,
    FULL_LENGTH_HISTORY,
    SPEED,
    add_full_length,
    add_speed,
    draw_full_length,
    full_length_machine,
    full_length_runs,
    full_length_table,
    is_speed,
    speed_machine,
    speed_table,
)
from reproduce.report.paper_tables import paper_tables
from reproduce.report.papers import EVALUATIONS
from reproduce.report.peer_tables import PEERS, add_peers, draw_peers, is_peers, peer_tables
from reproduce.report.zoo_table import (
    all_profiles,
    costs_text,
    draw_diagrams,
    weights_table,
    zoo_table,
)

ADD = define_path_list("add", "Folders of runs, evaluations and exports to add to the rows.")
ZOO = flags.DEFINE_bool("zoo", False, "Also build every network for its table and diagrams.")
CHECK = flags.DEFINE_bool("check", False, "Write nothing; fail if a page is out of date.")

# The run whose worst mistakes docs/networks/lenet.md shows.
SHOWN_RUN = {"dataset": "fashion_mnist", "recipe": "modern", "train_images": "60000", "seed": "0"}

# The data sets of the table of LeNet-5, in its order.
DATASETS = ("mnist", "fashion_mnist", "digits")

# Today's names of recipes that had another name at a commit.
RENAMED = {("paper", "e110b25180f203d305a40ca22141a02f7e107de7"): recipes.LENET5_APPENDIX_A.name}

COLUMNS = (
    "model",
    "recipe",
    "dataset",
    "train_images",
    "images",
    "seed",
    "epochs",
    "test_error",
    "test_loss",
    "train_loss",
    "protocol",
    "seconds",
    "images_per_second",
    *ENVIRONMENT,
    "result_sha256",
)

EVALUATION_COLUMNS = (
    "model",
    "arguments",
    "weights",
    "dataset",
    "train_images",
    "epochs",
    "seed",
    "images",
    "protocol",
    "members",
    "top1_error",
    "top1_low",
    "top1_high",
    "top5_error",
    "top5_low",
    "top5_high",
    "seconds",
    *ENVIRONMENT,
    "predictions_sha256",
)


def _identity(row: Row) -> tuple:
    numbers = (int(row[name]) for name in ("train_images", "images", "epochs", "seed"))
    return (row["dataset"], row["recipe"], *numbers)


def _evaluation_identity(row: Row) -> tuple:
    names = ("dataset", "model", "arguments", "weights", "protocol", "train_images", "images")
    return (*(row[name] for name in names), row["epochs"], row["seed"])


LENET5 = ResultTable(RESULTS / "lenet5.csv", COLUMNS, _identity)
EVALUATED = ResultTable(EVALUATIONS, EVALUATION_COLUMNS, _evaluation_identity)


def main() -> None:
    """Adds rows, then renders or checks."""
    _add([Path(path) for path in ADD.value])
    rows = LENET5.read()
    tables = {
        "lenet5": _lenet5_table(rows),
        "exports": export_table(EXPORTS.read()),
        "finetuning": finetuning_table(FINETUNED.read()),
        "doctor": doctor_table(DOCTOR.read()),
        "weights": weights_table(),
        "gpu_speed": speed_table(SPEED.read()),
        "gpu_speed_machine": speed_machine(SPEED.read()),
        "full_length": full_length_table(FULL_LENGTH.read()),
        "full_length_machine": full_length_machine(FULL_LENGTH.read()),
        **peer_tables(PEERS.read()),
        **paper_tables(),
    }
    if ZOO.value:
        profiles = all_profiles()
        tables["zoo"] = zoo_table(profiles)
        write_or_check(costs.FILE, costs_text(profiles), CHECK.value)
    update_pages(tables, CHECK.value)
    if not CHECK.value:
        _draw(rows)
        if ZOO.value:
            draw_diagrams(ROOT / "docs" / "networks")
    # After the figures, because the page shows those that exist.
    update_claims(CHECK.value)


def _add(folders: Sequence[Path]) -> None:
    """Adds the rows of folders, each to the results of its kind."""
    for path in folders:
        if is_peers(path):
            add_peers(path)
        if is_speed(path):
            add_speed(path)
        if is_doctor(path):
            add_doctor(path)
        add_full_length(path)
    kinds = (is_peers, is_speed, is_doctor, full_length_runs)
    folders = [path for path in folders if not any(kind(path) for kind in kinds)]
    exports = [folder for folder in folders if (folder / "manifest.json").exists()]
    evaluations = [folder for folder in folders if (folder / "evaluation.json").exists()]
    others = [folder for folder in folders if folder not in [*exports, *evaluations]]
    runs = [run for folder in others for run in finished_runs(folder)]
    if finetuned := [run for run in runs if is_finetuned(run)]:
        add_finetuned(finetuned)
    runs = [run for run in runs if run not in finetuned]
    of_no_claim = [run for run in runs if claim_of(run) is None]
    for folder in of_no_claim:
        _check_lenet5(folder)
    if exports:
        add_exports(folder / "manifest.json" for folder in exports)
    if evaluations:
        EVALUATED.add([_evaluation_row(folder / "evaluation.json") for folder in evaluations])
    for name in CLAIMS:
        if of_claim := [run for run in runs if claim_of(run) == name]:
            add_results(name, of_claim)
    if of_no_claim:
        LENET5.add([result_row(run / "result.json", COLUMNS) for run in of_no_claim])
        _keep_mistakes(of_no_claim)


def _check_lenet5(folder: Path) -> None:
    """Raises a `UserError` if a run does not belong into the table of LeNet-5."""
    result = read_result(folder / "result.json")
    recipe = recipes.LENET5.get(result["recipe"])
    if recipe is None or recipe.model != result["model"] or result["dataset"] not in DATASETS:
        raise UserError(
            f"Result rows are of claims, or of LeNet-5 on {', '.join(DATASETS)}. Received: "
            f"{folder}, {result['model']} on {result['dataset']}, recipe "
            f"{result['recipe']}. Leave it out."
        )


def _evaluation_row(path: Path) -> Row:
    """A row of an evaluation. Values that differ between members are a JSON list."""
    evaluation = json.loads(path.read_text())
    environment = evaluation["environment"]
    values = {**evaluation, **environment, **environment["versions"]}
    values = {name: values.get(name) for name in EVALUATION_COLUMNS}
    return {
        name: json.dumps(value) if isinstance(value, dict | list) else _text(value)
        for name, value in values.items()
    }


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _lenet5_table(rows: Sequence[Row]) -> str:
    """One line per recipe, data set and number of training images; MNIST also if not run."""
    lines = []
    groups: dict[tuple, list[Row]] = {}
    for recipe in recipes.LENET5.values():
        groups[recipe.name, "mnist", 60_000] = []
    for row in rows:
        recipe_name = RENAMED.get((row["recipe"], row["commit"]), row["recipe"])
        key = recipe_name, row["dataset"], int(row["train_images"])
        groups.setdefault(key, []).append(row)
    for (name, dataset, size), group in sorted(groups.items(), key=_table_order):
        recipe = recipes.LENET5[name]
        # The paper's figures of fewer training images are in its Figure 6, as curves.
        whole = (dataset, size) == (recipe.paper.dataset, 60_000)
        paper = f"{100 * recipe.paper.value:.2f}" if whole else "-"
        seconds = "-"
        if group:
            seconds = f"{statistics.mean(float(row['seconds']) for row in group):,.0f}"
        cells = [recipe.model, name, dataset, f"{size:,}", spread(_errors(group)), paper]
        lines.append([*cells, str(len(group) or "-"), seconds])
    head = ["network", "recipe", "data", "trained on", "test error, %", "paper, %", "seeds"]
    return markdown([*head, "seconds"], lines, left=3)


def _errors(group: Sequence[Row]) -> list[float]:
    return [100 * float(row["test_error"]) for row in group]


def _table_order(item: tuple) -> tuple:
    (name, dataset, size), _ = item
    return (
        DATASETS.index(dataset),
        list(recipes.LENET5).index(name),
        size,
    )


def _keep_mistakes(run_dirs: Sequence[Path]) -> None:
    """Copies the plot of the worst mistakes of `SHOWN_RUN`."""
    for run_dir in run_dirs:
        row = result_row(run_dir / "result.json", COLUMNS)
        if all(row[name] == value for name, value in SHOWN_RUN.items()):
            with files.atomic_write(FIGURES / "lenet5_mistakes.png") as aside:
                shutil.copyfile(run_dir / "plots" / "mistakes.png", aside)


def _draw(rows: Sequence[Row]) -> None:
    errors: dict[int, list[float]] = {}
    for row in rows:
        if (row["dataset"], row["recipe"]) == ("fashion_mnist", "modern"):
            errors.setdefault(int(row["train_images"]), []).append(float(row["test_error"]))
    if errors:
        plots.error_by_size(errors, FIGURES / "lenet5_figure6.png")
    if peers := PEERS.read():
        draw_peers(peers, FIGURES / "benchmark.png")
    if history := FULL_LENGTH_HISTORY.read():
        draw_full_length(history, FIGURES / "full_length.png")
    for claim in CLAIMS.values():
        if (results := claim.results()).runs:
            claim.draw(results, FIGURES / f"{claim.name}.png")


if __name__ == "__main__":
    run(main)
