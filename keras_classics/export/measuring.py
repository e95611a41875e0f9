"""Measures exported networks on this machine, each form in its runtime in a process of its own."""

import functools
import importlib.util
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import tensorflow as tf

from keras_classics.errors import UserError, one_line
from keras_classics.export import runtime_process
from keras_classics.export.exported import SIGMOID, prepare_of, read_manifest
from keras_classics.export.source import generated_images
from keras_classics.timing import in_turns

# Runtimes of an export, by the end of its name; a SavedModel is a folder.
RUNTIMES = {
    "": ("TensorFlow",),
    ".tflite": ("LiteRT",),
    ".onnx": ("ONNX Runtime", "OpenVINO"),
}
# Packages that bring them.
PACKAGES = {
    "TensorFlow": "tensorflow",
    "LiteRT": "ai-edge-litert",
    "ONNX Runtime": "onnxruntime",
    "OpenVINO": "openvino",
}

# Most images that are measured on, and seconds of a turn.
MOST_IMAGES = 64
TURN_SECONDS = 0.3

# A form is recommended if it loses at most this accuracy, or without labels, if it predicts the
# class of the network for all images but this fraction.
MOST_LOSS = 0.005

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Form:
    """An export in one of the runtimes that run it.

    Attributes:
        path: The file, or the folder of a SavedModel.
        runtime: One of `PACKAGES`.
    """

    path: Path
    runtime: str

    @property
    def name(self) -> str:
        """A name for tables."""
        return f"{self.path.name} in {self.runtime}"


@dataclass(frozen=True)
class Measurement:
    """What a form does with one number of threads and images a batch.

    Attributes:
        export: Name of the file or folder.
        runtime: The runtime.
        threads: Threads that it may use.
        batch: Images of a call. LiteRT runs them one after the other.
        p50_ms: Median of the time of a call, in milliseconds.
        p95_ms: 95th percentile.
        images_per_second: Median of the turns.
        import_s: Seconds to import the runtime, in Python.
        load_s: Seconds to load the export.
        first_s: Seconds of the first answer.
        peak_mb: Most memory of the process, MiB; None if the system does not say it.
        same_here: Fraction of the images here with the same prediction as of the first form.
        same_prediction: Fraction of the export's images with the network's prediction, from the
            manifest. Where OpenVINO was not checked, that of ONNX Runtime.
        accuracy: Accuracy in the manifest; None without labels.
        model_accuracy: Accuracy of the network there.
    """

    export: str
    runtime: str
    threads: int
    batch: int
    p50_ms: float
    p95_ms: float
    images_per_second: float
    import_s: float
    load_s: float
    first_s: float
    peak_mb: float | None
    same_here: float
    same_prediction: float
    accuracy: float | None
    model_accuracy: float | None

    @property
    def name(self) -> str:
        """The form's name for tables."""
        return f"{self.export} in {self.runtime}"


class RuntimeProcess:
    """A form, loaded in a process of its own.

    Args:
        form: The form.
        threads: Threads that it may use.
        images: `.npy` file of what the export takes, shape (count, height, width, channels).

    Attributes:
        started: What the process says when the form is loaded, see `runtime_process`.

    Raises:
        UserError: If the runtime cannot run the export.
    """

    def __init__(self, form: Form, threads: int, images: Path):
        self._form = form
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it.
        words = [form.runtime, os.path.abspath(form.path), str(threads), str(images)]
        # -P: the modules beside that one are not those that a runtime imports.
        self._process = subprocess.Popen(
            [sys.executable, "-P", runtime_process.__file__, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ},
            text=True,
        )
        try:
            self.started = self._answer()
        except BaseException:
            self.close()
            raise

    def turn(self, batch: int, seconds: float = TURN_SECONDS) -> dict[str, Any]:
        """Runs batches for some time; returns the `seconds` of each call, and `peak_mb`."""
        assert self._process.stdin is not None
        try:
            print(batch, seconds, file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise self._failed() from None
        return self._answer()

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._failed()
        return json.loads(line)

    def _failed(self) -> UserError:
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        status = self._process.wait()
        # A signal, as for a lack of memory, has a negative status.
        reason = one_line(said[-1]) if said and status > 0 else f"its process ended ({status})"
        return UserError(f"{self._form.name} cannot be run: {reason}")


def forms_of(folder: Path) -> tuple[list[Form], dict[str, str]]:
    """Returns the forms of an export folder, and why others are left out, by their names.

    Raises:
        UserError: If it is no folder that `export_model` wrote.
    """
    found, missing = [], {}
    for name in read_manifest(folder)["exports"]:
        for runtime in RUNTIMES.get(Path(name).suffix, ()):
            form = Form(folder / name, runtime)
            module = runtime_process.MODULES[runtime].partition(".")[0]
            if importlib.util.find_spec(module) is None:
                package = PACKAGES[runtime]
                missing[form.name] = f"{package} is not installed: pip install {package}"
            else:
                found.append(form)
    return found, missing


def generated_files(folder: Path) -> list[bytes]:
    """Returns generated images of the size that an export takes, as PNG files."""
    images = generated_images(read_manifest(folder)["input"]["shape"][1:])
    return [tf.io.encode_png(image).numpy() for image in images[:MOST_IMAGES]]


def measure(
    forms: Sequence[Form],
    encoded: Sequence[bytes],
    threads: Sequence[int],
    batches: Sequence[int],
    turns: int,
) -> tuple[list[Measurement], dict[str, str]]:
    """Measures forms of one export folder in turns, so that a drifting machine treats all alike.

    Args:
        forms: The forms, of which the first is what `same_here` compares with.
        encoded: Image files, at least one.
        threads: Numbers of threads.
        batches: Images of a call.
        turns: Turns of each form, after one for warming up.

    Returns:
        A row for each form, number of threads and batch; and why a form could not be measured.

    Raises:
        UserError: If an image cannot be decoded.
    """
    rows: list[Measurement] = []
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        prepared = _prepared(forms, encoded, Path(scratch))
        for count in threads:
            running = [form for form in forms if form.name not in failed]
            logger.info("%d forms take %d turns, threads: %d", len(running), turns, count)
            rows += _measured(running, count, batches, turns, prepared, failed)
    return [row for row in rows if row.name not in failed], failed


def _prepared(forms: Sequence[Form], encoded: Sequence[bytes], scratch: Path) -> dict[Path, Path]:
    """Writes what each export takes of the images; returns the file of each export."""

    @functools.cache
    def written(export: Path) -> Path:
        prepare = prepare_of(export)
        path = scratch / f"{export.name}.npy"
        np.save(path, np.concatenate([prepare(image) for image in encoded]))
        return path

    return {form.path: written(form.path) for form in forms}


def _measured(
    forms: Sequence[Form],
    threads: int,
    batches: Sequence[int],
    turns: int,
    images: Mapping[Path, Path],
    failed: dict[str, str],
) -> list[Measurement]:
    """Returns the rows of one number of threads; adds forms that fail to `failed`."""
    with ExitStack() as stack:
        running: dict[Form, RuntimeProcess] = {}
        for form in forms:
            try:
                running[form] = RuntimeProcess(form, threads, images[form.path])
            except UserError as error:
                failed[form.name] = str(error)
            else:
                stack.callback(running[form].close)
        seconds = {(form, batch): [] for form in running for batch in batches}
        peaks = {form: process.started["peak_mb"] for form, process in running.items()}
        for turn, (form, batch) in in_turns([*seconds], turns + 1) if seconds else ():
            if form.name in failed:
                continue
            try:
                answer = running[form].turn(batch)
            except UserError as error:
                failed[form.name] = str(error)
                continue
            peaks[form] = answer["peak_mb"]
            if turn:
                seconds[form, batch].append(answer["seconds"])
    predictions = {
        form: _predictions(form, process.started["outputs"]) for form, process in running.items()
    }
    return [
        _row(form, threads, batch, calls, running[form].started, peaks[form], predictions)
        for (form, batch), calls in seconds.items()
        if form.name not in failed
    ]


def _predictions(form: Form, outputs: Sequence[Sequence[float]]) -> np.ndarray:
    """Returns the class of each image, or which labels apply to it, shape (count, labels)."""
    if read_manifest(form.path.parent)["output"].get("activation") == SIGMOID:
        return np.array(outputs) > 0.5
    return np.argmax(outputs, axis=-1)[:, np.newaxis]


def _row(
    form: Form,
    threads: int,
    batch: int,
    calls: Sequence[Sequence[float]],
    started: Mapping[str, Any],
    peak_mb: float | None,
    predictions: Mapping[Form, np.ndarray],
) -> Measurement:
    agreement = agreement_of(form)
    p50, p95 = np.percentile(np.concatenate(calls), (50, 95)) * 1e3
    rates = [batch * len(times) / sum(times) for times in calls]
    first = next(iter(predictions.values()))
    return Measurement(
        form.path.name,
        form.runtime,
        threads,
        batch,
        float(p50),
        float(p95),
        float(np.median(rates)),
        *(started[name] for name in ("import_s", "load_s", "first_s")),
        peak_mb,
        float(np.mean((predictions[form] == first).all(axis=-1))),
        *(agreement[name] for name in ("same_prediction", "accuracy", "model_accuracy")),
    )


def agreement_of(form: Form) -> dict[str, Any]:
    """Returns the agreement with the network in the manifest, of its runtime if it was checked."""
    export = read_manifest(form.path.parent)["exports"][form.path.name]
    in_openvino = export.get("openvino") if form.runtime == "OpenVINO" else None
    return (in_openvino or export)["agreement"]


def recommended(rows: Sequence[Measurement]) -> Measurement | None:
    """Returns the fastest for one image, or for the smallest batch, of those that are accurate.

    See `MOST_LOSS`; None if none is.
    """
    smallest = min((row.batch for row in rows), default=0)
    accurate = [row for row in rows if row.batch == smallest and _loss(row) <= MOST_LOSS]
    return min(accurate, key=lambda row: row.p50_ms, default=None)


def _loss(row: Measurement) -> float:
    if row.accuracy is None or row.model_accuracy is None:
        loss = 1 - row.same_prediction
    else:
        loss = row.model_accuracy - row.accuracy
    # 1 - 0.995 is more than 0.005.
    return round(loss, 9)
