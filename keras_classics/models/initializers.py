"""Initial weights that only these papers have."""

import math
from collections.abc import Sequence

import keras
from keras import ops


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
