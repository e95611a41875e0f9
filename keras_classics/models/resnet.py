"""ResNet: residual and plain networks for ImageNet and CIFAR, in their versions.

Papers: K. He, X. Zhang, S. Ren, J. Sun, Deep Residual Learning for Image Recognition, CVPR 2016
(arXiv 1512.03385), v1. The same, Identity Mappings in Deep Residual Networks, ECCV 2016 (arXiv
1603.05027), v2.

    version  a unit's branch                       stride 2 of a stage is in
    v1       conv-BN-ReLU, ReLU after the sum      the first convolution of the first unit
    v1.5     the same                              its 3x3 convolution (torchvision)
    v1_caffe the same, and pool1 rounds up         as v1; the authors' own files for Caffe
    v2       BN-ReLU-conv, nothing after the sum   as v1
    v2_keras BN-ReLU-conv                          see models/resnet_v2_keras.py

    shortcut where the shape changes               elsewhere
    A        every second position, zero maps      identity
    B        1x1 projection                        identity
    C        1x1 projection                        1x1 projection
    none     none: a plain network                 none

All convolutions are without bias, are padded alike on both sides, and start from He's initial
weights. The networks differ from the papers by the initial weights of the last dense layer, which
are Glorot's. In v2 the batch normalisation and ReLU of the first unit come right after conv1
(second paper, appendix).
"""

from collections.abc import Callable
from functools import partial
from typing import Unpack

import keras

from keras_classics.errors import UserError, unknown_name
from keras_classics.models.builder import CommonArguments, ModelBuilder
from keras_classics.models.recursion import allow_layers
from keras_classics.models.registry import Variant, register_variant
from keras_classics.models.residual import ResidualLayers, mean_and_classify, padded_max_pool
from keras_classics.models.resnet_v2_keras import EPSILON, resnet_v2_keras

HE_2015 = "He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, 2015"
HE_2016 = "He, Zhang, Ren, Sun: Identity Mappings in Deep Residual Networks, 2016"

# First paper, Table 1: whether units are bottlenecks, and their number in conv2_x to conv5_x.
IMAGENET = {
    18: (False, (2, 2, 2, 2)),
    34: (False, (3, 4, 6, 3)),
    50: (True, (3, 4, 6, 3)),
    101: (True, (3, 4, 23, 3)),
    152: (True, (3, 8, 36, 3)),
}
IMAGENET_WIDTHS = (64, 128, 256, 512)

# Section 4.2: three stages of n units each, depth 6n + 2; second paper: bottlenecks, 9n + 2.
CIFAR_WIDTHS = (16, 32, 64)

VERSIONS = ("v1", "v1.5", "v1_caffe", "v2", "v2_keras")

# Caffe pools conv1 without padding and rounds up: an image of 2 pixels has no window.
SMALLEST_IN_CAFFE = 3


def resnet(
    variant: Variant[int],
    *,
    version: str = "v1",
    shortcut: str = "B",
    zero_init_residual: bool = False,
    kernel_initializer: str | keras.initializers.Initializer = "he_fan_in",
    **common: Unpack[CommonArguments],
) -> keras.Model:
    """Builds a residual or plain network for ImageNet.

    Images may have any size.

    Args:
        variant: The network; its configuration is its depth, a key of `IMAGENET`.
        version: `"v1"`, `"v1.5"`, `"v1_caffe"`, `"v2"`, or for bottlenecks `"v2_keras"`.
        shortcut: `"A"`, `"B"`, `"C"` or `"none"`.
        zero_init_residual: Whether every branch starts from zero, so that units start as
            identities: the last batch normalisation's gamma, in v2 the last kernel.
        kernel_initializer: A name in `initializers.INITIALIZERS`, such as `"he_fan_out"`, or a
            Keras initializer; for the convolutions.
        **common: See `CommonArguments`.

    Returns:
        A model from normalised float images to probabilities of shape (batch, classes).

    Raises:
        UserError: An argument is outside its range.
    """
    if version not in VERSIONS:
        raise unknown_name("version", version, VERSIONS)
    bottleneck, repeats = IMAGENET[variant.config]
    in_caffe = version == "v1_caffe"
    net = ModelBuilder(variant, smallest_input=SMALLEST_IN_CAFFE if in_caffe else None, **common)
    if version == "v2_keras":
        if not bottleneck:
            raise UserError(
                "version='v2_keras' is for bottlenecks, depths 50, 101 and 152. Take version='v2'."
            )
        layers = ResidualLayers(shortcut, zero_init_residual, kernel_initializer, EPSILON)
        return resnet_v2_keras(net, layers, IMAGENET_WIDTHS, repeats)
    layers = ResidualLayers(shortcut, zero_init_residual, kernel_initializer)
    x = layers.conv_bn_relu(net.image, 64, 7, 2, "conv1")
    x = padded_max_pool(x, rounds_up=in_caffe)
    x = stages(layers, x, UNITS[version, bottleneck], IMAGENET_WIDTHS, repeats)
    if version == "v2":
        x = layers.bn_relu(x, "post")
    return mean_and_classify(net, x)


def resnet_cifar(
    variant: Variant[int],
    *,
    bottleneck: bool = False,
    version: str = "v1",
    shortcut: str = "A",
    zero_init_residual: bool = False,
    kernel_initializer: str | keras.initializers.Initializer = "he_fan_in",
    **common: Unpack[CommonArguments],
) -> keras.Model:
    """Builds a residual or plain network for CIFAR.

    Images may have any size.

    Args:
        variant: The network; its configuration is its depth, 6n + 2, or with bottlenecks 9n + 2.
        bottleneck: Whether units are bottlenecks, four times as wide at their ends.
        version: `"v1"`, `"v1.5"` or `"v2"`.
        shortcut: `"A"`, `"B"`, `"C"` or `"none"`.
        zero_init_residual: Whether every branch starts from zero, so that units start as
            identities: the last batch normalisation's gamma, in v2 the last kernel.
        kernel_initializer: A name in `initializers.INITIALIZERS`, such as `"he_fan_out"`, or a
            Keras initializer; for the convolutions.
        **common: See `CommonArguments`.

    Returns:
        A model from normalised float images to probabilities of shape (batch, classes).

    Raises:
        UserError: An argument is outside its range.
    """
    if version in ("v2_keras", "v1_caffe"):
        raise UserError(
            f"version={version!r} is for ImageNet's networks only. Take version={version[:2]!r}."
        )
    if version not in VERSIONS:
        raise unknown_name("version", version, VERSIONS)
    depth = variant.config
    units = units_per_stage(depth, bottleneck)
    net = ModelBuilder(variant, **common)
    layers = ResidualLayers(shortcut, zero_init_residual, kernel_initializer)
    x = layers.conv_bn_relu(net.image, 16, 3, 1, "conv1")
    x = stages(layers, x, UNITS[version, bottleneck], CIFAR_WIDTHS, (units,) * 3)
    if version == "v2":
        x = layers.bn_relu(x, "post")
    allow_layers(3 * depth)
    return mean_and_classify(net, x)


def units_per_stage(depth: int, bottleneck: bool) -> int:
    """Returns n of a CIFAR network of 6n + 2 layers, or with bottlenecks 9n + 2.

    Raises:
        UserError: No n gives that depth.
    """
    layers = 9 if bottleneck else 6
    units, rest = divmod(depth - 2, layers)
    if rest or units < 1:
        kind = "with" if bottleneck else "without"
        raise UserError(
            f"depth must be {layers}n + 2 {kind} bottlenecks, such as {layers + 2} or "
            f"{9 * layers + 2}. Received: {depth}."
        )
    return units


def stages(
    layers: ResidualLayers, x, unit: Callable, widths: tuple[int, ...], repeats: tuple[int, ...]
):
    """Stacks conv2_x and on: stages of units, each but the first at half the resolution."""
    for stage, (width, units) in enumerate(zip(widths, repeats, strict=True), 2):
        for number in range(1, units + 1):
            stride = 2 if number == 1 and stage > 2 else 1
            x = unit(layers, x, width, stride, f"conv{stage}_block{number}")
    return x


# First paper, Figure 5: the building block and the bottleneck.


def basic_unit(layers: ResidualLayers, x, width: int, stride: int, name: str):
    """3x3, 3x3, and the shortcut."""
    y = layers.conv_bn_relu(x, width, 3, stride, f"{name}_1")
    y = layers.conv(y, width, 3, 1, f"{name}_2")
    y = layers.bn(y, f"{name}_2", layers.last_gamma)
    return _add_shortcut(layers, x, y, stride, name)


def bottleneck_unit(
    layers: ResidualLayers, x, width: int, stride: int, name: str, *, stride_in_3x3: bool = False
):
    """1x1, 3x3, 1x1 to four times as many maps, and the shortcut."""
    first, second = (1, stride) if stride_in_3x3 else (stride, 1)
    y = layers.conv_bn_relu(x, width, 1, first, f"{name}_1")
    y = layers.conv_bn_relu(y, width, 3, second, f"{name}_2")
    y = layers.conv(y, 4 * width, 1, 1, f"{name}_3")
    y = layers.bn(y, f"{name}_3", layers.last_gamma)
    return _add_shortcut(layers, x, y, stride, name)


def _add_shortcut(layers: ResidualLayers, x, y, stride: int, name: str):
    if layers.shortcut != "none":
        filters = y.shape[-1]
        if layers.projects(stride > 1 or x.shape[-1] != filters):
            x = layers.bn(layers.conv(x, filters, 1, stride, f"{name}_0"), f"{name}_0")
        else:
            x = layers.identity(x, filters, stride, name)
        y = keras.layers.Add(name=f"{name}_add")([x, y])
    return keras.layers.Activation("relu", name=f"{name}_out")(y)


# Second paper, Figure 4 (e): the same with full pre-activation.


def basic_unit_v2(layers: ResidualLayers, x, width: int, stride: int, name: str):
    """3x3, 3x3, and the shortcut."""
    activated = _preactivate(layers, x, name)
    y = layers.conv_bn_relu(activated, width, 3, stride, f"{name}_1")
    y = layers.conv(y, width, 3, 1, f"{name}_2", zeros=layers.zero_init_residual)
    return _add_shortcut_v2(layers, x, activated, y, stride, name)


def bottleneck_unit_v2(layers: ResidualLayers, x, width: int, stride: int, name: str):
    """1x1, 3x3, 1x1 to four times as many maps, and the shortcut."""
    activated = _preactivate(layers, x, name)
    y = layers.conv_bn_relu(activated, width, 1, stride, f"{name}_1")
    y = layers.conv_bn_relu(y, width, 3, 1, f"{name}_2")
    y = layers.conv(y, 4 * width, 1, 1, f"{name}_3", zeros=layers.zero_init_residual)
    return _add_shortcut_v2(layers, x, activated, y, stride, name)


def _preactivate(layers: ResidualLayers, x, name: str):
    # The stem has activated the input of the first unit.
    return x if name == "conv2_block1" else layers.bn_relu(x, f"{name}_preact")


def _add_shortcut_v2(layers: ResidualLayers, x, activated, y, stride: int, name: str):
    if layers.shortcut == "none":
        return y
    filters = y.shape[-1]
    if layers.projects(stride > 1 or x.shape[-1] != filters):
        # A projection shares the branch's activation.
        x = layers.conv(activated, filters, 1, stride, f"{name}_0")
    else:
        x = layers.identity(x, filters, stride, name)
    return keras.layers.Add(name=f"{name}_out")([x, y])


# By version, and whether units are bottlenecks.
UNITS: dict[tuple[str, bool], Callable] = {
    ("v1", False): basic_unit,
    ("v1", True): bottleneck_unit,
    ("v1.5", False): basic_unit,
    ("v1.5", True): partial(bottleneck_unit, stride_in_3x3=True),
    ("v1_caffe", False): basic_unit,
    ("v1_caffe", True): bottleneck_unit,
    ("v2", False): basic_unit_v2,
    ("v2", True): bottleneck_unit_v2,
}


def imagenet_variant(
    depth: int,
    name: str | None = None,
    *,
    torchvision: str = "",
    keras_applications: str = "",
) -> Variant[int]:
    """Returns a network of a depth in `IMAGENET`, to be given to `resnet`.

    Args:
        depth: 18, 34, 50, 101 or 152.
        name: By default `resnet` and the depth; a name with `plain` is of a plain network.
        torchvision: See `ModelMetadata`.
        keras_applications: See there.

    Raises:
        UserError: ImageNet's networks do not have that depth.
    """
    if depth not in IMAGENET:
        raise UserError(
            f"depth must be one of {', '.join(map(str, IMAGENET))}; resnet_cifar takes 6n + 2. "
            f"Received: {depth}."
        )
    name = name or f"resnet{depth}"
    return Variant(
        name=name,
        config=depth,
        summary=_summary(name, depth, 224),
        paper=HE_2015,
        input_shape=(224, 224, 3),
        smallest_input=1,
        classes=1000,
        torchvision=torchvision,
        keras_applications=keras_applications,
    )


def cifar_variant(depth: int, name: str | None = None, *, paper: str = HE_2015) -> Variant[int]:
    """Returns a network for CIFAR, to be given to `resnet_cifar`.

    Args:
        depth: 6n + 2, or with bottlenecks 9n + 2.
        name: By default `resnet` and the depth; a name with `plain` is of a plain network.
        paper: See `ModelMetadata`.
    """
    name = name or f"resnet{depth}"
    return Variant(
        name=name,
        config=depth,
        summary=_summary(name, depth, 32),
        paper=paper,
        input_shape=(32, 32, 3),
        smallest_input=1,
        classes=10,
    )


def _summary(name: str, depth: int, side: int) -> str:
    kind = "Plain" if name.startswith("plain") else "Residual"
    return f"{kind} network of {depth} layers for {side}x{side} images."


def _bottleneck_variant(depth: int) -> Variant[int]:
    return imagenet_variant(
        depth,
        torchvision=f'resnet{depth}, with `version="v1.5"`',
        keras_applications=(
            f'ResNet{depth} without its convolutions\' biases; V2 with `version="v2_keras"`'
        ),
    )


resnet18 = register_variant(resnet, imagenet_variant(18, torchvision="resnet18"))
resnet34 = register_variant(resnet, imagenet_variant(34, torchvision="resnet34"))
resnet50 = register_variant(resnet, _bottleneck_variant(50))
resnet101 = register_variant(resnet, _bottleneck_variant(101))
resnet152 = register_variant(resnet, _bottleneck_variant(152))
plain18 = register_variant(resnet, imagenet_variant(18, "plain18"), shortcut="none")
plain34 = register_variant(resnet, imagenet_variant(34, "plain34"), shortcut="none")

resnet20 = register_variant(resnet_cifar, cifar_variant(20))
resnet32 = register_variant(resnet_cifar, cifar_variant(32))
resnet44 = register_variant(resnet_cifar, cifar_variant(44))
resnet56 = register_variant(resnet_cifar, cifar_variant(56))
resnet110 = register_variant(resnet_cifar, cifar_variant(110))
resnet1202 = register_variant(resnet_cifar, cifar_variant(1202))
plain20 = register_variant(resnet_cifar, cifar_variant(20, "plain20"), shortcut="none")
plain32 = register_variant(resnet_cifar, cifar_variant(32, "plain32"), shortcut="none")
plain44 = register_variant(resnet_cifar, cifar_variant(44, "plain44"), shortcut="none")
plain56 = register_variant(resnet_cifar, cifar_variant(56, "plain56"), shortcut="none")
plain110 = register_variant(resnet_cifar, cifar_variant(110, "plain110"), shortcut="none")

resnet164 = register_variant(
    resnet_cifar,
    cifar_variant(164, paper=HE_2016),
    bottleneck=True,
    version="v2",
    shortcut="B",
)
resnet1001 = register_variant(
    resnet_cifar,
    cifar_variant(1001, paper=HE_2016),
    bottleneck=True,
    version="v2",
    shortcut="B",
)
