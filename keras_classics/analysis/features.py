"""Feature maps of a network at several resolutions."""

from collections.abc import Sequence

import keras

from keras_classics.analysis.nested import flat, refuse_nested
from keras_classics.analysis.profile import receptive_fields
from keras_classics.errors import UserError

# Layers that pass the values of a map on unchanged.
PASS_THROUGH = (keras.layers.InputLayer, keras.layers.ZeroPadding2D, keras.layers.Dropout)


def feature_extractor(model: keras.Model, levels: Sequence[int] | None = None) -> keras.Model:
    """Returns a network's feature maps at several resolutions, for detection and segmentation.

    Level l is the last map with a stride of 2 ** l pixels, the input of the next stage. VGG has
    levels 0 to 5, AlexNet 2 to 5, the ImageNet ResNets 1 to 5, the CIFAR ResNets and LeNet-5 0 to
    2.

    Args:
        model: A network, preferably without its top.
        levels: Levels to return; by default all levels of the network.

    Returns:
        A model that shares its layers with `model`. It takes the same images and returns a dict of
        maps of shape (batch, height, width, channels), with keys such as `"level_3"`.

    Raises:
        UserError: If the network does not have one of the levels, or contains another network.
    """
    refuse_nested(model, "A feature extractor")
    model = flat(model)
    ends = _level_ends(model)
    levels = list(ends) if levels is None else list(levels)
    for level in levels:
        if level not in ends:
            raise UserError(
                f"{model.name} has the levels {', '.join(map(str, ends))}. Received: {level}."
            )
    return keras.Model(
        model.input,
        {f"level_{level}": ends[level] for level in levels},
        name=f"{model.name}_features",
    )


def _level_ends(model: keras.Model) -> dict[int, keras.KerasTensor]:
    """Returns the last map of each level."""
    ends = {}
    for name, (_, stride) in receptive_fields(model).items():
        layer = model.get_layer(name)
        if stride is not None and not isinstance(layer, PASS_THROUGH):
            ends[stride.bit_length() - 1] = layer.output
    return ends
