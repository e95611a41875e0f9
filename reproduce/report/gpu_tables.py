"""What ran on a GPU: rows of `reproduce.benchmark --what=gpu` and `reproduce.full_length`."""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from keras_classics import files
from keras_classics.analysis import plots
from reproduce.benchmark.gpu_rows import COLUMNS as SPEED_COLUMNS
from reproduce.benchmark.gpu_rows import GROUPS, PRECISIONS, SIDES, WORKS
from reproduce.harness.result_table import RESULTS, ResultTable, cells
from reproduce.harness.tables import NOT_RUN, Row, markdown, read_rows, spread

FULL_LENGTH_COLUMNS = (
    "model",
    "recipe",
    "dataset",
    "train_images",
    "images",
    "seed",
    "steps",
    "recipe_steps",
    "batch_size",
    "dtype_policy",
    "parameters",
    "test_error",
    "test_loss",
    "train_error",
    "train_loss",
    "running_train_error",
    "seconds",
    "commit",
    "device",
    "python",
    "constraints",
    "keras",
    "jax",
    "command",
    "weights_sha256",
)
HISTORY_COLUMNS = (
    "model",
    "seed",
    "recipe_steps",
    "step",
    "learning_rate",
    "train_loss",
    "train_error",
    "test_loss",
    "test_error",
)

# The columns of the table of speed, by the sides.
SIDE_NAMES = {"keras_jax": "Keras on JAX", "torch": "torch", "torch_compile": "torch, compiled"}
# Of the paper's Table 6, on CIFAR-10.
NETWORKS = {"plain20": "-", "plain56": "-", "resnet20": "8.75", "resnet56": "6.97"}


def _speed_identity(row: Row) -> tuple:
    networks = [name for group in GROUPS for name in group]
    return (
        networks.index(row["network"]),
        WORKS.index(row["work"]),
        PRECISIONS.index(row["precision"]),
        list(SIDES).index(row["side"]),
    )


def _run_identity(row: Row) -> tuple:
    return row["model"], int(row["recipe_steps"]), int(row["seed"])


def _block_identity(row: Row) -> tuple:
    return (*_run_identity(row), float(row["step"]))


SPEED = ResultTable(RESULTS / "benchmark_gpu.csv", SPEED_COLUMNS, _speed_identity)
FULL_LENGTH = ResultTable(RESULTS / "full_length.csv", FULL_LENGTH_COLUMNS, _run_identity)
FULL_LENGTH_HISTORY = ResultTable(
    RESULTS / "full_length_history.csv", HISTORY_COLUMNS, _block_identity
)


def is_speed(path: Path) -> bool:
    """Returns whether a path is a file that the benchmark `gpu` wrote."""
    return path.suffix == ".csv" and bool(rows := read_rows(path)) and "jax" in rows[0]


def full_length_runs(folder: Path) -> list[Path]:
    """Returns the runs of `reproduce.full_length` in a folder, or the folder itself."""
    runs = (folder, *sorted(folder.glob("*/")))
    return [run for run in runs if (run / "state.npz").exists() and (run / "result.json").exists()]


def add_speed(path: Path) -> None:
    """Adds the rows of a file that the benchmark `gpu` wrote; new rows replace old ones."""
    SPEED.add(read_rows(path))


def add_full_length(folder: Path) -> None:
    """Adds the rows of the runs in a folder, and their histories."""
    for run in full_length_runs(folder):
        result: dict[str, Any] = files.read_json(run / "result.json")
        environment = result["environment"]
        row = cells({**result, **environment, **environment["versions"]}, FULL_LENGTH_COLUMNS)
        FULL_LENGTH.add([row])
        history = [
            {name: f"{float(value):.6g}" for name, value in block.items()}
            for block in read_rows(run / "history.csv")
        ]
        FULL_LENGTH_HISTORY.add(
            [{**row, **block} for block in history],
            keep=lambda old, row=row: _run_identity(old) != _run_identity(row),
        )


def speed_table(rows: Sequence[Row]) -> str:
    """Returns images per second of each side, and the ratio to the better one of torch."""
    by_identity = {_speed_identity(row): row for row in rows}
    networks = {name: batch for group in GROUPS for name, batch in group.items()}
    lines = []
    for (n, (network, batch)), (w, work), (p, precision) in itertools.product(
        enumerate(networks.items()), enumerate(WORKS), enumerate(PRECISIONS)
    ):
        sides = [by_identity.get((n, w, p, s)) for s in range(len(SIDES))]
        what = "predictions" if work == "infer" else "training"
        rates = [*map(_rate, sides), _ratio(*sides)]
        lines.append([f"`{network}`", what, precision, str(batch), *rates])
    head = ["network", "work", "precision", "batch", *SIDE_NAMES.values(), "ratio"]
    return markdown(head, lines, left=3)


def _rate(row: Row | None) -> str:
    """Median, with the lowest and the highest of the turns."""
    if row is None:
        return NOT_RUN
    median, low, high = (float(row[n]) for n in ("images_per_second", "lowest", "highest"))
    return f"{median:,.0f} ({low:,.0f}-{high:,.0f})"


def _ratio(ours: Row | None, *others: Row | None) -> str:
    if ours is None or not any(others):
        return "-"
    best = max(float(row["images_per_second"]) for row in others if row is not None)
    return f"{float(ours['images_per_second']) / best:.2f}"


def speed_machine(rows: Sequence[Row]) -> str:
    """Returns a line about the device and the versions of the rows."""
    if not rows:
        return NOT_RUN
    parts = []
    for name, label in (
        ("device", ""),
        ("keras", "Keras "),
        ("jax", "JAX "),
        ("torch", "torch "),
        ("commit", "commit "),
    ):
        values = sorted({row[name][:8] if name == "commit" else row[name] for row in rows} - {""})
        parts.append(f"{label}{', '.join(values)}")
    turns = sorted({row["turns"] for row in rows})
    of_turns = f"Medians of {', '.join(turns)} turns, lowest and highest in brackets"
    return f"*{'; '.join(parts)}. {of_turns}.*"


def full_length_table(rows: Sequence[Row]) -> str:
    """Returns a line per network: errors after the last step, seeds and minutes."""
    lines = []
    for network, paper in NETWORKS.items():
        runs = [row for row in rows if row["model"] == network]
        errors = [
            spread([100 * float(row[name]) for row in runs if row[name]])
            for name in ("running_train_error", "train_error", "test_error")
        ]
        steps = ", ".join(sorted({_steps(row) for row in runs})) or "64,000"
        minutes = spread([float(row["seconds"]) / 60 for row in runs], 1, "-")
        lines.append([f"`{network}`", steps, *errors, paper, str(len(runs) or "-"), minutes])
    head = ["network", "steps", "training error in training, %", "in inference, %"]
    return markdown([*head, "test error, %", "paper, CIFAR-10, %", "seeds", "minutes"], lines)


def _steps(row: Row) -> str:
    """The steps of a run, and where it stopped early, of how many."""
    steps, planned = int(row["steps"]), int(row["recipe_steps"])
    return f"{steps:,}" if steps == planned else f"{steps:,} of {planned:,}"


def full_length_machine(rows: Sequence[Row]) -> str:
    """Returns a line about devices, versions and precision of the runs."""
    if not rows:
        return NOT_RUN
    values = {
        name: ", ".join(sorted({row[name] for row in rows}))
        for name in ("device", "keras", "jax", "dtype_policy")
    }
    commits = ", ".join(sorted({row["commit"][:8] for row in rows}))
    return (
        f"*{values['device']}; Keras {values['keras']}, JAX {values['jax']}, "
        f"{values['dtype_policy']}; commits {commits}.*"
    )


def draw_full_length(history: Sequence[Row], path: Path) -> None:
    """Draws the errors of the longest runs over their steps: Figure 6 of the paper."""
    most = max(int(row["recipe_steps"]) for row in history)
    longest = [row for row in history if int(row["recipe_steps"]) == most]
    panels = {
        title: [
            line
            for depth in (20, 56)
            for line in _lines(longest, f"{kind}{depth}", f"{depth} layers")
        ]
        for kind, title in (("plain", "plain"), ("resnet", "residual"))
    }
    panels = {title: panel for title, panel in panels.items() if panel}
    plots.lines(
        panels,
        "thousands of steps",
        "error, %",
        path,
        log=True,
        solid="test error",
        dashed="training error during 500 steps",
    )


def _lines(rows: Sequence[Row], model: str, label: str) -> Iterable[plots.Line]:
    of_model = [row for row in rows if row["model"] == model]
    seeds = sorted({int(row["seed"]) for row in of_model})
    for part in ("test", "train"):
        runs = [[r for r in of_model if int(r["seed"]) == seed] for seed in seeds]
        # Of runs that have stopped at different steps, what all have.
        runs = [run[: min(map(len, runs))] for run in runs]
        errors = [[100 * float(row[f"{part}_error"]) for row in run] for run in runs]
        if errors:
            x = [float(row["step"]) / 1000 for row in runs[0]]
            yield plots.Line(label, errors, x=x, dashed=part == "train")
