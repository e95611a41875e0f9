"""Initial weights of these papers that Keras does not have."""

import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_classics.errors import unknown_name

# Number of values that are drawn at a time.
PIECE = 2**15


@keras.saving.register_keras_serializable("keras_classics")
class FanInUniform(keras.initializers.RandomUniform):
    """Uniform in +-2.4 / F ** exponent, where F is the number of inputs of the unit.

    LeCun, Bottou, Bengio, Haffner 1998, Appendix A: the paper divides by F and not by its square
    root because it assumes that the inputs of a unit are correlated. The bias is not counted.

    Args:
        fan_in: Inputs of a unit: one number, or one for each entry of the weight's last axis.
            None takes the product of all axes but the last, for a dense or convolution kernel.
        seed: Integer, or None for one drawn from the global seed.
        exponent: 1 divides by F, as the paper prints; 0.5 by its square root.
    """

    def __init__(
        self,
        fan_in: int | Sequence[int] | None = None,
        seed: int | None = None,
        exponent: float = 1.0,
    ):
        super().__init__(minval=-1.0, maxval=1.0, seed=seed)
        self.fan_in = fan_in
        self.exponent = exponent

    def __call__(self, shape, dtype=None):
        fan_in = math.prod(shape[:-1]) if self.fan_in is None else self.fan_in
        unit = super().__call__(shape, dtype)
        divisor = np.power(fan_in, self.exponent, dtype="float64")
        return unit * (2.4 / ops.convert_to_tensor(divisor, dtype=unit.dtype))

    def get_config(self):
        config = super().get_config()
        return {"fan_in": self.fan_in, "seed": config["seed"], "exponent": self.exponent}


# Not named `HeNormal`: without this package imported, Keras would load its own class of that name.
# Saved files know it by its registered name.
@keras.saving.register_keras_serializable("keras_classics", "HeNormal")
class UntruncatedHeNormal(keras.initializers.VarianceScaling):
    """Gaussian of variance 2 / fan, as printed; Keras's "he_normal" cuts it off at two deviations.

    He, Zhang, Ren, Sun: Delving Deep into Rectifiers, 2015 (1502.01852), equations 10 and 14. NumPy
    draws the values: they are the same on every backend and take half of TensorFlow's time.

    Args:
        mode: `"fan_in"`, the inputs of a unit, or `"fan_out"`, the units that an input goes to.
        seed: Integer, or None for one drawn from the global seed.
    """

    def __init__(self, mode: str = "fan_in", seed: int | None = None):
        super().__init__(2.0, mode, "untruncated_normal", seed)

    def __call__(self, shape, dtype=None):
        fan = math.prod(shape[:-2]) * shape[-2 if self.mode == "fan_in" else -1]
        values = _standard_normal(math.prod(shape), self.seed)
        values *= math.sqrt(2.0 / fan)
        return ops.convert_to_tensor(values.reshape(shape), dtype=dtype)

    def get_config(self):
        config = super().get_config()
        return {"mode": config["mode"], "seed": config["seed"]}


def _standard_normal(size: int, seed: int) -> np.ndarray:
    """Draws by the Box-Muller transform, which is faster in NumPy than NumPy's own method.

    Values come in pairs, radius times cosine and sine of an angle; none is beyond 5.8.
    """
    values: np.ndarray = np.empty(size, "float32")
    generator = np.random.Generator(np.random.SFC64(seed))
    # In pieces that stay in the processor's cache.
    for start in range(0, size, PIECE):
        piece = values[start : start + PIECE]
        pairs = -(-len(piece) // 2)
        uniform = generator.random((2, pairs), dtype="float32")
        radius = np.sqrt(-2 * np.log(1 - uniform[0]))
        angle = np.float32(2 * math.pi) * uniform[1]
        piece[:pairs] = radius * np.cos(angle)
        piece[pairs:] = (radius * np.sin(angle))[: len(piece) - pairs]
    return values


def _normal(deviation: float) -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=deviation)


# The papers' and programs' initial kernels: one for all layers, and those of single layers.
INITIALIZERS: dict[str, dict[str, keras.initializers.Initializer]] = {
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
        "*": UntruncatedHeNormal("fan_out"),
        **dict.fromkeys(("fc1", "fc2", "predictions"), _normal(0.01)),
    },
    "he_fan_in": {"*": UntruncatedHeNormal("fan_in")},
    "he_fan_out": {"*": UntruncatedHeNormal("fan_out")},
}


def kernel_initializer(
    scheme: str | keras.initializers.Initializer, layer: str
) -> keras.initializers.Initializer:
    """Returns the initializer of a layer's kernel.

    Args:
        scheme: A name in `INITIALIZERS`, or a Keras initializer or its name.
        layer: Name of the layer.

    Raises:
        UserError: There is no initializer of that name.
    """
    if isinstance(scheme, str) and scheme in INITIALIZERS:
        scheme = INITIALIZERS[scheme].get(layer, INITIALIZERS[scheme]["*"])
    try:
        initializer = keras.initializers.get(scheme)
    except ValueError:
        known = [*INITIALIZERS, "he_normal", "he_uniform", "glorot_normal", "glorot_uniform"]
        raise unknown_name("kernel_initializer", str(scheme), known) from None
    # One object gives all layers of one shape the same values; a clone draws a seed of its own.
    is_object = isinstance(initializer, keras.initializers.Initializer)
    return initializer.clone() if is_object else initializer
