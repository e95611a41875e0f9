"""Class maps: which positions of a layer's map speak for a class.

A map has the height and width of the layer's output. All functions take the same arguments:

- `network`: a `Network`, or a model, of which the last map is taken.
- `images`: what the network takes, float, shape (count, height, width, channels).
- `targets` and `top`: the classes, see `Network.labels`.

They return float32 of shape (count, height, width), or (count, k, height, width) where targets or
`top` give k classes for each image.
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from keras_classics.analysis.explain.network import (
    BATCH,
    Network,
    Targets,
    as_network,
    for_each_class,
)
from keras_classics.analysis.explain.structure import pooled_head

# From a layer's maps and the gradients of a score by them to class maps.
Rule = Callable[[np.ndarray, np.ndarray], np.ndarray]


def cam(
    network: Network | keras.Model,
    images: np.ndarray,
    targets: Targets = None,
    top: int | None = None,
) -> np.ndarray:
    """Returns class activation maps (Zhou et al. 2016, "Learning deep features ...", section 2).

    The maps of the layer, weighted by the class's row of the dense layer after the global average
    pooling. Their mean over the positions plus the bias is the score. Needs no gradients.

    Raises:
        UserError: If the network has another head.
    """
    network = as_network(network)
    kernel = ops.convert_to_numpy(
        ops.cast(pooled_head(network.model, network.layer).kernel, "float32")
    )
    labels = network.labels(images, targets, top)
    return np.einsum("nhwc,cn...->n...hw", network.maps(images), kernel[:, labels])


def grad_cam(
    network: Network | keras.Model,
    images: np.ndarray,
    targets: Targets = None,
    top: int | None = None,
) -> np.ndarray:
    """Returns the maps of Grad-CAM (Selvaraju et al. 2017, equations 1 and 2).

    The maps of the layer, each weighted by the mean of its gradient, without what is negative.
    """

    def rule(maps: np.ndarray, gradients: np.ndarray) -> np.ndarray:
        return np.einsum("nhwc,nc->nhw", maps, gradients.mean(axis=(1, 2)))

    return _positive(_by_gradients(rule, network, images, targets, top))


def grad_cam_plus_plus(
    network: Network | keras.Model,
    images: np.ndarray,
    targets: Targets = None,
    top: int | None = None,
) -> np.ndarray:
    """Returns the maps of Grad-CAM++ (Chattopadhay et al. 2018, equations 10, 11 and 19).

    As Grad-CAM, but only positive gradients count, and those more where few positions have any, so
    that several objects of a class are found.

    Differs from the paper by a positive factor for each image: there the score is the exponential
    of this score, which overflows.
    """

    def rule(maps: np.ndarray, gradients: np.ndarray) -> np.ndarray:
        total = maps.sum(axis=(1, 2), keepdims=True)
        divisor = 2 * gradients**2 + total * gradients**3
        alphas = np.divide(gradients**2, divisor, out=np.zeros_like(gradients), where=divisor != 0)
        return np.einsum("nhwc,nc->nhw", maps, (alphas * _positive(gradients)).sum(axis=(1, 2)))

    return _positive(_by_gradients(rule, network, images, targets, top))


def hires_cam(
    network: Network | keras.Model,
    images: np.ndarray,
    targets: Targets = None,
    top: int | None = None,
) -> np.ndarray:
    """Returns the maps of HiResCAM (Draelos and Carin 2020, equation 5).

    The maps of the layer times their gradients, summed over the channels. Negative values speak
    against the class. Where a linear layer follows the map, flattened or averaged, the sum over the
    positions plus the bias is the score.
    """

    def rule(maps: np.ndarray, gradients: np.ndarray) -> np.ndarray:
        return np.einsum("nhwc,nhwc->nhw", maps, gradients)

    return _by_gradients(rule, network, images, targets, top)


def layer_cam(
    network: Network | keras.Model,
    images: np.ndarray,
    targets: Targets = None,
    top: int | None = None,
) -> np.ndarray:
    """Returns the maps of LayerCAM (Jiang et al. 2021, equations 6 to 8).

    As HiResCAM, of positive gradients alone, without what is negative. Made for layers in the
    middle of a network, whose maps are finer.

    Differs from the paper by leaving out its scaling of early layers with tanh.
    """

    def rule(maps: np.ndarray, gradients: np.ndarray) -> np.ndarray:
        return np.einsum("nhwc,nhwc->nhw", maps, _positive(gradients))

    return _positive(_by_gradients(rule, network, images, targets, top))


def score_cam(
    network: Network | keras.Model,
    images: np.ndarray,
    targets: Targets = None,
    top: int | None = None,
) -> np.ndarray:
    """Returns the maps of Score-CAM (Wang et al. 2020, Algorithm 1).

    Each channel of the layer, scaled to 0 to 1 and to the image's size, masks the image; the maps
    are weighted by the softmax over the channels of the masked images' scores, and what is negative
    is left out. Needs no gradients, but runs the network once for each channel: 2,048 times for
    ResNet-50.

    Differs from the paper by not subtracting the score of an empty image, which changes no softmax.
    """
    network = as_network(network)
    labels = network.labels(images, targets, top)
    found = []
    for image, maps, wanted in zip(
        network.checked(images), network.maps(images), labels, strict=True
    ):
        channels = np.moveaxis(maps, -1, 0)
        weights = _softmax(_masked_scores(network, image, channels)[:, wanted])
        found.append(np.einsum("chw,c...->...hw", channels, weights))
    return _positive(np.stack(found))


def eigen_cam(
    network: Network | keras.Model,
    images: np.ndarray,
    targets: Targets = None,
    top: int | None = None,
) -> np.ndarray:
    """Returns the maps of Eigen-CAM (Muhammad and Yeasin 2020, equations 2 to 4).

    The projection of the layer's maps on their first principal component. It knows no class:
    targets decide only how many equal maps are returned. Needs no gradients.

    Differs from the paper by subtracting each channel's mean before, as the package grad-cam does,
    because the component else follows the mean; and by its sign: the map grows with the sum of the
    channels.
    """
    network = as_network(network)
    labels = network.labels(images, targets, top)
    maps = network.maps(images)
    count, height, width, channels = maps.shape
    columns = maps.reshape(count, height * width, channels)
    columns = columns - columns.mean(axis=1, keepdims=True)
    first = np.linalg.svd(columns, full_matrices=False)[2][:, 0]
    projected = np.einsum("npc,nc->np", columns, first)
    signs = np.where(np.einsum("np,np->n", projected, columns.sum(axis=2)) < 0, -1.0, 1.0)
    found = (signs[:, None] * projected).reshape(count, height, width).astype("float32")
    return found if labels.ndim == 1 else np.repeat(found[:, None], labels.shape[1], axis=1)


def _by_gradients(
    rule: Rule,
    network: Network | keras.Model,
    images: np.ndarray,
    targets: Targets,
    top: int | None,
) -> np.ndarray:
    network = as_network(network)
    labels = network.labels(images, targets, top)
    return for_each_class(labels, lambda column: rule(*network.maps_and_gradients(images, column)))


def _masked_scores(network: Network, image: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """Returns the scores of an image under each mask, shape (masks, classes)."""
    scores = []
    for start in range(0, len(channels), BATCH):
        masks = resized(channels[start : start + BATCH], image.shape[:2])
        low = masks.min(axis=(1, 2), keepdims=True)
        extent = masks.max(axis=(1, 2), keepdims=True) - low
        masks = np.divide(masks - low, extent, out=np.zeros_like(masks), where=extent > 0)
        scores.append(network.scores(image * masks[..., None]))
    return np.concatenate(scores)


def resized(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns maps at another height and width, bilinearly interpolated.

    Args:
        maps: Shape (count, height, width).
        size: Height and width of the result.
    """
    maps = ops.convert_to_tensor(np.asarray(maps, "float32")[..., None])
    scaled = ops.image.resize(maps, size, interpolation="bilinear", data_format="channels_last")
    return ops.convert_to_numpy(scaled)[..., 0]


def _softmax(values: np.ndarray) -> np.ndarray:
    """Softmax over the first axis."""
    powers = np.exp(values - values.max(axis=0))
    return powers / powers.sum(axis=0)


def _positive(values: np.ndarray) -> np.ndarray:
    return np.maximum(values, 0)
