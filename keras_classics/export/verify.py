"""What an export is held to: the model's own answers, within the bounds of its format.

The rule, for every format on the same images:

    format                  a probability may differ by    predictions the same    accuracy lost
    SavedModel, ONNX, none  1e-4                           all                     -
    float16                 0.02                           all                     -
    int16x8                 -                              98 %                    at most 0.01
    dynamic, int8           -                              98 %                    at most 0.02

Differences are relative to the largest probability of the image. A prediction is the same where
the model itself holds the two classes equal, within the same bound. Rounding to 8 bits moves
probabilities by how far apart the weights happen to lie, and flips to and fro the images that the
model is undecided about, of which one without training has many: the last two rows are judged where
labels of the images are given, which says that the model is trained, and else recorded. One image
may be lost there in any case, where there are few. Numbers that are not finite fail everywhere.
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

# Timed runs on one image, after some that are not.
LATENCY_RUNS = 50
WARM_UP_RUNS = 5

Run = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Bound:
    """How far an export may be from its model; None where it is not judged.

    Attributes:
        max_difference: Largest difference of a probability, relative to the largest of its image;
            the predictions must be the same then.
        same_prediction: Least share of images with the same prediction, where there are labels.
        accuracy_loss: How much less accurate it may be, of 1, on images with labels.
    """

    max_difference: float | None = None
    same_prediction: float | None = None
    accuracy_loss: float | None = None


# By quantization; what is not quantized is "none" in every format.
BOUNDS = {
    "none": Bound(max_difference=1e-4),
    "float16": Bound(max_difference=0.02),
    "dynamic": Bound(same_prediction=0.98, accuracy_loss=0.02),
    "int8": Bound(same_prediction=0.98, accuracy_loss=0.02),
    "int16x8": Bound(same_prediction=0.98, accuracy_loss=0.01),
}


@dataclass(frozen=True)
class Agreement:
    """How well an exported network agrees with its model.

    Attributes:
        images: Number of images compared.
        max_difference: Largest difference of a probability, relative to the largest probability
            of its image.
        same_prediction: Share of images with the same most probable class.
        model_accuracy: Share of images that the model gets right; None without labels.
        accuracy: The same of the export.
    """

    images: int
    max_difference: float
    same_prediction: float
    model_accuracy: float | None = None
    accuracy: float | None = None


@dataclass(frozen=True)
class Latency:
    """Time from one image, ready for the network, to its probabilities.

    Attributes:
        p50_ms: The median, in milliseconds.
        p95_ms: What 95 % of the runs stayed below, in milliseconds.
        runs: Number of runs timed.
        threads: Threads that the runtime may take.
    """

    p50_ms: float
    p95_ms: float
    runs: int
    threads: int


@dataclass(frozen=True)
class Check:
    """What came out when an export was reloaded in its own runtime.

    Attributes:
        quantize: One of `BOUNDS`.
        agreement: With the model.
        bound: What the agreement was held to.
        latency: Of one image.
        about: What else is to be said of the export, as JSON can hold it.
    """

    quantize: str
    agreement: Agreement
    bound: Bound
    latency: Latency
    about: Mapping[str, Any] = field(default_factory=dict)


def check(
    source: Source,
    run: Run,
    *,
    run_raw: Run | None = None,
    quantize: str = "none",
    threads: int | None = None,
    **about: Any,
) -> Check:
    """Compares an export with its model, and measures how long it takes for an image.

    Args:
        source: The model and the images to compare on.
        run: From images as the network takes them to probabilities, in the export's runtime.
        run_raw: The same from uint8 images, where the export holds the preprocessing; it is
            compared then in place of `run`.
        quantize: One of `BOUNDS`.
        threads: Threads that the runtime may take; by default those of the machine.
        **about: What else is to be said of the export.

    Raises:
        VerificationError: The two differ by more than the bound allows.
    """
    got = in_batches(run_raw, source.images) if run_raw else in_batches(run, source.inputs)
    bound = BOUNDS[quantize]
    agreement = _agreement(source, got, bound)
    _judge(source.model.name, quantize, agreement, bound)
    latency = _latency(lambda: run(source.inputs[:1]), threads or processors())
    return Check(quantize, agreement, bound, latency, about)


def processors() -> int:
    """Number of the machine's processors."""
    return os.cpu_count() or 1


@contextlib.contextmanager
def written(path: str | os.PathLike, overwrite: bool) -> Iterator[Path]:
    """Gives a path beside `path` to write to, and renames it when all went well.

    Args:
        path: Where the file or folder shall be.
        overwrite: Whether it may replace one. What was there stays until the new one is whole.

    Raises:
        UserError: Something is under `path`, and `overwrite` is not set; or nothing can be written
            there.
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
        right, still = (p == source.image_labels for p in (expected.argmax(axis=1), predicted))
        accuracies = {"model_accuracy": float(right.mean()), "accuracy": float(still.mean())}
    difference = np.abs(got - expected).max(axis=1) / largest
    return Agreement(len(got), float(difference.max()), float(same.mean()), **accuracies)


def _judge(name: str, quantize: str, agreement: Agreement, bound: Bound) -> None:
    faults = [*_faults_in_probabilities(agreement, bound), *_faults_in_accuracy(agreement, bound)]
    if faults:
        what = "The export" if quantize == "none" else f"The {quantize} export"
        raise VerificationError(
            f"{what} disagrees with {name} on {agreement.images} images: {', '.join(faults)}. "
            "Nothing was left in place."
        )


def _faults_in_probabilities(agreement: Agreement, bound: Bound) -> Iterator[str]:
    difference, allowed = agreement.max_difference, bound.max_difference
    if not np.isfinite(difference) or (allowed is not None and difference > allowed):
        limit = "finite" if allowed is None else f"{allowed:g}"
        yield f"largest relative difference {difference:.2g} (allowed {limit})"
    if allowed is not None and agreement.same_prediction < 1:
        yield f"same prediction on {100 * agreement.same_prediction:.2f} %"


def _faults_in_accuracy(agreement: Agreement, bound: Bound) -> Iterator[str]:
    if bound.accuracy_loss is None or agreement.accuracy is None:
        return
    # One image of so many is not the same in floating point however it is written.
    one = 1 / agreement.images + 1e-9
    if 1 - agreement.same_prediction > max(1 - bound.same_prediction, one):
        yield (
            f"same prediction on {100 * agreement.same_prediction:.2f} % "
            f"(at least {100 * bound.same_prediction:g} %)"
        )
    loss = agreement.model_accuracy - agreement.accuracy
    if loss > max(bound.accuracy_loss + 1e-9, one):
        yield (
            f"accuracy {100 * agreement.accuracy:.2f} %, the model's "
            f"{100 * agreement.model_accuracy:.2f} % (allowed to lose "
            f"{100 * max(bound.accuracy_loss, 1 / agreement.images):.2f} %)"
        )


def _latency(run: Callable[[], Any], threads: int) -> Latency:
    milliseconds = []
    for _ in range(WARM_UP_RUNS + LATENCY_RUNS):
        start = time.perf_counter()
        run()
        milliseconds.append(1000 * (time.perf_counter() - start))
    p50, p95 = np.percentile(milliseconds[WARM_UP_RUNS:], (50, 95))
    return Latency(round(float(p50), 3), round(float(p95), 3), LATENCY_RUNS, threads)
