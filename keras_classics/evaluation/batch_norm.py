"""Exact statistics of batch normalisation, in the place of moving averages."""

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from keras_classics.errors import UserError


@dataclass(frozen=True)
class _Moments:
    """Number of positions, and their mean and biased variance in each map, in float64."""

    count: float = 0.0
    mean: np.ndarray | float = 0.0
    variance: np.ndarray | float = 0.0

    def joined(self, other: "_Moments") -> "_Moments":
        """Those of both together.

        Chan et al. 1979, "Updating Formulae and a Pairwise Algorithm for Computing Sample
        Variances". The mean of the squares minus the square of the mean would cancel.
        """
        count = self.count + other.count
        share, step = other.count / count, other.mean - self.mean
        within = self.variance + share * (other.variance - self.variance)
        between = share * (1.0 - share) * np.square(step)
        return _Moments(count, self.mean + share * step, within + between)


def recompute_batch_norm(model: keras.Model, batches: Iterable[np.ndarray | tf.Tensor]) -> None:
    """Replaces the moving statistics of all batch normalisations by exact ones over given images.

    The authors of the ResNets (He et al. 2015, arXiv 1512.03385) published their networks so: with
    plain averages over a large batch of training images, taken after training (README of
    github.com/KaimingHe/deep-residual-networks). Ioffe and Szegedy 2015, Algorithm 2, do it after
    training too, but leave out of the variance how the means of the batches differ.

    A layer's statistics are the mean and the biased variance of all that it is given when each
    layer before it normalises every batch by that batch's own, as in training. Frozen layers count
    as well. Nothing else runs as in training: dropout drops nothing.

    Args:
        model: A network; nothing of it changes but `moving_mean` and `moving_variance`.
        batches: Preprocessed images, each (batch, height, width, channels) as the network takes
            them. Batches may differ in size: each image counts once.

    Raises:
        UserError: The network has no batch normalisation, or there are no images; it is as it was.
    """
    layers = list(_batch_norms(model))
    if not layers:
        raise UserError(
            "Statistics can be recomputed in networks with batch normalisation. Received: "
            f"{model.name}, which has none."
        )

    measure = _measure(model, layers)
    totals = [_Moments() for _ in layers]
    for batch in filter(len, batches):
        for place, seen in enumerate(measure(tf.cast(batch, model.input.dtype))):
            # A layer that the network calls twice sees two batches.
            for new in seen:
                totals[place] = totals[place].joined(_Moments(*map(np.float64, new)))
    if not all(total.count for total in totals):
        raise UserError("Statistics are taken over images, at least one. Received: no batches.")
    for layer, total in zip(layers, totals, strict=True):
        layer.moving_mean.assign(total.mean)
        layer.moving_variance.assign(total.variance)


def _batch_norms(model: keras.Model) -> Iterator[keras.layers.BatchNormalization]:
    """All of a network's, also those in networks that are layers of it."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            yield layer
        elif isinstance(layer, keras.Model):
            yield from _batch_norms(layer)


def _measure(model: keras.Model, layers: list[keras.layers.BatchNormalization]) -> Callable:
    """A compiled function from a batch to the moments that each layer sees, one a call of it."""

    def measure(images):
        seen = [[] for _ in layers]
        with _called_as(layers, functools.partial(_normalize, seen)):
            model(images, training=False)
        return seen

    # Traced once, for batches of any size.
    images = tf.TensorSpec(model.input_shape, model.input.dtype)
    return tf.function(measure).get_concrete_function(images)


@contextlib.contextmanager
def _called_as(layers: list[keras.layers.Layer], call: Callable) -> Iterator[None]:
    """Runs `call(place, layer, inputs)` where a layer of the list is called.

    `training=True` would not do: it lets dropout drop, and passes frozen layers by.
    """
    try:
        for place, layer in enumerate(layers):
            layer.call = functools.partial(call, place, layer)
        yield
    finally:
        for layer in layers:
            vars(layer).pop("call", None)


def _normalize(
    seen: list[list], place: int, layer: keras.layers.BatchNormalization, inputs, **_
) -> tf.Tensor:
    """Normalises a batch by its own statistics, and notes them as `seen`."""
    x = tf.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
    maps = layer.axis % len(x.shape)
    mean, variance = tf.nn.moments(x, [axis for axis in range(len(x.shape)) if axis != maps])
    seen[place].append((tf.size(x) // x.shape[maps], mean, variance))
    outputs = keras.ops.batch_normalization(
        x, mean, variance, maps, layer.beta, layer.gamma, layer.epsilon
    )
    return tf.cast(outputs, layer.compute_dtype)
