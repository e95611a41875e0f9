"""What all builders share: the input, the end of the network, and the checks of their arguments."""

import keras

from keras_classics.errors import UserError
from keras_classics.weights import load_weights

POOLINGS = {
    "avg": keras.layers.GlobalAveragePooling2D,
    "max": keras.layers.GlobalMaxPooling2D,
}


def image_input(
    name: str,
    input_shape: tuple[int | None, int | None, int] | None,
    input_tensor: keras.KerasTensor | None,
    *,
    default_shape: tuple[int, int, int],
    smallest: int,
    include_top: bool,
) -> keras.KerasTensor:
    """Checks the input arguments of a builder and returns the tensor that the network starts from.

    Args:
        name: Name of the network, for messages.
        input_shape: (height, width, channels) or None for the paper's. Height and width may be
            None where the network has no top, whose dense layers are sized from them.
        input_tensor: Tensor to build on, instead of `input_shape`.
        default_shape: The paper's (height, width, channels).
        smallest: Least height and width that the network can take.
        include_top: Whether the network ends in its classifier.

    Returns:
        A tensor of shape (batch, height, width, channels).

    Raises:
        UserError: The data format is channels_first, or the shape does not fit the network.
    """
    if keras.config.image_data_format() != "channels_last":
        raise UserError(
            f"{name} takes images with the channels last. Received: image_data_format() "
            f"{keras.config.image_data_format()!r}. Call "
            "keras.config.set_image_data_format('channels_last') before building."
        )
    if input_tensor is not None:
        _check_shape(name, tuple(input_tensor.shape[1:]), smallest, include_top)
        return input_tensor
    shape = default_shape if input_shape is None else tuple(input_shape)
    _check_shape(name, shape, smallest, include_top)
    return keras.Input(shape, name="image")


def _check_shape(name: str, shape: tuple, smallest: int, include_top: bool) -> None:
    if len(shape) != 3 or shape[2] is None:
        raise UserError(
            f"{name} takes images of shape (height, width, channels). Received: {shape}."
        )
    if include_top and None in shape:
        raise UserError(
            f"{name} sizes its dense layers from the image, so height and width must be known. "
            f"Received: {shape}. Give both, or include_top=False."
        )
    if any(side is not None and side < smallest for side in shape[:2]):
        top = "with" if include_top else "without"
        raise UserError(
            f"{name} {top} its top takes images of at least {smallest}x{smallest} pixels. "
            f"Received: {shape[0]}x{shape[1]}."
        )


def classify(scores: keras.KerasTensor, classifier_activation: str | None) -> keras.KerasTensor:
    """Puts the classifier's activation, in float32, on the scores of a network's last layer.

    It is a layer of its own, `probabilities`, so that the scores stay within reach of losses and
    the softmax is exact under mixed precision.
    """
    if classifier_activation is None:
        return scores
    return keras.layers.Activation(classifier_activation, dtype="float32", name="probabilities")(
        scores
    )


def pool(features: keras.KerasTensor, pooling: str | None) -> keras.KerasTensor:
    """Ends a network without top: `"avg"` or `"max"` over all positions, or None for the map.

    Raises:
        UserError: Another `pooling`.
    """
    if pooling is None:
        return features
    if pooling not in POOLINGS:
        raise UserError(f"pooling must be None, 'avg' or 'max'. Received: {pooling!r}.")
    return POOLINGS[pooling](name=f"{pooling}_pool")(features)


def finish(
    start: keras.KerasTensor,
    end: keras.KerasTensor,
    input_tensor: keras.KerasTensor | None,
    weights: str | None,
    name: str,
) -> keras.Model:
    """Makes the model between two tensors and loads its weights.

    Args:
        start: What `image_input` returned.
        end: Output of the network.
        input_tensor: The builder's argument; the model then starts where that tensor does.
        weights: Path of a weights file, or None.
        name: Name of the model.
    """
    if input_tensor is not None:
        sources = keras.utils.get_source_inputs(input_tensor)
        start = sources[0] if len(sources) == 1 else sources
    model = keras.Model(start, end, name=name)
    if weights is not None:
        load_weights(model, weights)
    return model


def scores_and_probabilities(model: keras.Model) -> keras.Model:
    """Returns the same network with two outputs: what the loss takes, and the probabilities.

    Args:
        model: A network with its top, built with a classifier activation.

    Raises:
        UserError: The network does not end in its `probabilities`.
    """
    last = model.layers[-1]
    if last.name != "probabilities":
        raise UserError(
            f"{model.name} must end in probabilities. Received a last layer {last.name!r}. Build "
            "it with include_top=True and a classifier_activation."
        )
    return keras.Model(model.inputs, [last.input, last.output])
