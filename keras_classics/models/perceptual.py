"""Losses that compare what a network sees in two images, not their pixels.

Papers: J. Johnson, A. Alahi, L. Fei-Fei, Perceptual Losses for Real-Time Style Transfer and
Super-Resolution, 2016, equation 2. R. Zhang et al., The Unreasonable Effectiveness of Deep Features
as a Perceptual Metric, 2018, equation 1 (LPIPS).

A compiled network is saved with its loss: with the name and the settings of the loss's network, and
not with its weights, which are loaded again.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_classics.analysis.layer_outputs import layer_outputs
from keras_classics.errors import UserError, installed_folder, unknown_name
from keras_classics.image_preprocessing import ImagePreprocessing
from keras_classics.models.registry import get_model
from keras_classics.weights import WeightsRecord, find_weights
from keras_classics.weights.formats import torch_files
from keras_classics.weights.load import means_file

# Johnson et al. 2016, section 4.2: relu2_2 of VGG-16, for super-resolution.
LAYERS = {"vgg16": ("block2_conv2",)}

# Zhang et al. 2018, appendix A: the layers after whose ReLU images are compared, and the file of
# the package `lpips` with a weight for each of their channels.
LPIPS_LAYERS = {
    "alexnet_owt": ("conv1", "conv2", "conv3", "conv4", "conv5"),
    "vgg16": ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3"),
}
LPIPS_FILES = {"alexnet_owt": "alex.pth", "vgg16": "vgg.pth"}
LPIPS_VERSION = "v0.1"

# Keeps the gradient of a norm finite where a position has no features. Its root is the 1e-10 that
# the package `lpips` adds to the norm.
TINY = 1e-20


class _Frozen:
    """A network and its preprocessing, which Keras does not save with the loss that has them."""

    def __init__(self, network: keras.Model, normalize: Callable[[Any], Any]):
        self.network, self._normalize = network, normalize

    def __call__(self, images: Any) -> list:
        outputs = self.network(self._normalize(images), training=False)
        return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


class FeatureLoss(keras.losses.Loss):
    """A loss between the features of images. The network in it is frozen, and runs in float32.

    Called with true and predicted images of shape (batch, height, width, channels); grey images are
    given as three channels to a network for colours.

    Args:
        network: Name of the network.
        layers: Layers to compare.
        weights: Name of its weights, a file, or None for random ones.
        value_range: Values of black and white in the images.
        preprocessing: Layer whose `normalize` maps 0..255 to the network's input. By default that
            of the weights' record; random weights take -1..1.
        seed: Seed of random weights.
        reduction: As in `keras.losses.Loss`.
        name: Name of the loss.
    """

    def __init__(
        self,
        network: str,
        layers: Sequence[str],
        weights: str | os.PathLike | WeightsRecord | None,
        value_range: tuple[float, float],
        preprocessing: keras.layers.Layer | None,
        seed: int,
        reduction: str,
        name: str,
        **kwargs: Any,
    ):
        super().__init__(reduction=reduction, name=name, **kwargs)
        low, high = value_range
        if not low < high:
            raise UserError(
                f"value_range must be (black, white), such as (0, 1). Received: {value_range}."
            )
        self.network, self.value_range, self.seed = network, (float(low), float(high)), seed
        self.weights = weights.name if isinstance(weights, WeightsRecord) else weights
        self._given_preprocessing = preprocessing
        normalize = (preprocessing or self._default_preprocessing(weights)).normalize
        with _float32():
            model = get_model(network, include_top=False, weights=weights)
            if weights is None:
                _draw_weights(model, seed)
            model.trainable = False
            self._frozen = _Frozen(layer_outputs(model, layers), normalize)

    def _default_preprocessing(
        self, weights: str | os.PathLike | WeightsRecord | None
    ) -> keras.layers.Layer:
        if isinstance(weights, WeightsRecord):
            return weights.preprocessing()
        if weights is None:
            return ImagePreprocessing(mean=(127.5,) * 3, std=(127.5,) * 3)
        if means_file(self.network, str(weights)):
            raise UserError(
                "A file of weights does not say how images are normalised. Received: "
                f"{str(weights)!r} without preprocessing. Give the preprocessing of its training, "
                "such as preprocessing=kc.preprocessing('vgg16/imagenet_torchvision')."
            )
        return find_weights(f"{self.network}/{weights}").preprocessing()

    def features(self, images: Any) -> list:
        """Returns the compared maps of images in the range of values."""
        low, high = self.value_range
        images = (images - low) * (255 / (high - low))
        channels = self._frozen.network.input_shape[-1]
        if len(images.shape) != 4 or images.shape[-1] not in (1, channels):
            raise UserError(
                f"{self.name} compares images of shape (batch, height, width, {channels}). "
                f"Received: {tuple(images.shape)}."
            )
        if images.shape[-1] != channels:
            images = ops.repeat(images, channels, axis=-1)
        return self._frozen(images)

    def get_config(self) -> dict[str, Any]:
        given = self._given_preprocessing
        return {
            **super().get_config(),
            "network": self.network,
            "weights": str(self.weights) if isinstance(self.weights, os.PathLike) else self.weights,
            "value_range": self.value_range,
            "preprocessing": given and keras.saving.serialize_keras_object(given),
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "FeatureLoss":
        layer = config.get("preprocessing")
        if layer is not None:
            layer = keras.saving.deserialize_keras_object(layer)
        return cls(**{**config, "preprocessing": layer})


@keras.saving.register_keras_serializable("keras_classics")
class PerceptualLoss(FeatureLoss):
    """The feature reconstruction loss of Johnson et al. 2016, equation 2.

    For each layer the squared distance of the two images' maps, divided by the map's size.

        model.compile("adam", kc.PerceptualLoss("vgg16"))

    Called with true and predicted images of shape (batch, height, width, channels); grey images are
    given as three channels to a network for colours.

    Args:
        network: Name of the network, one of `list_models()`.
        layers: Names of layers, or their weights in the sum by name. By default the paper's for
            super-resolution with VGG-16, `block2_conv2` (its relu2_2).
        weights: Name of the network's weights, a file, or None for random ones, which are drawn
            from `seed` alone.
        value_range: Values of black and white in the images.
        preprocessing: Layer whose `normalize` maps 0..255 to the network's input. By default that
            of the weights' record; random weights take -1..1.
        seed: Seed of random weights.
        reduction: As in `keras.losses.Loss`.
        name: Name of the loss.

    Raises:
        UserError: If there is no such network, layer or weights.
    """

    def __init__(
        self,
        network: str = "vgg16",
        layers: Sequence[str] | Mapping[str, float] | None = None,
        weights: str | os.PathLike | WeightsRecord | None = "imagenet",
        *,
        value_range: tuple[float, float] = (0.0, 1.0),
        preprocessing: keras.layers.Layer | None = None,
        seed: int = 0,
        reduction: str = "sum_over_batch_size",
        name: str = "perceptual_loss",
        **kwargs: Any,
    ):
        if layers is None and network not in LAYERS:
            raise UserError(
                f"Only for {', '.join(LAYERS)} a layer is compared by default. Received: "
                f"{network!r} without layers. Name the layers: layers=[...]."
            )
        if layers is None:
            layers = LAYERS[network]
        elif isinstance(layers, str):
            layers = (layers,)
        self.layers = dict(layers) if isinstance(layers, Mapping) else dict.fromkeys(layers, 1.0)
        super().__init__(
            network,
            list(self.layers),
            weights,
            value_range,
            preprocessing,
            seed,
            reduction,
            name,
            **kwargs,
        )

    def call(self, y_true, y_pred):
        loss = 0.0
        pairs = zip(self.features(y_true), self.features(y_pred), strict=True)
        for weight, (true, predicted) in zip(self.layers.values(), pairs, strict=True):
            loss += weight * ops.mean(ops.square(true - predicted), axis=(1, 2, 3))
        return loss

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layers": self.layers}


@keras.saving.register_keras_serializable("keras_classics")
class LPIPS(FeatureLoss):
    """The learned perceptual distance of Zhang et al. 2018, equation 1, version 0.1.

    The maps of five layers are normalised to length 1 at each position. Their squared difference,
    weighted by channel, is averaged over the positions and added over the layers.

    The weights of the channels are those of the package `lpips` (BSD licence), which the extra
    `lpips` installs. They are saved with a compiled network, so it loads without that package. They
    belong to torchvision's networks with ImageNet weights: `alexnet_owt` is torchvision's AlexNet.
    Use it to compare methods, and VGG-16 to train by, as the authors recommend.

    Called with true and predicted images of shape (batch, height, width, channels). As a loss it
    returns the mean; `reduction=None` gives the distance of each pair.

    Args:
        network: `"alexnet_owt"` or `"vgg16"`.
        weights: Name of the network's weights, a file, or None for random ones, which are drawn
            from `seed` alone.
        linear: Weights of the channels of each layer, by default those of the package `lpips`.
        value_range: Values of black and white in the images.
        preprocessing: Layer whose `normalize` maps 0..255 to the network's input, by default that
            of torchvision's weights.
        seed: Seed of random weights.
        reduction: As in `keras.losses.Loss`.
        name: Name of the loss.

    Raises:
        UserError: If there is no such network or weights, or the extra is missing.
    """

    def __init__(
        self,
        network: str = "alexnet_owt",
        weights: str | os.PathLike | WeightsRecord | None = "imagenet_torchvision",
        linear: Sequence[Sequence[float]] | None = None,
        *,
        value_range: tuple[float, float] = (0.0, 1.0),
        preprocessing: keras.layers.Layer | None = None,
        seed: int = 0,
        reduction: str = "sum_over_batch_size",
        name: str = "lpips",
        **kwargs: Any,
    ):
        if network not in LPIPS_LAYERS:
            raise unknown_name("network of LPIPS", network, LPIPS_LAYERS)
        super().__init__(
            network,
            LPIPS_LAYERS[network],
            weights,
            value_range,
            preprocessing,
            seed,
            reduction,
            name,
            **kwargs,
        )
        given = linear_weights(network) if linear is None else linear
        self.linear = [np.asarray(of_layer, "float32") for of_layer in given]
        channels = [(output.shape[-1],) for output in self._frozen.network.outputs]
        if [of_layer.shape for of_layer in self.linear] != channels:
            raise UserError(
                f"linear must have a weight for each channel, {channels} of {network}. "
                f"Received: {[of_layer.shape for of_layer in self.linear]}."
            )

    def _default_preprocessing(
        self, weights: str | os.PathLike | WeightsRecord | None
    ) -> keras.layers.Layer:
        return find_weights(f"{self.network}/imagenet_torchvision").preprocessing()

    def call(self, y_true, y_pred):
        distance = 0.0
        pairs = zip(self.features(y_true), self.features(y_pred), strict=True)
        for linear, (true, predicted) in zip(self.linear, pairs, strict=True):
            squares = ops.square(_unit_length(true) - _unit_length(predicted))
            distance += ops.mean(ops.sum(squares * linear, axis=-1), axis=(1, 2))
        return distance

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "linear": [weights.tolist() for weights in self.linear]}


def linear_weights(network: str) -> list[np.ndarray]:
    """Reads the weights of channels from the package `lpips`, which is not imported.

    Args:
        network: `"alexnet_owt"` or `"vgg16"`.

    Returns:
        The weights of each layer, shape (channels,).

    Raises:
        UserError: If the extra `lpips` is missing.
    """
    folder: Path = installed_folder("lpips", "lpips")
    path = folder / "weights" / LPIPS_VERSION / LPIPS_FILES[network]
    if not path.is_file():
        raise UserError(
            f"The package lpips must contain {LPIPS_FILES[network]}. Received: {folder} without "
            "it. Reinstall it: pip install --force-reinstall --no-deps lpips"
        )
    with torch_files.opened(path, None) as entries:
        return [
            entries[f"lin{number}.model.1.weight"].stored().read().ravel()
            for number in range(len(LPIPS_LAYERS[network]))
        ]


def _unit_length(maps):
    squares = ops.sum(ops.square(maps), axis=-1, keepdims=True)
    return maps / (ops.sqrt(squares + TINY) + TINY**0.5)


def _draw_weights(model: keras.Model, seed: int) -> None:
    """Draws He's weights from a seed: the same for each backend, whatever was drawn before."""
    for number, variable in enumerate(model.trainable_variables):
        if len(variable.shape) > 1:
            generator = np.random.default_rng([seed, number])
            deviation = (2 / np.prod(variable.shape[:-1])) ** 0.5
            variable.assign(generator.normal(0, deviation, variable.shape).astype("float32"))
        elif variable.name == "bias":
            variable.assign(np.zeros(variable.shape, "float32"))


@contextlib.contextmanager
def _float32() -> Iterator[None]:
    """Builds layers in float32 whatever the policy of the network that is trained."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
