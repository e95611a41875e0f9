"""Dense evaluation: a network slides over the whole picture, and its answers are averaged.

Simonyan and Zisserman 2015, section 3.2; He et al. 2015, section 3.4. The dense layers become
convolutions: the first one as large as the map that it was trained on, the others 1x1. The result
is a map of class scores, a position for each place of the network on the picture, whose mean over
the positions is the picture's scores. Convolutions see the picture's own pixels beyond the
network's square, where views are padded with zeros.
"""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_classics.errors import UserError
from keras_classics.evaluation.views import (
    Stacks,
    check_scales,
    mirrored_too,
    resizing,
    scales_in_words,
)
from keras_classics.image_preprocessing import ImagePreprocessing, scaled, with_channels
from keras_classics.models.builder import probabilities_of, scores_and_probabilities


@keras.saving.register_keras_serializable("keras_classics")
class FlattenWindows(keras.layers.Layer):
    """Flattens each window of a map, as `Flatten` does the map that is as large as a window.

    A dense layer behind it is a convolution with that window. As one large matrix product it is
    three times as fast on a CPU as the convolution, which brings its kernel into another order for
    each picture.

    Args:
        window: Height and width.

    Shapes: (batch, height, width, channels) to (batch, rows, columns, window's height * width *
    channels), a position for each place of the window.
    """

    def __init__(self, window: tuple[int, int], **kwargs):
        super().__init__(**kwargs)
        self.window = tuple(window)

    def call(self, inputs):
        sizes = [1, *self.window, 1]
        return tf.image.extract_patches(inputs, sizes, [1] * 4, [1] * 4, "VALID")

    def compute_output_shape(self, input_shape):
        places = [
            None if side is None else side - size + 1
            for side, size in zip(input_shape[1:3], self.window, strict=True)
        ]
        return (input_shape[0], *places, self.window[0] * self.window[1] * input_shape[3])

    def get_config(self):
        return {**super().get_config(), "window": self.window}


def fully_convolutional(model: keras.Model) -> keras.Model:
    """Turns a network into one for images of any size, with the same layers and weights.

    At the network's own size both give the same probabilities. A network that averages its last
    map, as ResNets do, is dense as it is: it only forgets its size.

    Args:
        model: A network with its top. It shares its layers with the result.

    Returns:
        A network from (batch, any, any, channels) to probabilities. Where the network had dense
        layers, the input of its layer `map_average` is the map of class scores.

    Raises:
        UserError: A layer behind the map has no form as a convolution.
    """
    scores = scores_and_probabilities(model).outputs[0]
    image = keras.Input((None, None, model.input_shape[-1]), name="image")
    *layers, probabilities = model.layers
    names = [layer.name for layer in layers]
    if "flatten" in names:
        first = names.index("flatten")
        x = _sliding(image, model, layers[first], layers[first + 1 :])
    else:
        x = _on(image, model.input, scores)
    # Made anew: of a layer with two inputs, Keras gives the first.
    return keras.Model(image, probabilities_of(x, probabilities.activation), name=model.name)


def _sliding(
    image: keras.KerasTensor,
    model: keras.Model,
    flatten: keras.layers.Layer,
    rest: Sequence[keras.layers.Layer],
) -> keras.KerasTensor:
    """Scores of a network with dense layers: their mean over all places on the picture."""
    end = _without_adaptive_pooling(flatten.input, model.name)
    x = _on(image, model.input, end)
    x = FlattenWindows(end.shape[1:3], name="flatten_windows")(x)
    for layer in rest:
        if not isinstance(layer, keras.layers.Dense | keras.layers.Dropout):
            raise UserError(
                f"{model.name} has no dense form: its layer {layer.name!r}, a "
                f"{type(layer).__name__}, is none of AlexNet's and VGG's. Take views."
            )
        x = layer(x)
    return keras.layers.GlobalAveragePooling2D(name="map_average")(x)


def _on(
    image: keras.KerasTensor, start: keras.KerasTensor, end: keras.KerasTensor
) -> keras.KerasTensor:
    """What the layers from one tensor to another make of an image."""
    part = keras.Model(start, end)
    part = keras.models.clone_model(part, input_tensors=image, clone_function=lambda layer: layer)
    return part.output


def _without_adaptive_pooling(features: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """The map in front of adaptive pooling that has nothing to do at the network's own size."""
    layer = features._keras_history.operation
    if not isinstance(layer, keras.layers.AdaptiveAveragePooling2D):
        return features
    if layer.input.shape != layer.output.shape:
        raise UserError(
            f"{name} has a dense form where its map is {layer.output.shape[1:3]} before its "
            f"adaptive pooling. Received: {layer.input.shape[1:3]}. Build it at its paper's size."
        )
    return layer.input


class Dense:
    """The whole picture at one size or several, and its mirror image.

    Prints as the protocol that a result is reported with.

    Args:
        preprocessing: Normalises the pictures. Where it subtracts a mean image, which has one
            size, the mean of each channel takes its place.
        scales: What the picture's short side becomes, one after the other; by default the
            preprocessing's.
        flip: Whether the mirror image is shown too.
        method: How pictures are scaled, one that `tf.image.resize` knows.
        antialias: Whether shrinking looks at all pixels that it merges.

    Attributes:
        views: Number of pictures that the network is shown.

    Raises:
        UserError: The preprocessing puts images on a canvas.
    """

    kind = "dense"

    def __init__(
        self,
        preprocessing: keras.layers.Layer,
        *,
        scales: Sequence[int] | None = None,
        flip: bool = True,
        method: str = "bilinear",
        antialias: bool = True,
    ):
        if not isinstance(preprocessing, ImagePreprocessing):
            raise UserError(
                "The network takes whole images on a canvas, which have a single view. "
                "Received: dense. Take single."
            )
        self._scales = tuple(scales or (preprocessing.short_side,))
        self._normalize = _for_any_size(preprocessing).normalize
        self._flip = flip
        self._method = method
        self._antialias = antialias
        self.views = len(self._scales) * (1 + flip)

    def __call__(self, images: tf.Tensor) -> Stacks:
        """Scales images of one size.

        Args:
            images: uint8, shape (batch, height, width, 1 or 3).

        Returns:
            What the network takes, float32, for each scale (batch, 1 or 2, height, width, 3).
        """
        images = with_channels(images, 3)
        stacks = []
        for scale in self._scales:
            whole = scaled(images, scale, self._method, self._antialias)
            whole = self._normalize(whole)[:, tf.newaxis]
            stacks.append(mirrored_too(whole) if self._flip else whole)
        return tuple(stacks)

    def network(self, model: keras.Model) -> keras.Model:
        """Returns the network that answers: the model in its dense form.

        Raises:
            UserError: It has none, or a scale is smaller than the images that it was built for.
        """
        side = model.input_shape[1]
        if side is not None:
            check_scales(self._scales, side, f"{model.name}'s own images")
        return fully_convolutional(model)

    def __str__(self) -> str:
        words = [self.kind] + ["flip"] * self._flip + [scales_in_words(self._scales)]
        return ", ".join([*words, resizing(self._method, self._antialias)])


def _for_any_size(preprocessing: ImagePreprocessing) -> ImagePreprocessing:
    mean = np.array(preprocessing.mean)
    if mean.ndim == 1:
        return preprocessing
    config = preprocessing.get_config()
    return ImagePreprocessing(**{**config, "mean": tuple(mean.mean(axis=(0, 1)).tolist())})
