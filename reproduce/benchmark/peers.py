"""Training, predictions and the answer for one image, beside the libraries of others.

Each side runs in a process of its own, and the sides of a case take turns (`sides`). The product of
two matrices by the fastest library at hand, in the same turns, is the limit.
"""

import functools
import importlib.metadata
import importlib.util
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_classics import export, files
from keras_classics.environment import current_environment, usable_processors
from keras_classics.export.measuring import PACKAGES, Form, RuntimeProcess
from keras_classics.export.saved_model import build as build_saved_model
from keras_classics.export.source import Source
from keras_classics.export.tflite import build as build_tflite
from keras_classics.image_preprocessing import ImagePreprocessing
from keras_classics.models import describe, get_model
from reproduce.benchmark.gpu_rows import PRECISIONS
from reproduce.benchmark.gpu_sides import batch_of
from reproduce.benchmark.peer_rows import (
    APPLICATIONS,
    BATCHES,
    COLUMNS,
    EXPORTS,
    PASSES,
    SIDES,
    SMALL,
)
from reproduce.benchmark.peer_sides import PRODUCTS, SIZE, network_arguments
from reproduce.benchmark.sides import Case, Side, SideProcess, measured, started
from reproduce.benchmark.turns import (
    CHOSEN_PRECISIONS,
    NETWORKS,
    PEERS,
    QUICK,
    TURNS,
    chosen,
    out_path,
    print_rows,
    row_command,
)

# Seconds of a turn; a step of training may take longer.
TURN_SECONDS = {"train": 2.0, "infer": 1.0, "latency": 0.5}
QUICK_SECONDS = 0.3

# Names of the exports of a network, by the side.
FILES = {
    "saved_model": "saved_model",
    "litert": "model.tflite",
    "onnxruntime": "model.onnx",
    "openvino": "model.onnx",
}

ENVIRONMENT = {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}


class ExportSide:
    """An export of a network in its runtime. It is a `Side`.

    Args:
        case: What it runs.
        folder: Where the exports are, and `images.npy`.
    """

    def __init__(self, case: Case, folder: Path):
        self.case = case
        self.steps = 0
        form = Form(folder / FILES[case.side], EXPORTS[case.side])
        package = PACKAGES[form.runtime]
        self._version = f"{package} {importlib.metadata.version(package)}"
        self._process = RuntimeProcess(form, usable_processors(), folder / "images.npy")
        self._seconds = 0.0
        self._peak_mb = None

    def settle(self, seconds: float) -> None:
        """See `Side`."""
        self._seconds = seconds
        self.turn()

    def turn(self) -> float:
        """See `Side`."""
        answer = self._process.turn(self.case.batch, self._seconds)
        self.steps, self._peak_mb = len(answer["seconds"]), answer["peak_mb"]
        return self.case.batch / statistics.mean(answer["seconds"])

    def description(self) -> dict[str, Any]:
        """See `Side`."""
        peak = None if self._peak_mb is None else int(self._peak_mb)
        return {"version": self._version, "peak_mb": peak}

    def close(self) -> None:
        """See `Side`."""
        self._process.close()


def benchmark_train() -> None:
    """Compares training steps."""
    _benchmark("train")


def benchmark_infer() -> None:
    """Compares predictions for batches."""
    _benchmark("infer")


def benchmark_latency() -> None:
    """Compares the answers for one image."""
    _benchmark("latency")


def _benchmark(work: str) -> None:
    networks = SMALL if QUICK.value else chosen("network", NETWORKS.value, BATCHES)
    precisions = chosen("precision", CHOSEN_PRECISIONS.value, PRECISIONS)
    sides = _installed(work)
    seconds = dict.fromkeys(TURN_SECONDS, QUICK_SECONDS) if QUICK.value else TURN_SECONDS
    rows: list[dict[str, Any]] = []
    for network in networks:
        with tempfile.TemporaryDirectory() as name:
            if set(sides) & set(EXPORTS):
                _export(network, Path(name))
            for precision in precisions:
                cases = _cases(network, work, precision, sides)
                with started(cases, functools.partial(_side, folder=Path(name))) as ready:
                    for of_case in measured(ready, TURNS.value, seconds):
                        found = _with_limit(of_case)
                        print_rows(found)
                        rows += found
                        # After each case: an interrupted run leaves what it has measured.
                        files.write_csv(out_path("benchmark.csv"), COLUMNS, rows)


def _side(case: Case, folder: Path) -> Side:
    if case.side in EXPORTS:
        return ExportSide(case, folder)
    return SideProcess(case, "peer_sides", ENVIRONMENT)


def _installed(work: str) -> list[str]:
    """The sides of a work whose packages are installed; the others are named."""
    wanted = [*dict.fromkeys(["keras_classics", *chosen("peer", PEERS.value, SIDES)])]
    sides = []
    for side in wanted:
        module, works = SIDES[side]
        if importlib.util.find_spec(module) is None:
            print(f"{side} is left out: {module} is not installed.", file=sys.stderr)
        elif work in works:
            sides.append(side)
    return sides


def _cases(network: str, work: str, precision: str, sides: Sequence[str]) -> list[Case]:
    """The cases that compete, and the products of matrices beside them."""
    batch = 1 if work == "latency" else BATCHES[network]
    chosen = [
        side
        for side in sides
        if (side != "keras" or network in APPLICATIONS)
        and (side not in EXPORTS or precision == "float32")
    ]
    cases = [Case(network, work, precision, side, batch) for side in chosen]
    products = [
        Case(network, work, precision, name, 1)
        for name, module in PRODUCTS.items()
        if importlib.util.find_spec(module)
    ]
    return [*cases, *products]


def _export(network: str, folder: Path) -> None:
    """Writes the exports of a network, and the image that they are asked about."""
    model = get_model(network, **network_arguments(network))
    side = model.input_shape[1]
    labels = [str(number) for number in range(model.output_shape[-1])]
    source = Source(model, ImagePreprocessing(resize=side, crop=side), labels)
    build_saved_model(source, folder / FILES["saved_model"])
    build_tflite(source, folder / FILES["litert"])
    export.onnx(source.network, folder / FILES["onnxruntime"])
    np.save(folder / "images.npy", batch_of(network, 1)[0])
    keras.utils.clear_session()


def _with_limit(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a case with the operations of each side, and those of the product beside it."""
    products = [row for row in rows if row["side"] in PRODUCTS]
    limit = max(2e-9 * SIZE**3 * row["images_per_second"] for row in products)
    environment = current_environment()
    common = {
        "limit_gflops": round(limit, 1),
        "threads": environment["threads"]["intra_op"],
        "command": row_command(),
        **{name: environment[name] for name in ("device", "commit", "python")},
        **{name: environment["versions"][name] for name in ("tensorflow", "keras")},
    }
    return [
        {**row, "gflops": round(_gflops(row), 2), **common} for row in rows if row not in products
    ]


def _gflops(row: Mapping[str, Any]) -> float:
    """Thousand millions of operations a second, two for each multiply-add."""
    multiply_adds = _multiply_adds(row["network"], row["side"] == "keras")
    return 2e-9 * multiply_adds * PASSES[row["work"]] * row["images_per_second"]


@functools.cache
def _multiply_adds(network: str, of_keras: bool) -> int:
    """Those of a network, which is built for that; keras.applications has the strides of v1."""
    return describe(network, **({} if of_keras else network_arguments(network))).macs
