"""LeNet-5: as published in 1998, and as it is taught today.

Paper: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-Based Learning Applied to Document
Recognition, Proceedings of the IEEE 86(11), 1998.

    layer  what                                 output      1998   today
    C1     convolution 5x5                      28x28x6      156     156
    S2     2x2 sum, coefficient, bias a map     14x14x6       12       0  average pool
    C3     convolution 5x5, table below         10x10x16   1,516   2,416  all maps
    S4     as S2                                5x5x16        32       0  average pool
    C5     convolution 5x5 on all maps          1x1x120   48,120  48,120  dense
    F6     dense                                84        10,164  10,164
    OUT    distance to one fixed code a class   10             0     850  dense, softmax
                                      trainable parameters   60,000  61,706

`lenet5_1998` differs from the paper by
- the codes: the known transcription of the paper's Figure 3 shows a bar above 0, 2, 4 and 5, one or
  two empty rows away from the digit. The bar makes no sense in an image of the digit, and the
  bitmaps here leave it out;
- the initial biases, which are 0; the paper gives a rule for the weights only;
- the initial weights of `fan_in_exponent=0.5`, the choice of the recipe `paper`. Appendix A prints
  +-2.4 / F, the default here. With these weights nearly all second derivatives of the loss are
  below 0.001, where Appendix C says that those of the first layers may be very large, and the
  paper's mu of 0.02 saturates F6 for good. With +-2.4 / sqrt(F) they are large, and 0.02 trains.
  The group's later program (EBLearn) starts in +-1 / sqrt(F);
- `classifier_activation="softmax"`, the default of all builders here, which turns distances into
  probabilities (softmax of -y). None gives the paper's distances. Both predict the nearest code.
"""

from collections.abc import Callable
from functools import partial
from typing import Unpack

import keras
import numpy as np

from keras_classics.errors import UserError
from keras_classics.models.builder import CommonArguments, ModelBuilder, ModelMetadata
from keras_classics.models.initializers import FanInUniform
from keras_classics.models.layers import (
    EuclideanRBF,
    TableConv2D,
    TrainableSubsampling,
    scaled_tanh,
    softmin,
)
from keras_classics.models.registry import register

PAPER = (
    "LeCun, Bottou, Bengio, Haffner: Gradient-Based Learning Applied to Document Recognition, 1998"
)

# Table I: which maps of S2 (rows) each map of C3 (columns) is connected to.
C3_TABLE = (
    (1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 1),
    (1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1),
    (1, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 1, 1, 1),
    (0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 1, 0, 1, 1),
    (0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 1, 0, 1),
    (0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 1, 1),
)

# Figure 3: the codes of the ten digits, 7x12 bitmaps side by side; # is +1 and . is -1.
BITMAPS = """
....... ...##.. ....... ####### ....... ....... ..####. ####### .#####. .#####.
....... ..###.. ....... .....## ....... ....... .##.... .....## ##...## ##..###
..###.. .####.. .#####. ....##. ....... ####### ##..... .....## ##...## ##...##
.##.##. ...##.. ##...## ...##.. .##..## ##..... ##..... ....##. ##...## ##...##
##...## ...##.. #....## ..####. .##..## ##..... ######. ...##.. .#####. ##..###
##...## ...##.. ....##. .....## ###..## .####.. ###..## ...##.. ##...## .######
##...## ...##.. ..###.. .....## ##...## ..####. ##...## ..##... ##...## .....##
##...## ...##.. .##.... .....## ##...## .....## ##...## ..##... ##...## .....##
.##.##. ...##.. ##..... ##...## ##..### ##...## ###..## ..##... ##...## ....##.
..###.. .###### ####### .#####. .###### .#####. .#####. ..##... .#####. .####..
....... ....... ....... ....... .....## ....... ....... ....... ....... .......
....... ....... ....... ....... .....## ....... ....... ....... ....... .......
"""


@register(paper=PAPER, input_shape=(32, 32, 1), smallest_input=16, classes=10)
def lenet5(metadata: ModelMetadata, **common: Unpack[CommonArguments]) -> keras.Model:
    """LeNet-5 as it is taught today: tanh, average pooling, full connections, softmax.

    Images have at least 16x16 pixels. Without top the network ends in S4's map.

    Args:
        metadata: The network's own.
        **common: See `CommonArguments`.

    Returns:
        A model from float images of shape (batch, 32, 32, 1), background -0.1 and foreground
        1.175, to probabilities of shape (batch, classes).

    Raises:
        UserError: An argument is outside its range.
    """
    net = ModelBuilder(metadata, **common)
    x = keras.layers.Conv2D(6, 5, activation="tanh", name="c1")(net.image)
    x = keras.layers.AveragePooling2D(2, name="s2")(x)
    x = keras.layers.Conv2D(16, 5, activation="tanh", name="c3")(x)
    x = keras.layers.AveragePooling2D(2, name="s4")(x)
    if not net.include_top:
        return net.model(net.pool(x))

    x = net.flatten(x)
    x = keras.layers.Dense(120, activation="tanh", name="c5")(x)
    x = keras.layers.Dense(84, activation="tanh", name="f6")(x)
    return net.model(net.classify(x))


@register(paper=PAPER, input_shape=(32, 32, 1), smallest_input=32, classes=10)
def lenet5_1998(
    metadata: ModelMetadata,
    *,
    codes: np.ndarray | None = None,
    fan_in_exponent: float = 1.0,
    **common: Unpack[CommonArguments],
) -> keras.Model:
    """LeNet-5 of the 1998 paper, section II-B; its layers are listed in models/lenet.py.

    Initial weights are uniform in +-2.4 / F, where F is the number of inputs of the unit (Appendix
    A), or in +-2.4 / sqrt(F); each map of C3 has its own F. `classifier_activation="softmax"` gives
    probabilities, the softmax of the negated distances; None gives the paper's distances, of which
    the smallest is the prediction. Images have at least 32x32 pixels. Without top the network ends
    in S4's map, and 16x16 pixels are enough.

    Args:
        metadata: The network's own.
        codes: Codes of +-1 of shape (classes, 84), by default `digit_codes()`.
        fan_in_exponent: Exponent of F in the range of the initial weights, 0 to 1: 1 as printed,
            0.5 for the square root.
        **common: See `CommonArguments`.

    Returns:
        A model from float images of shape (batch, 32, 32, 1), background -0.1 and foreground
        1.175, to probabilities or distances of shape (batch, classes).

    Raises:
        UserError: An argument is outside its range.
    """
    smallest = metadata.smallest_input if common.get("include_top", True) else 16
    net = ModelBuilder(metadata, smallest_input=smallest, **common)
    activation = _distance_activation(common.get("classifier_activation", "softmax"))
    if not 0 <= fan_in_exponent <= 1:
        raise UserError(f"fan_in_exponent must be 0 to 1. Received: {fan_in_exponent}.")
    uniform = partial(FanInUniform, exponent=fan_in_exponent)
    squash = {"activation": scaled_tanh}
    x = keras.layers.Conv2D(6, 5, **squash, kernel_initializer=uniform(), name="c1")(net.image)
    x = _subsample(x, "s2", uniform)
    x = TableConv2D(C3_TABLE, 5, **squash, kernel_initializer=uniform(_c3_fan_in()), name="c3")(x)
    x = _subsample(x, "s4", uniform)
    if not net.include_top:
        return net.model(net.pool(x))

    x = keras.layers.Conv2D(120, 5, **squash, kernel_initializer=uniform(), name="c5")(x)
    x = net.flatten(x)
    x = keras.layers.Dense(84, **squash, kernel_initializer=uniform(), name="f6")(x)
    x = EuclideanRBF(_class_codes(codes, net.classes), name="distances")(x)
    return net.model(net.activate(x, activation))


def digit_codes() -> np.ndarray:
    """Returns the +-1 codes of the ten digits, shape (10, 84): `BITMAPS` read row by row."""
    rows = [line.split() for line in BITMAPS.strip().splitlines()]
    digits = ["".join(digit) for digit in zip(*rows, strict=True)]
    return np.array([[1 if pixel == "#" else -1 for pixel in digit] for digit in digits])


def _subsample(
    x: keras.KerasTensor, name: str, uniform: Callable[..., FanInUniform]
) -> keras.KerasTensor:
    return TrainableSubsampling(
        activation=scaled_tanh, coefficient_initializer=uniform(fan_in=4), name=name
    )(x)


def _c3_fan_in() -> list[int]:
    """Inputs of the unit that each of C3's 60 links belongs to: 75, 100 or 150."""
    table = np.array(C3_TABLE)
    fan_in = 25 * table.sum(axis=0)
    return [int(fan_in[column]) for row in table for column in np.flatnonzero(row)]


def _class_codes(codes: np.ndarray | None, classes: int) -> np.ndarray:
    codes = digit_codes()[:classes] if codes is None else np.asarray(codes)
    if codes.shape != (classes, 84):
        raise UserError(
            f"lenet5_1998 has codes for ten digits; {classes} classes take codes of shape "
            f"({classes}, 84). Received: codes of shape {codes.shape}."
        )
    return codes


def _distance_activation(classifier_activation: str | None):
    if classifier_activation not in ("softmax", None):
        raise UserError(
            "lenet5_1998 takes classifier_activation='softmax' or None. "
            f"Received: {classifier_activation!r}."
        )
    return softmin if classifier_activation else None
