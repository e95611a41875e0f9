"""keras.applications' ResNets have convolution biases and another epsilon; these are folded here.

A batch normalisation subtracts its input's mean, and with it a bias before it; and it adds epsilon
to the variance. So a network without those biases and with another epsilon computes the same with
moving_mean - bias and moving_variance + the difference in epsilon. VGG's weights need no change.
"""

from typing import Any

import keras
import numpy as np

from keras_classics.errors import UserError
from keras_classics.weights.stored import StoredTensor, Tensors, check_type

EPSILON, MOMENTUM = 1.001e-5, 0.99


def builder_arguments(model: str, second_version: bool) -> dict[str, Any]:
    """Returns the builder's arguments for the network of keras.applications.

    Args:
        model: Name of the network.
        second_version: Whether to build ResNet50V2, ResNet101V2 or ResNet152V2.
    """
    if not model.startswith("resnet"):
        return {"batch_norm": None}
    return {"version": "v2_keras" if second_version else "v1", "shortcut": "B"}


def folded(tensors: Tensors, model: keras.Model) -> Tensors:
    """Folds biases that the network does not have into the normalisations after them.

    Tensors without such biases are returned unchanged.

    Args:
        tensors: Named `layer/variable`.
        model: The network, where the normalisation `X_bn` follows the convolution `X_conv`.

    Raises:
        UserError: If some of the biases are missing, or the normalisation after one.
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
                raise UserError(f"it lacks the tensor {needed!r}")
            check_type(needed, tensors[needed])
        bias, mean, variance = (tensors[needed] for needed in names)
        if not bias.shape == mean.shape == variance.shape:
            raise UserError(
                f"the shapes of its tensors {', '.join(names)} must be equal, but are "
                f"{bias.shape}, {mean.shape} and {variance.shape}"
            )
        del tensors[names[0]]
        tensors[names[1]] = _shifted(mean, minus=bias)
        shift = EPSILON - model.get_layer(normalization).epsilon
        tensors[names[2]] = _shifted(variance, shift)
    return tensors


def _shifted(
    tensor: StoredTensor, shift: float = 0.0, minus: StoredTensor | None = None
) -> StoredTensor:
    dtype = "float64" if tensor.dtype == "float64" else "float32"

    def read() -> np.ndarray:
        values = tensor.read().astype(dtype) + shift
        # Infinite values are refused when the difference is assigned.
        with np.errstate(over="ignore", invalid="ignore"):
            return values if minus is None else values - minus.read()

    return StoredTensor(tensor.shape, dtype, read)
