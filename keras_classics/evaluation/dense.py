"""Dense evaluation: a network slides over the whole image, and its scores are averaged.

Simonyan and Zisserman 2015, section 3.2; He et al. 2015, section 3.4. The dense layers become
convolutions: the first as large as the feature map that it was trained on, the others 1x1. The
result is a map of class scores with one position for each window of the network's input size; its
mean over all positions gives the scores of the image. At the borders of a window the convolutions
see the neighbouring pixels of the image, where a crop would be padded with zeros.
"""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_classics.analysis.nested import refuse_nested
from keras_classics.errors import UserError
from keras_classics.evaluation.views import (
    Stacks,
    check_scales,
    describe_resizing,
    describe_scales,
    with_flips,
)
from keras_classics.image_preprocessing import ImagePreprocessing, scaled, with_channels
from keras_classics.models.builder import probabilities_of, scores_and_probabilities
from keras_classics.models.layers import FlattenWindows


def fully_convolutional(model: keras.Model) -> keras.Model:
    """Converts a network to one for images of any size, with the same layers and weights.

    At the network's own input size both give the same probabilities. Networks that average their
    last map, such as ResNets, need no conversion except of the input shape.

    Args:
        model: A network with its top. It shares its layers with the result.

    Returns:
        A network from (batch, any, any, channels) to probabilities. If the network had dense
        layers, the input of the result's layer `map_average` is the map of class scores.

    Raises:
        UserError: If a layer after the last map cannot be converted to a convolution, or the
            network contains another.
    """
    refuse_nested(model, "Dense evaluation")
    scores = scores_and_probabilities(model).outputs[0]
    image = keras.Input((None, None, model.input_shape[-1]), name="image")
    *layers, probabilities = model.layers
    names = [layer.name for layer in layers]
    if "flatten" in names:
        first = names.index("flatten")
        x = _sliding(image, model, layers[first], layers[first + 1 :])
    else:
        x = _on(image, model.input, scores)
    # A new last layer: if a layer was called twice, its `output` is that of the first call.
    return keras.Model(image, probabilities_of(x, probabilities.activation), name=model.name)


def _sliding(
    image: keras.KerasTensor,
    model: keras.Model,
    flatten: keras.layers.Layer,
    rest: Sequence[keras.layers.Layer],
) -> keras.KerasTensor:
    """Returns the scores of a network with dense layers, averaged over all window positions."""
    end = _without_adaptive_pooling(flatten.input, model.name)
    x = _on(image, model.input, end)
    x = FlattenWindows(end.shape[1:3], name="flatten_windows")(x)
    for layer in rest:
        if not isinstance(layer, keras.layers.Dense | keras.layers.Dropout):
            raise UserError(
                "Dense evaluation supports the layers of AlexNet and VGG after the last map. "
                f"Received: {model.name} with {layer.name!r}, a {type(layer).__name__}. "
                "Use another protocol, such as single or ten."
            )
        x = layer(x)
    return keras.layers.GlobalAveragePooling2D(name="map_average")(x)


def _on(
    image: keras.KerasTensor, start: keras.KerasTensor, end: keras.KerasTensor
) -> keras.KerasTensor:
    """Applies the layers between two tensors of a network to an image."""
    part = keras.Model(start, end)
    part = keras.models.clone_model(part, input_tensors=image, clone_function=lambda layer: layer)
    return part.output


def _without_adaptive_pooling(features: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Returns the map before an adaptive pooling that is the identity at the network's own size."""
    layer = features._keras_history.operation
    if not isinstance(layer, keras.layers.AdaptiveAveragePooling2D):
        return features
    if layer.input.shape != layer.output.shape:
        raise UserError(
            f"Dense evaluation of {name} needs a map of {layer.output.shape[1:3]} before its "
            f"adaptive pooling. Received: {layer.input.shape[1:3]}. Use a network with the input "
            "size of its paper."
        )
    return layer.input


class Dense:
    """Dense evaluation: the whole image at one or several scales, and its mirror image.

    Probabilities of all scales are averaged, as in Simonyan and Zisserman 2015, section 3.2. He et
    al. 2015, section 3.4, average "the scores" of their scales; that these are probabilities is our
    reading.

    `str` returns the protocol as results report it.

    Args:
        preprocessing: Normalises the images. If it subtracts a mean image, which has a fixed size,
            the mean of each channel is subtracted instead.
        scales: Lengths of the image's short side; by default that of the preprocessing.
        flip: Whether to evaluate the mirror image too.
        method: Interpolation method of `tf.image.resize`.
        antialias: Whether to antialias when shrinking.

    Attributes:
        views: Number of network inputs per image.

    Raises:
        UserError: If the preprocessing is a `CanvasPreprocessing`.
    """

    kind = "dense"

    def __init__(
        self,
        preprocessing: keras.layers.Layer,
        *,
        scales: Sequence[int] | None = None,
        flip: bool = True,
        method: str | None = None,
        antialias: bool = True,
    ):
        if not isinstance(preprocessing, ImagePreprocessing):
            raise UserError(
                "Networks with CanvasPreprocessing support only the protocol single. "
                "Received: dense. Use single."
            )
        self._scales = tuple(scales or (preprocessing.short_side,))
        self._normalize = _for_any_size(preprocessing).normalize
        self._flip = flip
        self._method = method or preprocessing.interpolation
        self._antialias = antialias
        self.views = len(self._scales) * (1 + flip)

    def __call__(self, images: tf.Tensor) -> Stacks:
        """Resizes and normalises images of one size.

        Args:
            images: uint8, shape (batch, height, width, 1 or 3).

        Returns:
            Preprocessed images, float32, for each scale (batch, 1 or 2, height, width, 3).
        """
        images = with_channels(images, 3)
        stacks = []
        for scale in self._scales:
            resized = scaled(images, scale, self._method, self._antialias)
            stack = self._normalize(resized)[:, tf.newaxis]
            stacks.append(with_flips(stack) if self._flip else stack)
        return tuple(stacks)

    def network(self, model: keras.Model) -> keras.Model:
        """Returns the fully convolutional form of a model.

        Raises:
            UserError: If it has none, or a scale is smaller than the model's input.
        """
        side = model.input_shape[1]
        if side is not None:
            check_scales(self._scales, side, f"{model.name}'s input")
        return fully_convolutional(model)

    def __str__(self) -> str:
        words = [self.kind] + ["flip"] * self._flip + [describe_scales(self._scales)]
        return ", ".join([*words, describe_resizing(self._method, self._antialias)])


def _for_any_size(preprocessing: ImagePreprocessing) -> ImagePreprocessing:
    """Returns a preprocessing that subtracts a mean per channel instead of a mean image."""
    mean = np.array(preprocessing.mean)
    if mean.ndim == 1:
        return preprocessing
    config = preprocessing.get_config()
    return ImagePreprocessing(**{**config, "mean": tuple(mean.mean(axis=(0, 1)).tolist())})
