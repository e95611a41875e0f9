"""Batch normalisations: their mode, and their statistics against those of the data."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_classics.analysis.nested import flat
from keras_classics.diagnosis.case import Case
from keras_classics.diagnosis.findings import Finding
from keras_classics.diagnosis.fresh import normalisations
from keras_classics.diagnosis.graph import unchanged
from keras_classics.diagnosis.steps import accuracy_of, once
from keras_classics.errors import UserError
from keras_classics.evaluation import recompute_batch_norm

# Images whose statistics a normalisation uses at a time when they are recomputed.
BATCH = 64
# By how much the accuracy on training images must be lower with the stored statistics. The sample
# has 256 images, so that three standard errors of an accuracy are at most this.
LOST = 0.1
# Distance of two means in deviations, or of two deviations by their factor less 1, beyond which
# the statistics of a layer's inputs are not those it normalises by.
APART = 0.5
# Difference of outputs that shows that an image's outputs depend on the images beside it.
DEPENDS = 1e-3


class Moments(NamedTuple):
    """Statistics of a normalisation, by channel."""

    mean: np.ndarray
    variance: np.ndarray


def stored(layer: keras.layers.BatchNormalization) -> Moments:
    """Returns the moving statistics of a layer."""
    values = layer.moving_mean, layer.moving_variance
    return Moments(*(keras.ops.convert_to_numpy(value).astype("float64") for value in values))


def is_fresh(moments: Moments) -> bool:
    """Whether statistics are the initial ones: means 0 and variances 1."""
    return bool((moments.mean == 0).all() and (moments.variance == 1).all())


def apart(a: Moments, b: Moments, epsilon: float = 1e-3) -> float:
    """Returns how far two statistics are apart, in deviations; the median over the channels."""
    deviations = np.sqrt(a.variance + epsilon), np.sqrt(b.variance + epsilon)
    of_means = abs(a.mean - b.mean) / np.maximum(*deviations)
    of_deviations = np.maximum(*deviations) / np.minimum(*deviations) - 1
    return float(np.median(np.maximum(of_means, of_deviations)))


@dataclass(frozen=True)
class Recomputed:
    """A network with the stored statistics, and with those of the sample.

    Attributes:
        accuracy: Accuracy on the sample with the stored ones.
        exact_accuracy: That with those of the sample.
        loss: Loss on the sample with the stored ones.
        exact_loss: That with those of the sample.
        distances: How far both are apart, by layer.
    """

    accuracy: float
    exact_accuracy: float
    loss: float
    exact_loss: float
    distances: dict[str, float]


@once
def recomputed(case: Case) -> Recomputed | None:
    """Measures a network with statistics of the sample; None without normalisations."""
    layers = normalisations(case.model)
    inputs = case.inputs()
    if not layers or not (np.isfinite(inputs).all() and np.isfinite(case.outputs()).all()):
        return None
    before = [stored(layer) for layer in layers]
    size = min(BATCH, len(inputs))
    whole = len(inputs) // size * size
    with unchanged(case.model):
        try:
            recompute_batch_norm(case.graph, np.split(inputs[:whole], whole // size))
        except UserError:
            return None  # The outputs are not finite in training, which is another check's matter.
        after = [stored(layer) for layer in layers]
        outputs = keras.ops.convert_to_numpy(case.graph.predict_on_batch(inputs))
    distances = {
        layer.name: apart(old, new, layer.epsilon)
        for old, new, layer in zip(before, after, layers, strict=True)
    }
    return Recomputed(
        accuracy_of(case.outputs(), case.labels()),
        accuracy_of(outputs, case.labels()),
        loss_of(case, case.outputs()),
        loss_of(case, outputs),
        distances,
    )


def loss_of(case: Case, outputs: np.ndarray) -> float:
    """Returns the mean loss of outputs for the sample."""
    return float(np.mean(case.loss(case.targets(), outputs)))


def batch_norm_statistics(case: Case) -> Iterator[Finding]:
    """Finds moving statistics with which a trained network predicts worse than with the data's."""
    if not case.history and case.record is None:
        return  # Before training they are the initial ones.
    measured = recomputed(case)
    if measured is None or not measured.exact_accuracy - measured.accuracy > LOST:
        return
    worst = max(measured.distances, key=measured.distances.__getitem__)
    yield Finding(
        "batch_norm_statistics",
        f"In inference {measured.accuracy:.0%} of the training images are right (loss "
        f"{measured.loss:.3g}), and {measured.exact_accuracy:.0%} (loss {measured.exact_loss:.3g}) "
        "with statistics recomputed from these images. They are furthest apart in "
        f"{worst}, {measured.distances[worst]:.2g} deviations.",
        "The moving means and variances of BatchNormalization are those of the data.",
        "Recompute them: keras_classics.evaluation.recompute_batch_norm(model, batches). If they "
        "lag behind after few steps, use momentum=0.9; if they were frozen, make the layers "
        "trainable; if the images are new, check their preprocessing.",
        layer=worst,
        values=vars(measured),
    )


def batch_norm_mode(case: Case) -> Iterator[Finding]:
    """Finds normalisations that do not use the batch in training, or use it in inference."""
    layers = normalisations(case.model)
    inputs = case.inputs()
    if not layers or not np.isfinite(inputs).all():
        return
    yield from _always_training(case, layers)
    yield from _never_training(case, layers)


def _never_training(case: Case, layers: list[keras.layers.BatchNormalization]) -> Iterator[Finding]:
    """Those whose initial statistics do not move in training: they normalise nothing."""
    before = [stored(layer) for layer in layers]
    with unchanged(case.model):
        case.graph(case.inputs()[:BATCH], training=True)
        still = [_equal(old, stored(x)) for x, old in zip(layers, before, strict=True)]
    unused = [
        layer
        for layer, old, stands in zip(layers, before, still, strict=True)
        if stands and is_fresh(old)
    ]
    if not unused or len(case.inputs()) < 2:
        return
    measured = recomputed(case)
    far = [x for x in unused if measured is None or measured.distances[x.name] > APART]
    if not far:
        return
    first = far[0]
    frozen = "is frozen" if not first.trainable else "runs in inference mode"
    yield Finding(
        "batch_norm_mode",
        f"Of {len(layers)} BatchNormalization layers, {len(far)} still have mean 0 and variance 1, "
        f"which training does not change; the first, {first.name}, {frozen}.",
        "In training, BatchNormalization uses the statistics of the batch.",
        f"Set {first.name}.trainable = True and call it without training=False; freeze only layers "
        "with trained statistics.",
        layer=first.name,
        values={"layers": [layer.name for layer in far]},
    )


def _always_training(
    case: Case, layers: list[keras.layers.BatchNormalization]
) -> Iterator[Finding]:
    """Those that use the batch in inference: what is beside an image changes its outputs."""
    inputs = case.inputs()[:16]
    if len(inputs) < 4:
        return
    half = len(inputs) // 2
    with unchanged(case.model):
        together = keras.ops.convert_to_numpy(case.graph(inputs, training=False))[:half]
        alone = keras.ops.convert_to_numpy(case.graph(inputs[:half], training=False))
        difference = float(np.abs(together - alone).max())
        if not difference > DEPENDS * max(float(np.abs(together).max()), 1e-12):
            return
        first = _first_that_depends(case, inputs, half)
    yield Finding(
        "batch_norm_mode",
        f"In inference, the outputs for an image change by up to {difference:.2g} with the images "
        f"beside it{'' if first is None else f', from {first} on'}.",
        "In inference, an image has the same outputs in every batch.",
        "Call BatchNormalization without training=True, and Keras sets the mode.",
        layer=first,
        values={"difference": difference},
    )


def _first_that_depends(case: Case, inputs: np.ndarray, half: int) -> str | None:
    try:
        network = flat(case.graph)
    except UserError:
        return None
    layers = [x for x in network.layers if isinstance(x, keras.layers.BatchNormalization)]
    outputs = keras.Model(network.inputs[0], [layer.output for layer in layers])
    whole, part = outputs(inputs, training=False), outputs(inputs[:half], training=False)
    for layer, a, b in zip(layers, tf.nest.flatten(whole), tf.nest.flatten(part), strict=True):
        difference = np.abs(keras.ops.convert_to_numpy(a)[:half] - keras.ops.convert_to_numpy(b))
        if difference.max() > DEPENDS:
            return layer.name
    return None


def _equal(a: Moments, b: Moments) -> bool:
    return bool((a.mean == b.mean).all() and (a.variance == b.variance).all())
