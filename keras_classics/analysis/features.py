"""Maps from inside a network, for those who build on it."""

from collections.abc import Sequence

import keras

from keras_classics.analysis.profile import receptive_fields
from keras_classics.errors import UserError

# They change no values that a reader of the map would miss.
PASSING = (keras.layers.InputLayer, keras.layers.ZeroPadding2D, keras.layers.Dropout)


def feature_extractor(model: keras.Model, levels: Sequence[int] | None = None) -> keras.Model:
    """Returns a network's maps at several resolutions, as detectors and segmenters take them.

    Level l is the last map whose positions are 2 ** l pixels apart: what the next stage reads. VGG
    has levels 0 to 5, AlexNet 2 to 5, the ImageNet ResNets 1 to 5, the CIFAR ResNets and LeNet-5
    0 to 2.

    Args:
        model: A network, best without its top.
        levels: Which, by default all that the network has.

    Returns:
        A model that shares its layers with `model`, from the same images to a dict with a map of
        shape (batch, height, width, channels) under `"level_3"` and so on.

    Raises:
        UserError: The network has no such level.
    """
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
    """The last map of each level."""
    ends = {}
    for name, (_, stride) in receptive_fields(model).items():
        layer = model.get_layer(name)
        if stride is not None and not isinstance(layer, PASSING):
            ends[stride.bit_length() - 1] = layer.output
    return ends
