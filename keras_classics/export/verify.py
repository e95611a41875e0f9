"""Verification: an export must agree with its model within the bounds of its format.

The bounds, on the same images for all formats:

    format                  difference of probabilities    same predictions    loss of accuracy
    SavedModel, ONNX, none  1e-4                           all                 -
    float16                 0.02                           all                 -
    int16x8                 -                              98 %                at most 0.01
    dynamic, int8           -                              98 %                at most 0.02

Differences are relative to the largest probability of the image. Predictions count as the same if
the model's probabilities of the two classes differ by no more than the same bound. How much 8-bit
rounding changes probabilities depends on the weights, and it changes the predictions of images
whose classes are nearly tied, which are many for an untrained model. So the last two rows are
enforced only if labels are given, which means that the model is trained; otherwise the values are
only recorded. One changed image is always allowed in these rows. Values that are not finite always
fail.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_classics import files
from keras_classics.errors import VerificationError
from keras_classics.export.source import Source, in_batches

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
        same_prediction: Smallest fraction of images with the same prediction, if labels are given.
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
        same_prediction: Fraction of images with the same most probable class.
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
        **details: Further information on the export.

    Raises:
        VerificationError: If the difference exceeds the bounds.
    """
    got = in_batches(run_raw, source.images) if run_raw else in_batches(run, source.inputs)
    bound = BOUNDS[quantize]
    agreement = _agreement(source, got, bound)
    _enforce(source.model.name, quantize, agreement, bound)
    latency = _latency(lambda: run(source.inputs[:1]), threads or processors())
    return Check(quantize, agreement, bound, latency, details)


def processors() -> int:
    """Returns the number of processors of this machine."""
    return os.cpu_count() or 1


@contextlib.contextmanager
def output(path: str | os.PathLike, overwrite: bool) -> Iterator[Path]:
    """Yields a temporary path beside `path`, and renames it to `path` if no exception occurs.

    Args:
        path: File or folder to write.
        overwrite: Whether to replace an existing one, which stays until the new one is complete.

    Raises:
        UserError: If `path` exists and `overwrite` is not set, or `path` cannot be written.
    """
    path = Path(path)
    if not overwrite:
        files.refuse_existing(path)
    files.refuse_unwritable(path)
    with files.atomic_write(path, overwrite) as aside:
        yield aside


def _agreement(source: Source, got: np.ndarray, bound: Bound) -> Agreement:
    expected = source.expected
    largest = expected.max(axis=1)
    predicted = got.argmax(axis=1)
    chosen = np.take_along_axis(expected, predicted[:, np.newaxis], axis=1)[:, 0]
    same = chosen >= largest * (1 - (bound.max_difference or 0))
    accuracies = {}
    if source.image_labels is not None:
        before, after = (p == source.image_labels for p in (expected.argmax(axis=1), predicted))
        accuracies = {"model_accuracy": float(before.mean()), "accuracy": float(after.mean())}
    difference = np.abs(got - expected).max(axis=1) / largest
    return Agreement(len(got), float(difference.max()), float(same.mean()), **accuracies)


def _enforce(name: str, quantize: str, agreement: Agreement, bound: Bound) -> None:
    faults = [*_faults_in_probabilities(agreement, bound), *_faults_in_accuracy(agreement, bound)]
    if faults:
        what = "The export" if quantize == "none" else f"The {quantize} export"
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


def _faults_in_accuracy(agreement: Agreement, bound: Bound) -> Iterator[str]:
    least, allowed_loss = bound.same_prediction, bound.accuracy_loss
    before, after = agreement.model_accuracy, agreement.accuracy
    if least is None or allowed_loss is None or before is None or after is None:
        return
    # The small number covers rounding: 1 - (n - 1) / n is not exactly 1 / n.
    one = 1 / agreement.images + 1e-9
    if 1 - agreement.same_prediction > max(1 - least, one):
        yield (
            f"same prediction on {100 * agreement.same_prediction:.2f} % "
            f"(at least {100 * least:g} %)"
        )
    if before - after > max(allowed_loss + 1e-9, one):
        yield (
            f"accuracy {100 * after:.2f} %, the model's {100 * before:.2f} % (allowed loss "
            f"{100 * max(allowed_loss, 1 / agreement.images):.2f} %)"
        )


def _latency(run: Callable[[], Any], threads: int) -> Latency:
    milliseconds = []
    for _ in range(WARM_UP_RUNS + LATENCY_RUNS):
        start = time.perf_counter()
        run()
        milliseconds.append(1000 * (time.perf_counter() - start))
    p50, p95 = np.percentile(milliseconds[WARM_UP_RUNS:], (50, 95))
    return Latency(round(float(p50), 3), round(float(p95), 3), LATENCY_RUNS, threads)
