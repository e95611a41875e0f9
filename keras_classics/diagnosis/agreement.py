"""Training and evaluation that differ: by their preprocessing, or by what the log says."""

from collections.abc import Iterator

import numpy as np

from keras_classics.diagnosis.case import Case, images_of, prepared
from keras_classics.diagnosis.findings import Finding
from keras_classics.diagnosis.normalisation import recomputed
from keras_classics.diagnosis.progress import Epochs
from keras_classics.diagnosis.steps import accuracy_of

# Images held out that are compared with the sample.
IMAGES = 256
# Distance of the means of both, in deviations, and factor between their deviations. Parts of one
# data set differ by a tenth of that.
SHIFTED = 1.0
SCALED = 2.5
# Distance of the means of the colours, in deviations of these means: so much as they are stored,
# and so little in reverse order.
SWAPPED, MATCHING = 0.3, 0.1
# By how much the accuracy on training images may be below that of the log.
BELOW = 0.25


def held_out_preprocessing(case: Case) -> Iterator[Finding]:
    """Finds images held out that reach the network otherwise than training images do."""
    split = case.held_out
    if split is None or not np.isfinite(case.inputs()).all():
        return
    order = np.random.default_rng(case.seed).permutation(len(split))[:IMAGES]
    others = prepared(images_of(split.take(np.sort(order))), case.preprocessing)
    inputs = case.inputs()
    if not np.isfinite(others).all():
        return
    means, deviations = zip(*((x.mean(), x.std()) for x in (inputs, others)), strict=True)
    distance = abs(means[0] - means[1]) / max(min(deviations), 1e-12)
    factor = max(deviations) / max(min(deviations), 1e-12)
    said = (
        f"As the network takes them, training images have mean {means[0]:.3g} and deviation "
        f"{deviations[0]:.3g}, those held out {means[1]:.3g} and {deviations[1]:.3g}"
    )
    swapped = _colours_swapped(inputs, others)
    if not (distance > SHIFTED or factor > SCALED or swapped):
        return
    if swapped:
        said = "The mean colours of the images held out are those of the training images reversed"
    yield Finding(
        "held_out_preprocessing",
        f"{said}.",
        "Both parts are preprocessed alike.",
        "Apply the same preprocessing, once, to training images and to those held out"
        + (", with the same order of colours." if swapped else "."),
        values={"means": means, "deviations": deviations, "swapped": swapped},
    )


def _colours_swapped(inputs: np.ndarray, others: np.ndarray) -> bool:
    if inputs.shape[-1] != 3:
        return False
    a, b = (x.mean(axis=(0, 1, 2)) for x in (inputs, others))
    spread = inputs.std(axis=(0, 1, 2)).mean()
    direct, reversed_ = (abs(a - c).max() / max(spread, 1e-12) for c in (b, b[::-1]))
    return bool(direct > SWAPPED and reversed_ < MATCHING)


def training_and_inference(case: Case) -> Iterator[Finding]:
    """Finds training images that are predicted far worse in inference than the log says."""
    epochs = Epochs.of(case.history or ())
    outputs = case.outputs()
    if not len(epochs) or not np.isfinite(epochs.accuracy[-1]) or not np.isfinite(outputs).all():
        return
    accuracy = accuracy_of(outputs, case.labels())
    logged = float(epochs.accuracy[-1])
    if not logged - accuracy > BELOW:
        return
    exact = recomputed(case)
    if exact is not None and exact.exact_accuracy > accuracy + (logged - accuracy) / 2:
        return  # Statistics of BatchNormalization explain it, which is a finding of its own.
    yield Finding(
        "training_and_inference",
        f"The log says that {logged:.0%} of the training images are right after the last epoch; in "
        f"inference {accuracy:.0%} of them are.",
        "Training images are right about as often as the log says, or more often.",
        "Give the network these images as training did: the same preprocessing, range and order of "
        "colours, and the same labels.",
        values={"logged": logged, "measured": accuracy},
    )
