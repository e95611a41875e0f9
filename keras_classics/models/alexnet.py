"""AlexNet: two towers (2012), one tower, CaffeNet, the one-column networks of 2014, a small one.

Papers: A. Krizhevsky, I. Sutskever, G. Hinton, ImageNet Classification with Deep Convolutional
Neural Networks, NIPS 2012. A. Krizhevsky, One Weird Trick for Parallelizing Convolutional Neural
Networks, arXiv 1404.5997, 2014.

    layer        kernel, stride, towers   output       parameters
    conv1, ReLU  11x11, 4                 55x55x96         34,944
    norm1, pool1  3x3,  2                 27x27x96
    conv2, ReLU   5x5,  1, 2 towers       27x27x256       307,456
    norm2, pool2  3x3,  2                 13x13x256
    conv3, ReLU   3x3,  1                 13x13x384       885,120
    conv4, ReLU   3x3,  1, 2 towers       13x13x384       663,936
    conv5, ReLU   3x3,  1, 2 towers       13x13x256       442,624
    pool5         3x3,  2                  6x6x256
    fc6, ReLU, dropout 0.5                 4096        37,752,832
    fc7, ReLU, dropout 0.5                 4096        16,781,312
    predictions, softmax                   1000         4,097,000
                                              total    60,965,224

Images are 0..255 minus their mean: `lrn` does nothing to images near 1.

`alexnet` differs from the paper by
- the size: the paper says 224 and prints 55x55 maps. The original code gets them by rounding up:
  three rows and columns of zeros, at the right and the bottom. So does conv1 here: 224 and 227
  both give 55;
- `bias_init`, 0.1 as in Caffe's network. With the paper's 1.0 the loss stays at chance level for
  long: on digits, for 300 steps, after which 0.1 had reached a loss of 0.1. Caffe's CaffeNet itself
  starts from 1: `caffenet(bias_init=1.0)`;
- dropout, which scales up in training; the paper scales down in evaluation. The mean is the same.
It also differs from the original code (configuration 145): there ReLU 1 follows pool1, a second
normalisation within each map follows norm2, and alpha is divided by n (`lrn="code"`).

`cuda_convnet` is the smallest network for CIFAR-10 that came with the authors' program, the one of
18 % error (layers-18pct.cfg). The paper's Figure 1 and section 3.3 mention such a network of four
layers, which they do not describe.

    layer         kernel, stride   output      parameters
    conv1, ReLU   5x5, 1           32x32x32         2,432
    pool1, norm1  3x3, 2, maximum  16x16x32
    conv2, ReLU   5x5, 1           16x16x32        25,632
    pool2, norm2  3x3, 2, mean      8x8x32
    conv3, ReLU   5x5, 1            8x8x64         51,264
    pool3         3x3, 2, mean      4x4x64
    predictions, softmax                10         10,250
                                     total         89,578

It differs from that program's network by
- the normalisation: AlexNet's over maps; there, within each map;
- initial weights: AlexNet's deviation of 0.01; there, 0.0001 in conv1;
- weight decay, which the recipe sets: there, 0.004 for conv1 to conv3 and 1 for predictions.
"""

from dataclasses import dataclass
from typing import Any, Unpack

import keras

from keras_classics.errors import UserError, unknown_name
from keras_classics.models.builder import (
    CommonArguments,
    ModelBuilder,
    ModelMetadata,
    smallest_side,
)
from keras_classics.models.initializers import kernel_initializer as initial
from keras_classics.models.layers import (
    AdaptiveAveragePooling2D,
    LocalResponseNormalization,
    TowerConv2D,
)
from keras_classics.models.registry import Variant, register, register_variant
from keras_classics.models.replica_layers import Dropout

KRIZHEVSKY_2012 = (
    "Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep Convolutional Neural "
    "Networks, 2012"
)
KRIZHEVSKY_2014 = (
    "Krizhevsky: One Weird Trick for Parallelizing Convolutional Neural Networks, 2014"
)

# Constants of the response normalisation: section 3.3, the original code, Caffe's two networks.
LRN: dict[str, dict[str, Any]] = {
    "paper": {"n": 5, "k": 2.0, "alpha": 1e-4, "beta": 0.75, "divide_alpha_by_n": False},
    "code": {"n": 5, "k": 2.0, "alpha": 1e-4, "beta": 0.75, "divide_alpha_by_n": True},
    "caffe": {"n": 5, "k": 1.0, "alpha": 1e-4, "beta": 0.75, "divide_alpha_by_n": True},
}

# Of the small network: Figure 1 of the paper has the first two.
ACTIVATIONS = ("relu", "tanh", "sigmoid")

# Section 5: layers whose biases start from `bias_init`, which gives their ReLUs positive inputs.
FED_BY_BIAS = ("conv2", "conv4", "conv5", "fc6", "fc7")


@dataclass(frozen=True)
class Config:
    """What tells one AlexNet from another, besides the arguments of its builder.

    Attributes:
        filters: Of conv1 to conv5.
        conv1_padding: Zeros before and after the image, on both axes.
        pool_first: Whether pooling comes before normalisation.
        head_side: Side of the map that adaptive pooling makes for fc6; None: no such pooling.
        dropout_first: Whether dropout stands before fc6 and fc7 or after them.
        fed_by_bias: Layers whose biases start from `bias_init`.
    """

    filters: tuple[int, int, int, int, int]
    conv1_padding: tuple[int, int]
    pool_first: bool = False
    head_side: int | None = None
    dropout_first: bool = False
    fed_by_bias: tuple[str, ...] = FED_BY_BIAS

    @property
    def smallest_side(self) -> int:
        """Least side of an image from which pool5 makes one position."""
        pool = (3, 2, 0)
        conv1, conv2, conv3 = (11, 4, sum(self.conv1_padding)), (5, 1, 4), (3, 1, 2)
        return smallest_side([conv1, pool, conv2, pool, conv3, conv3, conv3, pool])


CONFIGS = {
    "2012": Config((96, 256, 384, 384, 256), conv1_padding=(0, 3)),
    # Caffe's CaffeNet: pooling before normalisation.
    "caffenet": Config((96, 256, 384, 384, 256), conv1_padding=(0, 3), pool_first=True),
    # The one-column net as the released program of 2014 and torchvision have it; the paper says 384
    # filters for conv4.
    "owt": Config((64, 192, 384, 256, 256), conv1_padding=(2, 2), head_side=6, dropout_first=True),
    # TF-slim's alexnet_v2: the paper's widths of 2014. At 224 its maps are 54, 26, 12 and 5.
    "slim": Config(
        (64, 192, 384, 384, 256),
        conv1_padding=(0, 0),
        fed_by_bias=("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"),
    ),
}


def alexnet_family(
    variant: Variant[Config],
    *,
    lrn: str | None = None,
    towers: int = 1,
    bias_init: float = 0.1,
    dropout: float = 0.5,
    kernel_initializer: str | keras.initializers.Initializer = "alexnet",
    **common: Unpack[CommonArguments],
) -> keras.Model:
    """Builds an AlexNet.

    The dense layers are sized from the image.

    Args:
        variant: The network; its configuration is one of `CONFIGS`.
        lrn: Constants of the response normalisation after conv1 and conv2: `"paper"`, `"code"`,
            `"caffe"`, or None for no normalisation.
        towers: Number of towers in conv2, conv4 and conv5; 1 or 2.
        bias_init: What the biases of conv2, conv4, conv5, fc6 and fc7 start from; the paper's
            are 1.0.
        dropout: Fraction of fc6 and fc7 that is dropped in training.
        kernel_initializer: A name in `initializers.INITIALIZERS`, such as `"alexnet"` or
            `"alexnet_code"`, or a Keras initializer.
        **common: See `CommonArguments`.

    Returns:
        A model from float images, 0..255 minus their mean, to probabilities (batch, classes).

    Raises:
        UserError: An argument is outside its range.
    """
    if lrn is not None and lrn not in LRN:
        raise unknown_name("lrn", lrn, LRN)
    if towers not in (1, 2):
        raise UserError(f"{variant.name} has towers=1 or 2. Received: {towers}.")
    config = variant.config
    net = ModelBuilder(variant, **common)

    def start(layer: str) -> dict:
        bias = bias_init if layer in config.fed_by_bias else 0.0
        return {
            "kernel_initializer": initial(kernel_initializer, layer),
            "bias_initializer": keras.initializers.Constant(bias),
            "name": layer,
        }

    def convolve(x, number: int, kernel: int, in_towers: bool = False, **options):
        filters = config.filters[number - 1]
        options = {"activation": "relu", "padding": "same", **start(f"conv{number}"), **options}
        if in_towers and towers > 1:
            return TowerConv2D(filters, kernel, groups=towers, **options)(x)
        return keras.layers.Conv2D(filters, kernel, **options)(x)

    def normalize_and_pool(x, number: int):
        steps = [keras.layers.MaxPooling2D(3, 2, name=f"pool{number}")]
        if lrn:
            steps.append(LocalResponseNormalization(**LRN[lrn], name=f"norm{number}"))
        for step in steps if config.pool_first else reversed(steps):
            x = step(x)
        return x

    x = net.image
    if any(config.conv1_padding):
        padding = (config.conv1_padding, config.conv1_padding)
        x = keras.layers.ZeroPadding2D(padding, name="conv1_pad")(x)
    x = normalize_and_pool(convolve(x, 1, 11, strides=4, padding="valid"), 1)
    x = normalize_and_pool(convolve(x, 2, 5, in_towers=True), 2)
    x = convolve(x, 3, 3)
    x = convolve(x, 4, 3, in_towers=True)
    x = convolve(x, 5, 3, in_towers=True)
    x = keras.layers.MaxPooling2D(3, 2, name="pool5")(x)
    if not net.include_top:
        return net.model(net.pool(x))

    if config.head_side:
        x = AdaptiveAveragePooling2D(config.head_side, name="avg_pool")(x)
    x = net.flatten(x)
    for number in (6, 7):
        steps = [
            keras.layers.Dense(4096, activation="relu", **start(f"fc{number}")),
            Dropout(dropout, name=f"dropout{number}"),
        ]
        for step in reversed(steps) if config.dropout_first else steps:
            x = step(x)
    return net.model(net.classify(x, initial(kernel_initializer, "predictions")))


def alexnet_variant(
    name: str, config: str, summary: str, *, paper: str, side: int, torchvision: str = ""
) -> Variant[Config]:
    """Returns an AlexNet of a configuration in `CONFIGS`, to be given to `alexnet_family`."""
    return Variant(
        name=name,
        config=CONFIGS[config],
        summary=summary,
        paper=paper,
        input_shape=(side, side, 3),
        smallest_input=CONFIGS[config].smallest_side,
        classes=1000,
        torchvision=torchvision,
    )


alexnet = register_variant(
    alexnet_family,
    alexnet_variant(
        "alexnet",
        "2012",
        "AlexNet of 2012: two towers, response normalisation, overlapping pooling, dropout.",
        paper=KRIZHEVSKY_2012,
        side=227,
    ),
    lrn="paper",
    towers=2,
)
alexnet_single_tower = register_variant(
    alexnet_family,
    alexnet_variant(
        "alexnet_single_tower",
        "2012",
        "AlexNet of 2012 in one tower, as it is often taught.",
        paper=KRIZHEVSKY_2012,
        side=227,
    ),
    lrn="paper",
)
caffenet = register_variant(
    alexnet_family,
    alexnet_variant(
        "caffenet",
        "caffenet",
        "Caffe's CaffeNet: two towers, pooling before normalisation.",
        paper=KRIZHEVSKY_2012,
        side=227,
    ),
    lrn="caffe",
    towers=2,
    kernel_initializer="caffenet",
)
alexnet_owt = register_variant(
    alexnet_family,
    alexnet_variant(
        "alexnet_owt",
        "owt",
        "AlexNet of 2014 (one weird trick) as torchvision has it: no normalisation.",
        paper=KRIZHEVSKY_2014,
        side=224,
        torchvision="alexnet",
    ),
    bias_init=0.0,
    kernel_initializer="glorot_uniform",
)
alexnet_slim = register_variant(
    alexnet_family,
    alexnet_variant(
        "alexnet_slim",
        "slim",
        "AlexNet of 2014 as TF-slim's alexnet_v2 has it: no normalisation, Xavier initialisation.",
        paper=KRIZHEVSKY_2014,
        side=224,
    ),
    kernel_initializer="alexnet_slim",
)


@register(paper=KRIZHEVSKY_2012, input_shape=(32, 32, 3), smallest_input=8, classes=10)
def cuda_convnet(
    metadata: ModelMetadata,
    *,
    activation: str = "relu",
    lrn: str | None = "paper",
    overlapping: bool = True,
    hidden: tuple[int, ...] = (),
    dropout: float = 0.5,
    kernel_initializer: str | keras.initializers.Initializer = "alexnet",
    **common: Unpack[CommonArguments],
) -> keras.Model:
    """The small network of AlexNet's authors; its layers are listed in models/alexnet.py.

    Images have at least 8x8 pixels. Without top the network ends in pool3's map.

    Args:
        metadata: The network's own.
        activation: `"relu"`, `"tanh"` or `"sigmoid"`.
        lrn: Constants of the response normalisation after pool1 and pool2: `"paper"`, `"code"`,
            `"caffe"`, or None for no normalisation.
        overlapping: Whether pooling windows are 3x3 with stride 2 and overlap, or 2x2 without
            overlap.
        hidden: Units of the dense layers before the last; as published there are none.
        dropout: Fraction of each of them that is dropped in training.
        kernel_initializer: A name in `initializers.INITIALIZERS`, or a Keras initializer.
        **common: See `CommonArguments`.

    Returns:
        A model from float images of shape (batch, 32, 32, 3), 0..255 minus their mean, to
        probabilities of shape (batch, classes).

    Raises:
        UserError: An argument is outside its range.
    """
    if activation not in ACTIVATIONS:
        raise unknown_name("activation", activation, ACTIVATIONS)
    if lrn is not None and lrn not in LRN:
        raise unknown_name("lrn", lrn, LRN)
    net = ModelBuilder(metadata, **common)

    def start(layer: str) -> dict:
        return {"kernel_initializer": initial(kernel_initializer, layer), "name": layer}

    def convolve_and_pool(x, number: int, filters: int, pooling):
        conv = keras.layers.Conv2D(
            filters, 5, padding="same", activation=activation, **start(f"conv{number}")
        )
        window = 3 if overlapping else 2
        return pooling(window, 2, padding="same", name=f"pool{number}")(conv(x))

    def normalize(x, number: int):
        return LocalResponseNormalization(**LRN[lrn], name=f"norm{number}")(x) if lrn else x

    x = normalize(convolve_and_pool(net.image, 1, 32, keras.layers.MaxPooling2D), 1)
    x = normalize(convolve_and_pool(x, 2, 32, keras.layers.AveragePooling2D), 2)
    x = convolve_and_pool(x, 3, 64, keras.layers.AveragePooling2D)
    if not net.include_top:
        return net.model(net.pool(x))

    x = net.flatten(x)
    for number, units in enumerate(hidden, 1):
        x = keras.layers.Dense(units, activation=activation, **start(f"fc{number}"))(x)
        x = Dropout(dropout, name=f"dropout{number}")(x)
    return net.model(net.classify(x, initial(kernel_initializer, "predictions")))
