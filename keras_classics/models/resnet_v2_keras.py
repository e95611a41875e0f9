"""ResNet50V2, 101V2 and 152V2 as keras.applications has them, to take its weights.

They differ from He et al. 2016 (models/resnet.py, `version="v2"`) by
- the stride, which stands in the 3x3 convolution of a stage's last unit. Its shortcut takes every
  second position. So each stage halves the resolution one unit earlier;
- the stem, which pools conv1 before any normalisation;
- biases in conv1, in the projections and in the last convolution of each unit;
- epsilon, 1.001e-5.
"""

import keras

from keras_classics.models.builder import ModelBuilder
from keras_classics.models.residual import ResidualLayers, mean_and_classify, padded_max_pool

EPSILON = 1.001e-5


def resnet_v2_keras(
    net: ModelBuilder, layers: ResidualLayers, widths: tuple[int, ...], repeats: tuple[int, ...]
) -> keras.Model:
    """Builds the network.

    Args:
        net: Its input and top.
        layers: Its layers, with `EPSILON`.
        widths: Maps of the 3x3 convolutions of each stage.
        repeats: Units of each stage.
    """
    x = layers.conv(net.image, 64, 7, 2, "conv1", bias=True)
    x = padded_max_pool(x)
    for stage, (width, units) in enumerate(zip(widths, repeats, strict=True), 2):
        for number in range(1, units + 1):
            strided = number == units and stage <= len(widths)
            x = unit(layers, x, width, 2 if strided else 1, f"conv{stage}_block{number}")
    x = layers.bn_relu(x, "post")
    return mean_and_classify(net, x)


def unit(layers: ResidualLayers, x, width: int, stride: int, name: str):
    """Bottleneck with full pre-activation, the stride in its 3x3 convolution."""
    activated = layers.bn_relu(x, f"{name}_preact")
    y = layers.conv_bn_relu(activated, width, 1, 1, f"{name}_1")
    y = layers.conv_bn_relu(y, width, 3, stride, f"{name}_2")
    zeros = layers.zero_init_residual
    y = layers.conv(y, 4 * width, 1, 1, f"{name}_3", zeros=zeros, bias=True)
    if layers.shortcut == "none":
        return y
    if layers.projects(x.shape[-1] != 4 * width):
        shortcut = layers.conv(activated, 4 * width, 1, stride, f"{name}_0", bias=True)
    else:
        shortcut = layers.identity(x, 4 * width, stride, name)
    return keras.layers.Add(name=f"{name}_out")([shortcut, y])
