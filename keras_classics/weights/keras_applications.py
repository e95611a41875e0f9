"""What differs in the weights of keras.applications' ResNets: biases before normalisation, epsilon.

A batch normalisation takes its input's mean away, and a bias before it with that; its variance has
epsilon added. So moving_mean - bias and moving_variance + the difference in epsilon, in a network
without those biases and with another epsilon, compute the same. VGG's weights are as here.
"""

from typing import Any

import keras

from keras_classics.errors import UserError
from keras_classics.weights.assign import Tensors

EPSILON, MOMENTUM = 1.001e-5, 0.99


def builder_arguments(model: str, second_version: bool) -> dict[str, Any]:
    """Returns with which arguments a network is that of keras.applications.

    Args:
        model: Name of the network.
        second_version: Whether it is ResNet50V2, 101V2 or 152V2 there.
    """
    if not model.startswith("resnet"):
        return {"batch_norm": None}
    return {"version": "v2_keras" if second_version else "v1", "shortcut": "B"}


def folded(tensors: Tensors, model: keras.Model) -> Tensors:
    """Takes biases that a network does not have into the normalisations that follow them.

    Tensors without such biases are returned as they are.

    Args:
        tensors: Named `layer/variable`.
        model: The network; a normalisation `X_bn` follows a convolution `X_conv`.

    Raises:
        UserError: Some of the biases are there, and one is not; or one has no normalisation.
    """
    bare = [
        layer.name
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D) and not layer.use_bias
    ]
    if not any(f"{name}/bias" in tensors for name in bare):
        return tensors
    tensors = dict(tensors)
    for name in bare:
        normalization = f"{name.removesuffix('_conv')}_bn"
        names = [f"{name}/bias", *(f"{normalization}/moving_{x}" for x in ("mean", "variance"))]
        for needed in names:
            if needed not in tensors:
                raise UserError(f"it has no tensor {needed!r}")
        bias, mean, variance = (tensors[needed] for needed in names)
        if not bias.shape == mean.shape == variance.shape:
            raise UserError(
                f"its tensors {', '.join(names)} have the shapes {bias.shape}, {mean.shape} and "
                f"{variance.shape}, which must be equal"
            )
        del tensors[names[0]]
        tensors[names[1]] = mean - bias
        tensors[names[2]] = variance + (EPSILON - model.get_layer(normalization).epsilon)
    return tensors
