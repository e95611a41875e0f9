"""Exact batch normalisation statistics, which replace the moving averages."""

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from keras_classics.analysis.nested import all_layers
from keras_classics.errors import UserError


@dataclass(frozen=True)
class _Moments:
    """Number of positions, and their mean and biased variance per channel, in float64."""

    count: float = 0.0
    mean: np.ndarray | float = 0.0
    variance: np.ndarray | float = 0.0

    def merged(self, other: "_Moments") -> "_Moments":
        """Returns the moments of both sets together.

        Chan et al. 1979, "Updating Formulae and a Pairwise Algorithm for Computing Sample
        Variances". The mean of squares minus the squared mean would lose digits by cancellation.
        """
        count = self.count + other.count
        fraction, step = other.count / count, other.mean - self.mean
        # What is not finite is refused at the end.
        with np.errstate(invalid="ignore"):
            within = self.variance + fraction * (other.variance - self.variance)
            between = fraction * (1.0 - fraction) * np.square(step)
        return _Moments(count, self.mean + fraction * step, within + between)


def recompute_batch_norm(model: keras.Model, batches: Iterable[np.ndarray | tf.Tensor]) -> None:
    """Replaces the moving statistics of all batch normalisations by exact ones over given images.

    The authors of ResNet (He et al. 2015, arXiv 1512.03385) published their networks with such
    statistics: averages over a large batch of training images, computed after training (README of
    github.com/KaimingHe/deep-residual-networks). Ioffe and Szegedy 2015, Algorithm 2, also compute
    them after training, but their variance omits the differences between the batch means.

    The statistics of a layer are the mean and the biased variance of all its inputs, while every
    batch normalisation before it uses batch statistics, as in training. Frozen layers are updated
    too. Everything else runs in inference mode; dropout is off.

    Args:
        model: A network; only `moving_mean` and `moving_variance` change.
        batches: Batches of preprocessed images, shape (batch, height, width, channels). Batches may
            differ in size; every image has the same weight.

    Raises:
        UserError: If the network has no batch normalisation, there are no images, or a statistic is
            not a finite number. The network is then unchanged.
    """
    kind = keras.layers.BatchNormalization
    layers = [layer for layer in all_layers(model) if isinstance(layer, kind)]
    if not layers:
        raise UserError(
            "Only networks with batch normalisation have statistics to recompute. Received: "
            f"{model.name}, which has none."
        )

    measure = _measure(model, layers)
    totals = [_Moments() for _ in layers]
    for batch in filter(len, batches):
        for index, moments in enumerate(measure(tf.cast(batch, model.inputs[0].dtype))):
            # A layer that is called twice has two inputs.
            for new in moments:
                totals[index] = totals[index].merged(_Moments(*map(np.float64, new)))
    if not all(total.count for total in totals):
        raise UserError("Statistics need at least one image. Received: no batches.")
    for layer, total in zip(layers, totals, strict=True):
        if not (np.isfinite(total.mean).all() and np.isfinite(total.variance).all()):
            raise UserError(
                "Statistics must be finite numbers. Received: NaN or infinity for the inputs of "
                f"{layer.name}. Check the network's weights and the images."
            )
    for layer, total in zip(layers, totals, strict=True):
        layer.moving_mean.assign(total.mean)
        layer.moving_variance.assign(total.variance)


def _measure(model: keras.Model, layers: list[keras.layers.BatchNormalization]) -> Callable:
    """Compiles a function from a batch to the input moments of each layer, one per call of it."""

    def measure(images):
        moments = [[] for _ in layers]
        with _replaced_calls(layers, functools.partial(_normalize, moments)):
            model(images, training=False)
        return moments

    # Traced once, for all batch sizes.
    images = tf.TensorSpec(model.input_shape, model.inputs[0].dtype)
    return tf.function(measure, autograph=False).get_concrete_function(images)


@contextlib.contextmanager
def _replaced_calls(layers: list[keras.layers.Layer], call: Callable) -> Iterator[None]:
    """Runs `call(index, layer, inputs)` in place of each listed layer's own `call`.

    `training=True` is no alternative: it enables dropout and does not affect frozen layers.
    """
    try:
        for index, layer in enumerate(layers):
            layer.call = functools.partial(call, index, layer)
        yield
    finally:
        for layer in layers:
            vars(layer).pop("call", None)


def _normalize(
    moments: list[list], index: int, layer: keras.layers.BatchNormalization, inputs, **_
) -> tf.Tensor:
    """Normalises a batch by its own statistics, and appends them to `moments[index]`."""
    x = tf.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
    channels = layer.axis % len(x.shape)
    mean, variance = tf.nn.moments(x, [axis for axis in range(len(x.shape)) if axis != channels])
    moments[index].append((tf.size(x) // x.shape[channels], mean, variance))
    beta, gamma = (
        None if variable is None else tf.cast(variable, x.dtype)
        for variable in (layer.beta, layer.gamma)
    )
    outputs = keras.ops.batch_normalization(x, mean, variance, channels, beta, gamma, layer.epsilon)
    return tf.cast(outputs, layer.compute_dtype)
