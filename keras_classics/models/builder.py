"""What all builders share: the common arguments, their checks, the input and the top."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypedDict

import keras

from keras_classics.errors import UserError
from keras_classics.weights import WeightsRecord, load_weights

POOLINGS = {
    "avg": keras.layers.GlobalAveragePooling2D,
    "max": keras.layers.GlobalMaxPooling2D,
}


class CommonArguments(TypedDict, total=False):
    """The arguments of every builder, with the meaning that `keras.applications` gives them.

    Attributes:
        weights: Name of known weights (see `list_weights`), `"imagenet"` for the network's default
            ones, path of a file (see `weights.formats.contents`), or None for initial weights.
            Known weights set the arguments that you leave out, such as a ResNet's version.
        include_top: Whether the network ends in its dense layers and the classifier.
        input_shape: (height, width, channels), by default the paper's. Without top, height and
            width may be None, and are by default.
        input_tensor: Tensor to build on, instead of `input_shape`.
        pooling: Without top: `"avg"`, `"max"`, or None for the feature map.
        classes: Number of classes, by default that of known weights, or the paper's.
        classifier_activation: Activation of the output, or None for the scores.
        name: Name of the model.
    """

    weights: str | os.PathLike | WeightsRecord | None
    include_top: bool
    input_shape: tuple[int | None, int | None, int] | None
    input_tensor: keras.KerasTensor | None
    pooling: str | None
    classes: int
    classifier_activation: str | None
    name: str


@dataclass(frozen=True, kw_only=True)
class ModelMetadata:
    """What is known of a network before it is built.

    Attributes:
        name: Name of the network and of its builder.
        summary: The network in one sentence.
        paper: Authors, title and year of the publication.
        input_shape: Height, width and channels of the paper's training images.
        smallest_input: Least height and width that the network takes, with its top.
        classes: Number of classes in the paper.
        torchvision: Network of torchvision that it equals, and the arguments that it takes to.
        keras_applications: The same of `keras.applications`.
    """

    name: str
    summary: str
    paper: str
    input_shape: tuple[int, int, int]
    smallest_input: int
    classes: int
    torchvision: str = ""
    keras_applications: str = ""


class ModelBuilder:
    """The input and the output of a network, as the common arguments of all builders ask for them.

    Args:
        metadata: The network; its name, input shape and classes are the defaults.
        smallest_input: Least height and width, where they are not the metadata's.
        weights: As in `CommonArguments`, like all that follow.
        include_top: See there.
        input_shape: See there.
        input_tensor: See there.
        pooling: See there.
        classes: See there.
        classifier_activation: See there.
        name: See there.

    Attributes:
        image: Tensor of shape (batch, height, width, channels) that the network starts from.
        name: Name of the model.
        classes: Number of classes.
        include_top: See `CommonArguments`.

    Raises:
        UserError: The data format is channels_first, or an argument is outside its range.
    """

    def __init__(
        self,
        metadata: ModelMetadata,
        *,
        smallest_input: int | None = None,
        weights: str | os.PathLike | WeightsRecord | None = None,
        include_top: bool = True,
        input_shape: tuple[int | None, int | None, int] | None = None,
        input_tensor: keras.KerasTensor | None = None,
        pooling: str | None = None,
        classes: int | None = None,
        classifier_activation: str | None = "softmax",
        name: str | None = None,
    ):
        self.name = name or metadata.name
        if keras.config.image_data_format() != "channels_last":
            raise UserError(
                f"{self.name} takes images with the channels last. Received: image_data_format() "
                f"{keras.config.image_data_format()!r}. Call "
                "keras.config.set_image_data_format('channels_last') before building."
            )
        if pooling is not None and pooling not in POOLINGS:
            raise UserError(f"pooling must be None, 'avg' or 'max'. Received: {pooling!r}.")
        known = len(weights.labels) if isinstance(weights, WeightsRecord) else metadata.classes
        self.classes = known if classes is None else classes
        self.include_top = include_top
        self._input_tensor = input_tensor
        self._pooling = pooling
        self._activation = classifier_activation
        default = metadata.input_shape
        if input_tensor is not None:
            input_shape = input_tensor.shape[1:]
        elif input_shape is None:
            input_shape = default if include_top else (None, None, default[2])
        self._check_shape(tuple(input_shape), smallest_input or metadata.smallest_input)
        self.image = (
            keras.Input(input_shape, name="image") if input_tensor is None else input_tensor
        )
        # Before the layers, so that a file that cannot be downloaded is known at once.
        self._weights = (
            weights.fetch(include_top) if isinstance(weights, WeightsRecord) else weights
        )

    def _check_shape(self, shape: tuple, smallest: int) -> None:
        if len(shape) != 3 or shape[2] is None:
            raise UserError(
                f"{self.name} takes images of shape (height, width, channels). Received: {shape}."
            )
        if any(side is not None and side < smallest for side in shape[:2]):
            top = "with" if self.include_top else "without"
            raise UserError(
                f"{self.name} {top} its top takes images of at least {smallest}x{smallest} pixels. "
                f"Received: {shape[0]}x{shape[1]}."
            )

    def flatten(self, features: keras.KerasTensor) -> keras.KerasTensor:
        """Flattens a feature map, in the order height, width, channels.

        Raises:
            UserError: Its size is not known, so the dense layers that follow cannot be sized.
        """
        if None in features.shape[1:]:
            raise UserError(
                f"{self.name} sizes its dense layers from the image, so height and width must be "
                f"known. Received: {self.image.shape[1:]}. Give both, or include_top=False."
            )
        return keras.layers.Flatten(name="flatten")(features)

    def classify(
        self, features: keras.KerasTensor, kernel_initializer="glorot_uniform"
    ) -> keras.KerasTensor:
        """Adds the classifier: a dense layer for the scores, then their activation."""
        scores = keras.layers.Dense(
            self.classes, kernel_initializer=kernel_initializer, name="predictions"
        )(features)
        return self.activate(scores)

    def activate(self, scores: keras.KerasTensor, activation=None) -> keras.KerasTensor:
        """Adds the classifier's activation, in float32.

        Args:
            scores: Output of the network's last layer.
            activation: Activation to use instead of `classifier_activation`. Where that is None,
                the scores stay as they are.
        """
        if self._activation is None:
            return scores
        return probabilities_of(scores, activation or self._activation)

    def pool(self, features: keras.KerasTensor) -> keras.KerasTensor:
        """Ends a network without top: pools over all positions, or returns the map itself."""
        if self._pooling is None:
            return features
        return POOLINGS[self._pooling](name=f"{self._pooling}_pool")(features)

    def model(self, end: keras.KerasTensor) -> keras.Model:
        """Returns the model from the image to a tensor, with its weights loaded."""
        start = self.image
        if self._input_tensor is not None:
            sources = keras.utils.get_source_inputs(self._input_tensor)
            start = sources[0] if len(sources) == 1 else sources
        model = keras.Model(start, end, name=self.name)
        if self._weights is not None:
            # Without the layers before `input_tensor`, which are not the network's.
            load_weights(keras.Model(self.image, end, name=self.name), self._weights)
        return model


def smallest_side(windows: Iterable[tuple[int, int, int]]) -> int:
    """Returns the least side of an image from which a chain of windows makes one position.

    Args:
        windows: (size, stride, padding) of each convolution and pooling in order; padding counts
            both sides together.
    """
    side = 1
    for size, stride, padding in reversed(list(windows)):
        side = max(1, (side - 1) * stride + size - padding)
    return side


def probabilities_of(scores: keras.KerasTensor, activation="softmax") -> keras.KerasTensor:
    """Adds the layer `probabilities`, in float32.

    The layer stands apart from the scores, so that losses can use the scores and the softmax is
    exact under mixed precision.
    """
    return keras.layers.Activation(activation, dtype="float32", name="probabilities")(scores)


def scores_and_probabilities(model: keras.Model) -> keras.Model:
    """Returns the same network with two outputs: the scores for the loss, and the probabilities.

    Args:
        model: A network with its top, built with a classifier activation.

    Raises:
        UserError: The last layer of the network is not `probabilities`.
    """
    last = model.layers[-1]
    if last.name != "probabilities":
        raise UserError(
            f"{model.name} must end in probabilities. Received a last layer {last.name!r}. Build "
            "it with include_top=True and a classifier_activation."
        )
    start = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    return keras.Model(start, [last.input, last.output])
