"""ResNet: residual and plain networks for ImageNet and CIFAR, in their three versions.

Papers: K. He, X. Zhang, S. Ren, J. Sun, Deep Residual Learning for Image Recognition, CVPR 2016
(arXiv 1512.03385), v1. The same, Identity Mappings in Deep Residual Networks, ECCV 2016 (arXiv
1603.05027), v2.

    version  a unit's branch                       stride 2 of a stage stands in
    v1       conv-BN-ReLU, ReLU after the sum      the first convolution of the first unit
    v1.5     the same                              its 3x3 convolution (torchvision)
    v2       BN-ReLU-conv, nothing after the sum   as v1
    v2_keras the same, as keras.applications does  the 3x3 convolution of the last unit

    shortcut where the shape changes               elsewhere
    A        every second position, zero maps      identity
    B        1x1 projection                        identity
    C        1x1 projection                        1x1 projection
    none     none: a plain network                 none

Every convolution is without bias, is padded alike on both sides, and starts from He's initial
weights. The networks differ from the papers by the last dense layer's initial weights, Glorot's.
v2's first unit finds its batch normalisation and ReLU right after conv1 (second paper, appendix).

`v2_keras` is there for the weights of keras.applications' ResNet50V2, 101V2 and 152V2. It differs
from the second paper by the place of the stride, which takes every second position of the shortcut
and comes one stage earlier; by pooling conv1 before any normalisation; by biases in conv1, in the
projections and in each unit's last convolution; and by epsilon, 1.001e-5.
"""

import sys
from dataclasses import dataclass
from functools import partial
from typing import Unpack

import keras

from keras_classics.errors import UserError, unknown_name
from keras_classics.models.builder import CommonArguments, ModelBuilder
from keras_classics.models.initializers import kernel_initializer as initial
from keras_classics.models.layers import BatchNormalization, IdentityShortcut
from keras_classics.models.registry import member

HE_2015 = "He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, 2015"
HE_2016 = "He, Zhang, Ren, Sun: Identity Mappings in Deep Residual Networks, 2016"

# Sides of a unit's convolutions; the last of a bottleneck is four times as wide.
BASIC = (3, 3)
BOTTLENECK = (1, 3, 1)

# First paper, Table 1: the units, and their number in conv2_x to conv5_x.
IMAGENET = {
    18: (BASIC, (2, 2, 2, 2)),
    34: (BASIC, (3, 4, 6, 3)),
    50: (BOTTLENECK, (3, 4, 6, 3)),
    101: (BOTTLENECK, (3, 4, 23, 3)),
    152: (BOTTLENECK, (3, 8, 36, 3)),
}
IMAGENET_WIDTHS = (64, 128, 256, 512)

# Section 4.2: three stages of n units each, depth 6n + 2; second paper: bottlenecks, 9n + 2.
CIFAR_WIDTHS = (16, 32, 64)

# Keras walks a network from its end by recursion, a call a layer, when it builds or loads one; a
# plain network of 1202 convolutions takes 3,600.
sys.setrecursionlimit(max(sys.getrecursionlimit(), 10_000))

VERSIONS = ("v1", "v1.5", "v2", "v2_keras")
SHORTCUTS = ("A", "B", "C", "none")


def resnet(
    depth: int,
    *,
    version: str = "v1",
    shortcut: str = "B",
    zero_init_residual: bool = False,
    kernel_initializer: str | keras.initializers.Initializer = "he_fan_in",
    classes: int = 1000,
    default_shape: tuple[int, int, int] = (224, 224, 3),
    name: str | None = None,
    **common: Unpack[CommonArguments],
) -> keras.Model:
    """Builds a residual or plain network for ImageNet.

    Args:
        depth: 18, 34, 50, 101 or 152.
        version: `"v1"`, `"v1.5"`, `"v2"`, or for bottlenecks `"v2_keras"`.
        shortcut: `"A"`, `"B"`, `"C"` or `"none"`.
        zero_init_residual: Whether every branch starts from zero, so that units start as
            identities: the last batch normalisation's gamma, in v2 the last kernel.
        kernel_initializer: A name in `initializers.INITIALIZERS`, such as `"he_fan_out"`, or what
            Keras takes; of the convolutions.
        classes: Number of classes.
        default_shape: (height, width, channels) where the caller gives none.
        name: Name of the model.
        **common: See `CommonArguments`. Images may have any size.

    Returns:
        A model from normalised float images to probabilities of shape (batch, classes).

    Raises:
        UserError: An argument is outside what it can be.
    """
    if depth not in IMAGENET:
        raise UserError(
            f"depth must be one of {', '.join(map(str, IMAGENET))}; resnet_cifar takes 6n + 2. "
            f"Received: {depth}."
        )
    kernels, repeats = IMAGENET[depth]
    net = Residual(kernels, version, shortcut, zero_init_residual, kernel_initializer)
    name = name or f"resnet{depth}"
    frame = ModelBuilder(name, default_shape=default_shape, classes=classes, smallest=1, **common)
    x = net.convolve(frame.image, 64, 7, 2, "conv1", bias=version == "v2_keras")
    if version != "v2_keras":
        x = net.normalize_and_activate(x, "conv1")
    # Zeros, not the least number: they follow a ReLU, and keras.applications pads so without one.
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = keras.layers.MaxPooling2D(3, 2, name="pool1_pool")(x)
    return net.finish(frame, net.stages(x, IMAGENET_WIDTHS, repeats))


def resnet_cifar(
    depth: int,
    *,
    bottleneck: bool = False,
    version: str = "v1",
    shortcut: str = "A",
    zero_init_residual: bool = False,
    kernel_initializer: str | keras.initializers.Initializer = "he_fan_in",
    classes: int = 10,
    default_shape: tuple[int, int, int] = (32, 32, 3),
    name: str | None = None,
    **common: Unpack[CommonArguments],
) -> keras.Model:
    """Builds a residual or plain network for CIFAR.

    Args:
        depth: 6n + 2, or with bottlenecks 9n + 2.
        bottleneck: Whether units are bottlenecks, four times as wide at their ends.
        version: As in `resnet`, like all that follow.
        shortcut: See there.
        zero_init_residual: See there.
        kernel_initializer: See there.
        classes: Number of classes.
        default_shape: (height, width, channels) where the caller gives none.
        name: Name of the model.
        **common: See `CommonArguments`. Images may have any size.

    Returns:
        A model from normalised float images to probabilities of shape (batch, classes).

    Raises:
        UserError: An argument is outside what it can be.
    """
    layers = 9 if bottleneck else 6
    units, rest = divmod(depth - 2, layers)
    if rest or units < 1:
        kind = "with" if bottleneck else "without"
        raise UserError(
            f"depth must be {layers}n + 2 {kind} bottlenecks, such as {layers + 2} or "
            f"{9 * layers + 2}. Received: {depth}."
        )
    if version == "v2_keras":
        raise UserError("version='v2_keras' is for ImageNet's networks alone. Take version='v2'.")
    kernels = BOTTLENECK if bottleneck else BASIC
    net = Residual(kernels, version, shortcut, zero_init_residual, kernel_initializer)
    name = name or f"resnet{depth}"
    frame = ModelBuilder(name, default_shape=default_shape, classes=classes, smallest=1, **common)
    x = net.convolve(frame.image, 16, 3, 1, "conv1")
    x = net.normalize_and_activate(x, "conv1")
    return net.finish(frame, net.stages(x, CIFAR_WIDTHS, (units,) * 3))


@dataclass(frozen=True)
class Residual:
    """Everything between the stem and the classifier, for all depths.

    Attributes:
        kernels: Sides of a unit's convolutions, `BASIC` or `BOTTLENECK`.
        version: One of `VERSIONS`.
        shortcut: One of `SHORTCUTS`.
        zero_init_residual: See `resnet`.
        kernel_initializer: See `resnet`.
    """

    kernels: tuple[int, ...]
    version: str
    shortcut: str
    zero_init_residual: bool
    kernel_initializer: str | keras.initializers.Initializer

    def __post_init__(self):
        if self.version not in VERSIONS:
            raise unknown_name("version", self.version, VERSIONS)
        if self.version == "v2_keras" and self.kernels != BOTTLENECK:
            raise UserError(
                "version='v2_keras' is for bottlenecks, depths 50, 101 and 152. Take version='v2'."
            )
        if self.shortcut not in SHORTCUTS:
            raise unknown_name("shortcut", self.shortcut, SHORTCUTS)
        if self.zero_init_residual and self.shortcut == "none":
            raise UserError(
                "zero_init_residual needs shortcuts: a plain network of zeros computes nothing. "
                "Received: shortcut='none'."
            )

    def stages(self, x, widths: tuple[int, ...], repeats: tuple[int, ...]):
        """Stacks conv2_x and on: stages of units, each but the first at half the resolution."""
        preactivates = self.version in ("v2", "v2_keras")
        for stage, (width, units) in enumerate(zip(widths, repeats, strict=True), 2):
            for unit in range(1, units + 1):
                name = f"conv{stage}_block{unit}"
                if self.version == "v2_keras":
                    strided = unit == units and stage <= len(widths)
                else:
                    strided = unit == 1 and stage > 2
                build = self._unit_v2 if preactivates else self._unit_v1
                x = build(x, width, 2 if strided else 1, name)
        return self.normalize_and_activate(x, "post") if preactivates else x

    def _unit_v1(self, x, width: int, stride: int, name: str):
        branch = x
        convolutions = self._convolutions(width, stride)
        for i, (filters, kernel, step) in enumerate(convolutions, 1):
            branch = self.convolve(branch, filters, kernel, step, f"{name}_{i}")
            if i < len(convolutions):
                branch = self.normalize_and_activate(branch, f"{name}_{i}")
        gamma = "zeros" if self.zero_init_residual else "ones"
        branch = self.normalize(branch, f"{name}_{i}", gamma)
        if self.shortcut != "none":
            side = self._shortcut(x, filters, stride, name)
            branch = keras.layers.Add(name=f"{name}_add")([side, branch])
        return keras.layers.Activation("relu", name=f"{name}_out")(branch)

    def _unit_v2(self, x, width: int, stride: int, name: str):
        activated = self.version == "v2" and name == "conv2_block1"
        branch = x if activated else self.normalize_and_activate(x, f"{name}_preact")
        # A projection shares the branch's activation.
        start = branch
        convolutions = self._convolutions(width, stride)
        for i, (filters, kernel, step) in enumerate(convolutions, 1):
            last = i == len(convolutions)
            zero = last and self.zero_init_residual
            bias = last and self.version == "v2_keras"
            branch = self.convolve(branch, filters, kernel, step, f"{name}_{i}", zero, bias)
            if not last:
                branch = self.normalize_and_activate(branch, f"{name}_{i}")
        if self.shortcut == "none":
            return branch
        projects = self._projects(x, filters, stride)
        side = self._shortcut(start if projects else x, filters, stride, name)
        return keras.layers.Add(name=f"{name}_out")([side, branch])

    def _convolutions(self, width: int, stride: int) -> list[tuple[int, int, int]]:
        """Filters, side and stride of a unit's convolutions."""
        filters = [width] * len(self.kernels)
        if self.kernels == BOTTLENECK:
            filters[-1] = 4 * width
        strided = self.kernels.index(3) if self.version in ("v1.5", "v2_keras") else 0
        strides = [stride if i == strided else 1 for i in range(len(self.kernels))]
        return list(zip(filters, self.kernels, strides, strict=True))

    def _projects(self, x, filters: int, stride: int) -> bool:
        # Keras takes every second position of what has the right width already.
        changes = x.shape[-1] != filters or (stride > 1 and self.version != "v2_keras")
        return self.shortcut == "C" or (self.shortcut == "B" and changes)

    def _shortcut(self, x, filters: int, stride: int, name: str):
        if self._projects(x, filters, stride):
            x = self.convolve(x, filters, 1, stride, f"{name}_0", bias=self.version == "v2_keras")
            return x if self.version in ("v2", "v2_keras") else self.normalize(x, f"{name}_0")
        if stride > 1 or x.shape[-1] != filters:
            return IdentityShortcut(filters, stride, name=f"{name}_0_identity")(x)
        return x

    def convolve(
        self, x, filters: int, kernel: int, stride: int, name: str, zero=False, bias=False
    ):
        """Convolves with the same padding on both sides, also with a stride."""
        padding = "same"
        if stride > 1:
            padding = "valid"
            if kernel > 1:
                x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
        scheme = "zeros" if zero else self.kernel_initializer
        return keras.layers.Conv2D(
            filters,
            kernel,
            stride,
            padding=padding,
            use_bias=bias,
            kernel_initializer=initial(scheme, f"{name}_conv"),
            name=f"{name}_conv",
        )(x)

    def normalize(self, x, name: str, gamma: str = "ones"):
        """Batch normalisation with torchvision's momentum and epsilon; the papers print neither."""
        epsilon = 1.001e-5 if self.version == "v2_keras" else 1e-5
        return BatchNormalization(
            momentum=0.9, epsilon=epsilon, gamma_initializer=gamma, name=f"{name}_bn"
        )(x)

    def normalize_and_activate(self, x, name: str):
        """Batch normalisation and ReLU."""
        return keras.layers.Activation("relu", name=f"{name}_relu")(self.normalize(x, name))

    def finish(self, frame: ModelBuilder, x) -> keras.Model:
        """Ends in the classifier over the mean of all positions, or without top."""
        if not frame.include_top:
            return frame.model(frame.pool(x))
        x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
        return frame.model(frame.classify(x))


def _member(family, paper: str, side: int, classes: int, name: str, depth: int, **defaults):
    """Enters a network of one of the two families; names of others that it equals are facts."""
    equals = {kind: defaults.pop(kind, "") for kind in ("torchvision", "keras_applications")}
    kind = "Plain" if defaults.get("shortcut") == "none" else "Residual"
    return member(
        family,
        depth,
        name=name,
        summary=f"{kind} network of {depth} layers for {side}x{side} images.",
        facts={
            "paper": paper,
            "input_shape": (side, side, 3),
            "smallest_input": 1,
            "classes": classes,
            **equals,
        },
        **defaults,
    )


_imagenet = partial(_member, resnet, HE_2015, 224, 1000)
_cifar = partial(_member, resnet_cifar, HE_2015, 32, 10)
_preactivation = partial(
    _member, resnet_cifar, HE_2016, 32, 10, bottleneck=True, version="v2", shortcut="B"
)

KERAS_APPLICATIONS = 'ResNet{} without its convolutions\' biases; V2 with `version="v2_keras"`'

resnet18 = _imagenet("resnet18", 18, torchvision="resnet18")
resnet34 = _imagenet("resnet34", 34, torchvision="resnet34")
resnet50 = _imagenet(
    "resnet50",
    50,
    torchvision='resnet50, with `version="v1.5"`',
    keras_applications=KERAS_APPLICATIONS.format(50),
)
resnet101 = _imagenet(
    "resnet101",
    101,
    torchvision='resnet101, with `version="v1.5"`',
    keras_applications=KERAS_APPLICATIONS.format(101),
)
resnet152 = _imagenet(
    "resnet152",
    152,
    torchvision='resnet152, with `version="v1.5"`',
    keras_applications=KERAS_APPLICATIONS.format(152),
)
plain18 = _imagenet("plain18", 18, shortcut="none")
plain34 = _imagenet("plain34", 34, shortcut="none")

resnet20 = _cifar("resnet20", 20)
resnet32 = _cifar("resnet32", 32)
resnet44 = _cifar("resnet44", 44)
resnet56 = _cifar("resnet56", 56)
resnet110 = _cifar("resnet110", 110)
resnet1202 = _cifar("resnet1202", 1202)
plain20 = _cifar("plain20", 20, shortcut="none")
plain32 = _cifar("plain32", 32, shortcut="none")
plain44 = _cifar("plain44", 44, shortcut="none")
plain56 = _cifar("plain56", 56, shortcut="none")
plain110 = _cifar("plain110", 110, shortcut="none")

resnet164 = _preactivation("resnet164", 164)
resnet1001 = _preactivation("resnet1001", 1001)
