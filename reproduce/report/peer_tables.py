"""Speed beside other libraries: rows of `reproduce.benchmark --what=train`, `infer`, `latency`."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from keras_classics.analysis import plots
from reproduce.benchmark.gpu_rows import PRECISIONS
from reproduce.benchmark.peer_rows import (
    BATCHES,
    COLUMNS,
    EXPORTS,
    SIDES,
    WORKS,
)
from reproduce.harness.result_table import RESULTS, ResultTable
from reproduce.harness.tables import NOT_RUN, Row, markdown, read_rows

# Calls of the network, without and with XLA.
CALLS = ("keras_classics", "keras_classics_xla")
TORCH = ("torch", "torch_trace")
NAMES = {
    "keras_classics": "here",
    "keras_classics_xla": "here, XLA",
    "saved_model": "SavedModel",
    "litert": "TFLite",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "torch": "torch",
    "torch_trace": "torch, traced",
    "keras": "Keras",
}
# The sides of a work that are this package's.
OURS = {"train": CALLS, "infer": CALLS, "latency": [*CALLS, *EXPORTS]}
# What the README shows.
FEW = {
    ("train", "resnet50"): "training ResNet-50",
    ("train", "resnet20"): "training ResNet-20",
    ("infer", "vgg16"): "batches of VGG-16",
    ("latency", "resnet50"): "one image of ResNet-50",
    ("latency", "resnet20"): "one image of ResNet-20",
}
TITLES = {"train": "training steps", "infer": "predictions", "latency": "one image"}


def _identity(row: Row) -> tuple:
    return (
        WORKS.index(row["work"]),
        list(BATCHES).index(row["network"]),
        PRECISIONS.index(row["precision"]),
        list(SIDES).index(row["side"]),
    )


PEERS = ResultTable(RESULTS / "benchmark.csv", COLUMNS, _identity)


def is_peers(path: Path) -> bool:
    """Returns whether a path is a file of rows that these benchmarks wrote."""
    return path.suffix == ".csv" and bool(rows := read_rows(path)) and set(rows[0]) == set(COLUMNS)


def add_peers(path: Path) -> None:
    """Adds the rows of a file that these benchmarks wrote; new rows replace old ones."""
    PEERS.add(read_rows(path))


def peer_tables(rows: Sequence[Row]) -> dict[str, str]:
    """Returns the tables of docs/performance.md and the line of the README by their names."""
    return {
        "peers_train": _table(rows, "train", ("keras_classics", "torch", "keras")),
        "peers_infer": _table(
            rows,
            "infer",
            ("keras_classics", "onnxruntime", "openvino", "torch", "torch_trace", "keras"),
        ),
        "peers_latency": _table(rows, "latency", list(NAMES)),
        "peers_machine": _machine(rows),
        "peers_few": _few(rows),
    }


def _table(rows: Sequence[Row], work: str, sides: Sequence[str]) -> str:
    """A line for each network and precision that has rows: images a second, and ratios."""
    lines = []
    for network, precision in itertools.product(BATCHES, PRECISIONS):
        of_case = _by_side(rows, work, network, precision)
        if not of_case and precision != "float32":
            continue
        rates = [_rate(of_case.get(side)) for side in sides]
        ratios = [
            _ratio(of_case, OURS[work], TORCH),
            _ratio(of_case, CALLS, TORCH if work == "latency" else ["keras"]),
        ]
        lines.append([f"`{network}`", precision, *rates, *ratios, _share(of_case, OURS[work])])
    ratios = ["here / torch", "here / keras"]
    if work == "latency":
        ratios = ["best / torch", "here / torch"]
    head = ["network", "precision", *(NAMES[side] for side in sides), *ratios, "of the limit, %"]
    return markdown(head, lines, left=2)


def _by_side(rows: Sequence[Row], *case: str) -> dict[str, Row]:
    """The rows of a work, a network and a precision, by their sides."""
    return {
        row["side"]: row for row in rows if (row["work"], row["network"], row["precision"]) == case
    }


def _rate(row: Row | None) -> str:
    if row is None:
        return NOT_RUN
    rate = float(row["images_per_second"])
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:,.1f}"


def _fastest(rows: dict[str, Row], sides: Sequence[str]) -> Row | None:
    """The row of the side with most operations a second; networks differ in a few of them."""
    found = [rows[side] for side in sides if side in rows]
    return max(found, key=lambda row: float(row["gflops"]), default=None)


def _best(rows: dict[str, Row], sides: Sequence[str]) -> float | None:
    """Most operations a second of some sides."""
    row = _fastest(rows, sides)
    return None if row is None else float(row["gflops"])


def _ratio(rows: dict[str, Row], ours: Sequence[str], theirs: Sequence[str]) -> str:
    one, other = _best(rows, ours), _best(rows, theirs)
    return "-" if one is None or other is None else f"{one / other:.2f}"


def _share(rows: dict[str, Row], ours: Sequence[str]) -> str:
    best = _best(rows, ours)
    if best is None:
        return "-"
    limit = max(float(row["limit_gflops"]) for row in rows.values())
    return f"{100 * best / limit:.0f}"


def _few(rows: Sequence[Row]) -> str:
    """A line of a few figures here and by torch; of one image, by the fastest form."""
    figures = []
    for (work, network), name in FEW.items():
        of_case = _by_side(rows, work, network, "float32")
        rates = [_rate(_fastest(of_case, sides)) for sides in (OURS[work], TORCH)]
        figures.append(f"{name} {' and '.join(rates)}")
    device = f" on {rows[0]['device']}" if rows else ""
    return f"*Images per second here and by torch{device}: {'; '.join(figures)}.*"


def _machine(rows: Sequence[Row]) -> str:
    """A line about the machine and the versions of the rows."""
    if not rows:
        return NOT_RUN
    versions = sorted({row["version"] for row in rows} - {f"keras {row['keras']}" for row in rows})
    one, commits = rows[0], dict.fromkeys(row["commit"][:8] for row in rows)
    limits = [float(row["limit_gflops"]) for row in rows if row["precision"] == "float32"]
    return (
        f"*{one['device']}, {one['threads']} threads; Keras {one['keras']}, TensorFlow "
        f"{one['tensorflow']}, {', '.join(v for v in versions if not v.startswith('tensorflow'))}; "
        f"commit {', '.join(commits)}. Medians of {one['turns']} turns. Product of two matrices in "
        f"float32: {min(limits):,.0f} to {max(limits):,.0f} GFLOP/s.*"
    )


def draw_peers(rows: Sequence[Row], path: Path) -> None:
    """Draws what part of the limit each reaches in float32, training and predictions apart."""
    sides = {
        "here": CALLS,
        "best export": [*EXPORTS],
        "torch, the better": TORCH,
        "keras.applications": ["keras"],
    }
    panels = {}
    for work, network in itertools.product(WORKS, BATCHES):
        of_case = _by_side(rows, work, network, "float32")
        # An export for batches is no form of its own.
        chosen = {n: of for n, of in sides.items() if work == "latency" or n != "best export"}
        found = {name: _best(of_case, of) for name, of in chosen.items()}
        limit = max((float(row["limit_gflops"]) for row in of_case.values()), default=0)
        if bars := {name: 100 * best / limit for name, best in found.items() if best}:
            panels.setdefault(TITLES[work], {})[network] = bars
    plots.bars(panels, "of the limit, %", path, limit=100)
