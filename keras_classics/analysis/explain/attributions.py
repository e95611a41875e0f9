"""Attributions of pixels: how a class's score depends on each pixel.

All functions take the same first arguments:

- `network`: a `Network`, or a model.
- `images`: what the network takes, float, shape (count, height, width, channels).
- `targets` and `top`: the classes, see `Network.labels`.

They return float32 with a value for each pixel and channel, shape (count, height, width, channels),
or (count, k, height, width, channels) where targets or `top` give k classes for each image;
occlusion has no channels.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_classics.analysis.activations import activated, before_activation
from keras_classics.analysis.explain.network import (
    BATCH,
    Network,
    Targets,
    as_network,
    for_each_class,
)
from keras_classics.errors import UserError


def gradient(
    network: Network | keras.Model,
    images: np.ndarray,
    targets: Targets = None,
    top: int | None = None,
) -> np.ndarray:
    """Returns the gradient of the score by the image (Simonyan et al. 2014, section 3).

    The paper shows the largest magnitude over the channels, as `overlay` does.
    """
    network = as_network(network)
    labels = network.labels(images, targets, top)
    return for_each_class(labels, lambda column: network.image_gradients(images, column))


def smooth_grad(
    network: Network | keras.Model,
    images: np.ndarray,
    targets: Targets = None,
    top: int | None = None,
    *,
    samples: int = 50,
    noise: float = 0.15,
    seed: int = 0,
) -> np.ndarray:
    """Returns the mean gradient of noisy copies of an image (Smilkov et al. 2017, section 3).

    Args:
        network: See the module.
        images: See the module.
        targets: See the module.
        top: See the module.
        samples: Number of copies.
        noise: Standard deviation of the noise, as a fraction of the range of each image's values;
            the paper uses 0.1 to 0.2.
        seed: Seed of the noise.
    """
    network = as_network(network)
    labels = network.labels(images, targets, top)
    images = network.checked(images)
    deviations = noise * np.ptp(images, axis=(1, 2, 3), keepdims=True)

    def attribute(column: np.ndarray) -> np.ndarray:
        draw = np.random.default_rng(seed)

        def copies(some: np.ndarray) -> np.ndarray:
            noise = draw.standard_normal((len(some), *images.shape), dtype="float32")
            return images + deviations * noise

        weights = np.full(samples, 1 / samples)
        return _weighted_gradients(network, column, copies, np.arange(samples), weights)

    return for_each_class(labels, attribute)


def guided_backpropagation(
    network: Network | keras.Model,
    images: np.ndarray,
    targets: Targets = None,
    top: int | None = None,
) -> np.ndarray:
    """Returns guided backpropagation (Springenberg et al. 2015, section 3.4).

    The gradient by the image, where each ReLU lets only positive gradients pass backwards. It shows
    much the same edges for every class and for weights drawn anew (Adebayo et al. 2018), so it
    explains an answer less than it seems to.

    Raises:
        UserError: If the network has no ReLUs.
    """
    return _with_relus(_guided, network, images, targets, top)


def deconvolution(
    network: Network | keras.Model,
    images: np.ndarray,
    targets: Targets = None,
    top: int | None = None,
) -> np.ndarray:
    """Returns the deconvolution of Zeiler and Fergus (2014, section 2.1).

    As guided backpropagation, but a ReLU lets positive gradients pass also where it was closed.

    Differs from the paper by starting from the score of a class, not from one value of a map, and
    by the gradient of normalisations, which the paper leaves out.

    Raises:
        UserError: If the network has no ReLUs.
    """
    return _with_relus(_deconvolved, network, images, targets, top)


def integrated_gradients(
    network: Network | keras.Model,
    images: np.ndarray,
    targets: Targets = None,
    top: int | None = None,
    *,
    steps: int = 50,
    baseline: float | np.ndarray = 0.0,
) -> np.ndarray:
    """Returns integrated gradients (Sundararajan et al. 2017, equations 1 and 3).

    The mean gradient on the straight line from a baseline to the image, times their difference. The
    sum over all pixels is the score of the image minus that of the baseline; more steps bring it
    nearer. The gradient of a deep network jumps on the way: of ResNet-20's sums on four images, 50
    steps are within 2 %, 500 within 0.4 % and 1,000 within 0.2 %.

    Differs from the paper by Gauss and Legendre's rule in place of a Riemann sum, and by the
    default baseline: 0 in what the network takes, which for most is the mean colour and not black.

    Args:
        network: See the module.
        images: See the module.
        targets: See the module.
        top: See the module.
        steps: Number of points on the line.
        baseline: A number, or an array as `images` or one of them.
    """
    network = as_network(network)
    labels = network.labels(images, targets, top)
    images = network.checked(images)
    begin = np.broadcast_to(np.asarray(baseline, "float32"), images.shape)
    # The rule is for -1 to 1.
    points, weights = np.polynomial.legendre.leggauss(steps)
    points, weights = (points.astype("float32") + 1) / 2, weights / 2

    def between(some: np.ndarray) -> np.ndarray:
        return begin + some[:, None, None, None, None] * (images - begin)

    return for_each_class(
        labels,
        lambda column: (
            (images - begin) * _weighted_gradients(network, column, between, points, weights)
        ),
    )


def occlusion(
    network: Network | keras.Model,
    images: np.ndarray,
    targets: Targets = None,
    top: int | None = None,
    *,
    window: int | None = None,
    stride: int | None = None,
    value: float = 0.0,
) -> np.ndarray:
    """Returns by how much the score falls if a pixel is covered (Zeiler and Fergus 2014, 4.2).

    A square moves over the image. Needs no gradients, but runs the network for each of its places,
    169 with the defaults.

    Differs from the paper, whose map has a value for each place of the square: a pixel here has the
    mean of the squares that cover it. The default value is 0 in what the network takes, for most
    the mean colour, where the paper's is grey.

    Args:
        network: See the module.
        images: See the module.
        targets: See the module.
        top: See the module.
        window: Side of the square, by default a seventh of the image's shorter side.
        stride: Pixels between its places, by default half of the window.
        value: What covers the image.

    Returns:
        float32, shape (count, height, width), or (count, k, height, width).
    """
    network = as_network(network)
    labels = network.labels(images, targets, top)
    images = network.checked(images)
    height, width = images.shape[1:3]
    window = window or -(-min(height, width) // 7)
    stride = stride or -(-window // 2)
    if not (1 <= window <= min(height, width) and 1 <= stride <= window):
        raise UserError(
            f"window must be 1 to {min(height, width)} and stride 1 to window. Received: "
            f"window={window} and stride={stride}."
        )
    places = [
        (slice(y, y + window), slice(x, x + window))
        for y in _starts(height, window, stride)
        for x in _starts(width, window, stride)
    ]
    covers = np.zeros((height, width), "float32")
    for place in places:
        covers[place] += 1
    rows = labels.reshape(len(images), -1)
    drops = np.zeros((*rows.shape, height, width), "float32")
    for image, whole, wanted, drop in zip(images, network.scores(images), rows, drops, strict=True):
        for start in range(0, len(places), BATCH):
            some = places[start : start + BATCH]
            covered = np.repeat(image[None], len(some), axis=0)
            for copy, (y, x) in zip(covered, some, strict=True):
                copy[y, x] = value
            falls = (whole - network.scores(covered))[:, wanted]
            for fall, (y, x) in zip(falls, some, strict=True):
                drop[:, y, x] += fall[:, None, None]
    return (drops / covers).reshape(*labels.shape, height, width)


def _weighted_gradients(
    network: Network,
    labels: np.ndarray,
    copies: Callable[[np.ndarray], np.ndarray],
    points: np.ndarray,
    weights: np.ndarray,
) -> np.ndarray:
    """Returns the weighted sum of the gradients at several copies of each image.

    Args:
        network: The network.
        labels: The class of each image, shape (count,).
        copies: From points to the copies there, shape (points, count, height, width, channels).
        points: Where the copies are, in order.
        weights: The weight of each point.
    """
    total: np.ndarray | float = 0.0
    at_once = max(1, BATCH // len(labels))
    for start in range(0, len(points), at_once):
        images = copies(points[start : start + at_once])
        found = network.image_gradients(
            images.reshape(-1, *images.shape[2:]), np.tile(labels, len(images))
        )
        total += np.tensordot(weights[start : start + at_once], found.reshape(images.shape), 1)
    return np.asarray(total)


def _starts(side: int, window: int, stride: int) -> list[int]:
    """Returns where windows start, so that they cover a side."""
    return [*range(0, side - window, stride), side - window]


def _with_relus(
    relu: Callable[..., Any],
    network: Network | keras.Model,
    images: np.ndarray,
    targets: Targets,
    top: int | None,
) -> np.ndarray:
    network = as_network(network)
    check_relus(network)
    labels = network.labels(images, targets, top)
    return for_each_class(labels, lambda column: network.image_gradients(images, column, relu))


def check_relus(network: Network) -> None:
    """Raises a `UserError` if a network has no ReLUs to replace."""
    if not network.count_relus():
        raise UserError(
            "Guided backpropagation and deconvolution need a network with ReLUs. Received: "
            f"{network.model.name}, which has none. Use gradient."
        )


def _guided(operation: keras.Operation, *arguments: Any, **options: Any) -> Any:
    return _positive_backwards(operation(*arguments, **options))


def _deconvolved(operation: keras.Operation, *arguments: Any, **options: Any) -> Any:
    before = before_activation(operation, *arguments, **options)
    # The value is that of the ReLU, exactly; backwards its gradient is 1 everywhere.
    passed = before + ops.stop_gradient(activated(operation, before) - before)
    return _positive_backwards(passed)


@ops.custom_gradient
def _positive_backwards(x: Any) -> tuple[Any, Callable[..., Any]]:
    """Returns a tensor as it is; of its gradient the positive values alone."""

    def backwards(*arguments: Any, upstream: Any = None) -> Any:
        return ops.relu(arguments[-1] if upstream is None else upstream)

    return x, backwards
