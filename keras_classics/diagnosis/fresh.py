"""Whether weights are as they were drawn, or trained."""

import keras
import numpy as np

from keras_classics.analysis.nested import all_layers, is_nested

# By how much the root mean square of a fresh kernel may miss that of its initializer: more than
# chance does for 1,000 numbers, less than training changes it.
TOLERANCE = 0.05
FEWEST_WEIGHTS = 1000


def weighted_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns the layers with a kernel, nested ones too, in their order."""
    layers = [layer for layer in all_layers(model) if not is_nested(layer)]
    return [layer for layer in layers if getattr(layer, "kernel", None) is not None]


def normalisations(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Returns the batch normalisations, nested ones too, in their order."""
    kind = keras.layers.BatchNormalization
    return [layer for layer in all_layers(model) if isinstance(layer, kind)]


def has_fresh_statistics(layer: keras.layers.BatchNormalization) -> bool:
    """Whether a normalisation has means 0 and variances 1, as before training."""
    mean, variance = (
        keras.ops.convert_to_numpy(value) for value in (layer.moving_mean, layer.moving_variance)
    )
    return bool((mean == 0).all() and (variance == 1).all())


def fresh_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns the layers with a kernel that have their initial weights.

    Training changes a bias from its initial number. A kernel without a bias is compared with its
    initializer: it draws the same numbers again, or, in a copy, numbers of the same size. These
    may also be trained ones, unless normalisations still have their initial statistics.
    """
    statistics = [has_fresh_statistics(layer) for layer in normalisations(model)]
    by_size = all(statistics)
    return [layer for layer in weighted_layers(model) if _is_fresh(layer, by_size)]


def _is_fresh(layer: keras.layers.Layer, by_size: bool) -> bool:
    if getattr(layer, "bias", None) is not None:
        bias = keras.ops.convert_to_numpy(layer.bias)
        initial = keras.ops.convert_to_numpy(layer.bias_initializer(bias.shape))
        return bool((bias == initial).all())
    initializer = getattr(layer, "kernel_initializer", None)
    if initializer is None:
        return False
    kernel = keras.ops.convert_to_numpy(layer.kernel)
    initial = keras.ops.convert_to_numpy(initializer(kernel.shape))
    if (kernel == initial).all():
        return True
    size, expected = (np.sqrt(np.square(w, dtype="float64").mean()) for w in (kernel, initial))
    alike = abs(size - expected) <= TOLERANCE * expected
    return bool(by_size and kernel.size >= FEWEST_WEIGHTS and alike)


def has_fresh_head(model: keras.Model) -> bool:
    """Whether the last layer with a kernel has its initial weights."""
    fresh = fresh_layers(model)
    return bool(fresh) and fresh[-1] is weighted_layers(model)[-1]
