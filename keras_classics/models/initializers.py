"""Initial weights that only these papers have."""

import math
from collections.abc import Sequence

import keras
from keras import ops

from keras_classics.errors import unknown_name


@keras.saving.register_keras_serializable("keras_classics")
class FanInUniform(keras.initializers.RandomUniform):
    """Uniform in +-2.4 / F, where F is the number of inputs of the unit.

    LeCun, Bottou, Bengio, Haffner 1998, Appendix A: the paper divides by F and not by its square
    root because it takes the inputs of a unit for correlated. The bias does not count as an input.

    Args:
        fan_in: Inputs of a unit: one number, or one for each entry of the weight's last axis.
            None takes the product of all axes but the last, as fits a dense or convolution kernel.
        seed: Integer, or None for one drawn from the global seed.
    """

    def __init__(self, fan_in: int | Sequence[int] | None = None, seed: int | None = None):
        super().__init__(minval=-1.0, maxval=1.0, seed=seed)
        self.fan_in = fan_in

    def __call__(self, shape, dtype=None):
        fan_in = math.prod(shape[:-1]) if self.fan_in is None else self.fan_in
        unit = super().__call__(shape, dtype)
        return unit * (2.4 / ops.convert_to_tensor(fan_in, dtype=unit.dtype))

    def get_config(self):
        config = super().get_config()
        return {"fan_in": self.fan_in, "seed": config["seed"]}


def _normal(deviation: float) -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=deviation)


def _he(mode: str) -> keras.initializers.Initializer:
    return keras.initializers.VarianceScaling(2.0, mode, "untruncated_normal")


# The papers' and programs' initial kernels: one for all layers, and those of single layers.
SCHEMES = {
    # Krizhevsky et al. 2012, section 5.
    "alexnet": {"*": _normal(0.01)},
    # The configuration of the original code whose errors are the paper's (number 145).
    "alexnet_code": {
        "*": _normal(0.01),
        **dict.fromkeys(("conv3", "conv4", "conv5"), _normal(0.03)),
    },
    # Caffe's bvlc_alexnet and CaffeNet.
    "caffenet": {"*": _normal(0.01), **dict.fromkeys(("fc6", "fc7"), _normal(0.005))},
    # TF-slim's alexnet_v2.
    "alexnet_slim": {
        "*": keras.initializers.GlorotUniform(),
        **dict.fromkeys(
            ("fc6", "fc7", "predictions"), keras.initializers.TruncatedNormal(stddev=0.005)
        ),
    },
    # Simonyan and Zisserman 2015, section 3.1, as printed: a variance of 0.01. Most programs take
    # 0.01 for the deviation ("alexnet"). Neither trains the deep configurations from scratch.
    "vgg": {"*": _normal(0.1)},
    # torchvision's VGG.
    "vgg_torchvision": {
        "*": _he("fan_out"),
        **dict.fromkeys(("fc1", "fc2", "predictions"), _normal(0.01)),
    },
    # He et al. 2015 (1502.01852), equations 10 and 14; Keras's "he_normal" is the first, truncated.
    "he_fan_in": {"*": _he("fan_in")},
    "he_fan_out": {"*": _he("fan_out")},
}


def kernel_initializer(
    scheme: str | keras.initializers.Initializer, layer: str
) -> keras.initializers.Initializer:
    """Returns what a layer's kernel starts from.

    Args:
        scheme: A name in `SCHEMES`, or what Keras takes for an initializer.
        layer: Name of the layer.

    Raises:
        UserError: Nothing has that name.
    """
    if isinstance(scheme, str) and scheme in SCHEMES:
        scheme = SCHEMES[scheme].get(layer, SCHEMES[scheme]["*"])
    try:
        # Keras clones an initializer, so that layers of one shape do not start from one draw.
        return keras.initializers.get(scheme)
    except ValueError:
        known = [*SCHEMES, "he_normal", "he_uniform", "glorot_normal", "glorot_uniform"]
        raise unknown_name("kernel_initializer", str(scheme), known) from None
