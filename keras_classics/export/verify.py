"""Verification: an export must agree with its model within the bounds of its format.

The bounds, on the same images for all formats:

    format                  difference of probabilities    same predictions    loss of accuracy
    SavedModel, ONNX, none  1e-4                           all                 -
    float16                 0.02                           all                 -
    int16x8                 -                              98 %                at most 0.01
    dynamic, int8           -                              98 %                at most 0.02

Differences are relative to the largest probability of the image. Predictions count as the same if
the model's probabilities of the two classes differ by no more than the same bound; for 8 bits,
whose rounding changes the predictions of images with nearly tied classes, by no more than 0.2 of
the larger if no labels are given, because an untrained model has many such images. The loss of
accuracy needs labels. One changed image is always allowed in the last two rows. Values that are not
finite always fail.

A sigmoid is compared as the two probabilities that its class applies and does not. For several
sigmoids, the prediction of an image is the same if those of all its outputs are.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from keras_classics import files
from keras_classics.errors import UserError, VerificationError, short_reason
from keras_classics.export.source import Source, in_batches

# Relative difference of two classes between which 8 bits may change a prediction without labels.
TIED = 0.2

# Number of timed runs on one image, after the warm-up runs.
LATENCY_RUNS = 50
WARM_UP_RUNS = 5

Run = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Bound:
    """Bounds on the difference between an export and its model; None if not enforced.

    Attributes:
        max_difference: Largest difference of a probability, relative to the largest probability of
            its image. If set, all predictions must be the same too.
        same_prediction: Smallest fraction of images with the same prediction.
        accuracy_loss: Largest loss of accuracy, 0 to 1, if labels are given.
    """

    max_difference: float | None = None
    same_prediction: float | None = None
    accuracy_loss: float | None = None


# By quantization; "none" for every format without quantization.
BOUNDS = {
    "none": Bound(max_difference=1e-4),
    "float16": Bound(max_difference=0.02),
    "dynamic": Bound(same_prediction=0.98, accuracy_loss=0.02),
    "int8": Bound(same_prediction=0.98, accuracy_loss=0.02),
    "int16x8": Bound(same_prediction=0.98, accuracy_loss=0.01),
}


@dataclass(frozen=True)
class Agreement:
    """Agreement of an export with its model.

    Attributes:
        images: Number of images compared.
        max_difference: Largest difference of a probability, relative to the largest probability
            of its image.
        same_prediction: Fraction of images with the same most probable class, or with the same
            classes on the same side of 0.5.
        model_accuracy: Accuracy of the model, 0 to 1; None without labels.
        accuracy: Accuracy of the export, 0 to 1; None without labels.
    """

    images: int
    max_difference: float
    same_prediction: float
    model_accuracy: float | None = None
    accuracy: float | None = None


@dataclass(frozen=True)
class Latency:
    """Latency of one preprocessed image.

    Attributes:
        p50_ms: Median in milliseconds.
        p95_ms: 95th percentile in milliseconds.
        runs: Number of timed runs.
        threads: Number of threads that the runtime may use.
    """

    p50_ms: float
    p95_ms: float
    runs: int
    threads: int


@dataclass(frozen=True)
class Check:
    """Result of verifying an export in its own runtime.

    Attributes:
        quantize: Quantization, one of `BOUNDS`.
        agreement: Agreement with the model.
        bound: The bounds that were enforced.
        latency: Latency of one image.
        details: Further information on the export, JSON-serialisable.
    """

    quantize: str
    agreement: Agreement
    bound: Bound
    latency: Latency
    details: Mapping[str, Any] = field(default_factory=dict)


def check(
    source: Source,
    run: Run,
    *,
    run_raw: Run | None = None,
    quantize: str = "none",
    threads: int | None = None,
    name: str | None = None,
    **details: Any,
) -> Check:
    """Compares an export with its model, and measures its latency.

    Args:
        source: The model and the images to compare on.
        run: Function from preprocessed images to probabilities, in the export's runtime.
        run_raw: Function from uint8 images to probabilities, if the export includes the
            preprocessing; it is then compared instead of `run`.
        quantize: Quantization, one of `BOUNDS`.
        threads: Number of threads that the runtime may use; by default that of the processors.
        name: Name of the export in messages.
        **details: Further information on the export.

    Raises:
        VerificationError: If the difference exceeds the bounds.
    """
    got = in_batches(run_raw, source.images) if run_raw else in_batches(run, source.inputs)
    bound = BOUNDS[quantize]
    agreement = _agreement(source, source.expected, got, bound, source.image_labels)
    _enforce(source.model.name, quantize, agreement, bound, name)
    latency = _latency(lambda: run(source.inputs[:1]), threads or processors())
    return Check(quantize, agreement, bound, latency, details)


def check_files(
    source: Source, run: Callable[[list[bytes]], np.ndarray], name: str, quantize: str = "none"
) -> None:
    """Compares what an export answers to image files with its model.

    Args:
        source: The model and the files to compare on.
        run: Function from encoded images to probabilities.
        name: Name of the export.
        quantize: Quantization, one of `BOUNDS`.

    Raises:
        VerificationError: If it cannot answer, or the difference exceeds the bounds.
    """
    try:
        got = run(source.files)
    except Exception as error:  # Each runtime has its own.
        reason = short_reason(error)
        raise VerificationError(
            f"{name} of {source.model.name} cannot be read back: {reason}. Nothing was written."
        ) from error
    bound = BOUNDS[quantize]
    agreement = _agreement(source, source.expected_of_files, got, bound)
    _enforce(source.model.name, quantize, agreement, bound, f"{name} on image files")


def processors() -> int:
    """Returns the number of processors of this machine."""
    return os.cpu_count() or 1


def check_destination(path: Path, overwrite: bool, folder: bool) -> None:
    """Raises a `UserError` if an export cannot be written to a path.

    Args:
        path: File or folder to write.
        overwrite: Whether to replace an existing one.
        folder: Whether it is a folder.
    """
    if not overwrite:
        files.refuse_existing(path)
    elif path.exists() and path.is_dir() != folder:
        kinds = ("a folder", "a file") if folder else ("a file", "a folder")
        raise UserError(
            f"overwrite replaces {kinds[0]}. Received: {path}, which is {kinds[1]}. Use another "
            "path, or remove it."
        )
    files.refuse_unwritable(path)


@contextlib.contextmanager
def output(path: str | os.PathLike, overwrite: bool, folder: bool = False) -> Iterator[Path]:
    """Yields a temporary path beside `path`, and renames it to `path` if no exception occurs.

    Args:
        path: File or folder to write.
        overwrite: Whether to replace an existing one, which stays until the new one is complete.
        folder: Whether it is a folder.

    Raises:
        UserError: If `path` exists and `overwrite` is not set, `path` cannot be written, or another
            process is writing it.
    """
    path = Path(path)
    check_destination(path, overwrite, folder)
    lock = files.process_lock(path.with_name(f".aside-{path.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise UserError(
            f"{path} is being written by another process. Wait until it ends, or use another path."
        ) from error
    try:
        with files.atomic_write(path, overwrite) as aside:
            yield aside
    finally:
        # Before it is released, so that no other process can hold it.
        files.remove(Path(lock.lock_file))
        lock.release()


def _agreement(
    source: Source,
    expected: np.ndarray,
    got: np.ndarray,
    bound: Bound,
    labels: np.ndarray | None = None,
) -> Agreement:
    if got.shape != expected.shape:
        raise VerificationError(
            f"The export of {source.model.name} gives outputs of shape {got.shape}, and the model "
            f"{expected.shape}. Nothing was written."
        )
    if not np.isfinite(got).all():
        return Agreement(len(got), float("nan"), 0.0)
    # Shape (images, distributions, classes): one distribution an image, or one a sigmoid.
    before, after = (_distributions(p, source.exclusive) for p in (expected, got))
    largest = before.max(axis=-1)
    predicted = after.argmax(axis=-1)
    chosen = np.take_along_axis(before, predicted[..., np.newaxis], axis=-1)[..., 0]
    tie = bound.max_difference or (TIED if labels is None else 0.0)
    same = (chosen >= largest * (1 - tie)).all(axis=1)
    accuracies = {}
    if labels is not None:
        labels = labels.reshape(predicted.shape)
        right = [(p == labels).all(axis=1).mean() for p in (before.argmax(axis=-1), predicted)]
        accuracies = {"model_accuracy": float(right[0]), "accuracy": float(right[1])}
    difference = np.abs(after - before).max(axis=-1) / largest
    return Agreement(len(got), float(difference.max()), float(same.mean()), **accuracies)


def _distributions(probabilities: np.ndarray, exclusive: bool) -> np.ndarray:
    if exclusive:
        return probabilities[:, np.newaxis]
    return np.stack([1 - probabilities, probabilities], axis=-1)


def _enforce(
    name: str, quantize: str, agreement: Agreement, bound: Bound, what: str | None = None
) -> None:
    faults = [
        *_faults_in_probabilities(agreement, bound),
        *_faults_in_predictions(agreement, bound),
        *_faults_in_accuracy(agreement, bound),
    ]
    if faults:
        what = what or ("The export" if quantize == "none" else f"The {quantize} export")
        raise VerificationError(
            f"{what} disagrees with {name} on {agreement.images} images: {', '.join(faults)}. "
            "Nothing was written."
        )


def _faults_in_probabilities(agreement: Agreement, bound: Bound) -> Iterator[str]:
    difference, allowed = agreement.max_difference, bound.max_difference
    if not np.isfinite(difference) or (allowed is not None and difference > allowed):
        limit = "finite" if allowed is None else f"{allowed:g}"
        yield f"largest relative difference {difference:.2g} (allowed {limit})"
    if allowed is not None and agreement.same_prediction < 1:
        yield f"same prediction on {100 * agreement.same_prediction:.2f} %"


def _faults_in_predictions(agreement: Agreement, bound: Bound) -> Iterator[str]:
    least = bound.same_prediction
    if least is not None and 1 - agreement.same_prediction > max(1 - least, _one(agreement)):
        yield (
            f"same prediction on {100 * agreement.same_prediction:.2f} % "
            f"(at least {100 * least:g} %)"
        )


def _faults_in_accuracy(agreement: Agreement, bound: Bound) -> Iterator[str]:
    allowed = bound.accuracy_loss
    before, after = agreement.model_accuracy, agreement.accuracy
    if allowed is None or before is None or after is None:
        return
    if before - after > max(allowed + 1e-9, _one(agreement)):
        yield (
            f"accuracy {100 * after:.2f} %, the model's {100 * before:.2f} % (allowed loss "
            f"{100 * max(allowed, 1 / agreement.images):.2f} %)"
        )


def _one(agreement: Agreement) -> float:
    """Returns the fraction of one image."""
    # The small number covers rounding: 1 - (n - 1) / n is not exactly 1 / n.
    return 1 / agreement.images + 1e-9


def _latency(run: Callable[[], Any], threads: int) -> Latency:
    milliseconds = []
    for _ in range(WARM_UP_RUNS + LATENCY_RUNS):
        start = time.perf_counter()
        run()
        milliseconds.append(1000 * (time.perf_counter() - start))
    p50, p95 = np.percentile(milliseconds[WARM_UP_RUNS:], (50, 95))
    return Latency(round(float(p50), 3), round(float(p95), 3), LATENCY_RUNS, threads)
