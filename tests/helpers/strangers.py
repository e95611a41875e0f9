"""Shapes of networks that are none of those here, by torch's names and layout."""

from collections.abc import Sequence

from tests.helpers import pytorchcv_names

Shapes = dict[str, tuple[int, ...]]


def conv(name: str, filters: int, inputs: int, *sides: int, bias: bool = False) -> Shapes:
    sides = sides * 2 if len(sides) == 1 else sides
    shapes: Shapes = {f"{name}.weight": (filters, inputs, *sides)}
    return {**shapes, f"{name}.bias": (filters,)} if bias else shapes


def norm(name: str, maps: int) -> Shapes:
    return {f"{name}.{v}": (maps,) for v in ("weight", "bias", "running_mean", "running_var")}


def dense(name: str, units: int, inputs: int) -> Shapes:
    return {f"{name}.weight": (units, inputs), f"{name}.bias": (units,)}


def resnet(
    units: Sequence[int] = (3, 4, 6, 3),
    bottleneck: bool = True,
    groups: int = 1,
    width: int = 64,
    attention: str = "",
    stem: str = "7x7",
    averaged: bool = False,
    classes: int = 1000,
    sides: tuple[int, ...] = (3, 3),
) -> Shapes:
    """ResNets as torchvision and timm name them, and their relatives.

    Args:
        units: Number of units of each stage.
        bottleneck: Whether units are bottlenecks.
        groups: Of the 3x3 convolutions.
        width: Filters of the first stage's 3x3 convolutions: 128 in ResNeXt and in Wide ResNets.
        attention: `"se"`, `"cbam"` or "".
        stem: `"7x7"`, `"deep"` or `"3x3"`.
        averaged: Whether shortcuts average before they project.
        classes: Number of classes.
        sides: Of the kernels: three of 3-D networks.
    """
    shapes: Shapes = {}
    if stem == "deep":
        shapes |= conv("conv1.0", 32, 3, 3) | norm("conv1.1", 32) | conv("conv1.3", 32, 32, 3)
        shapes |= norm("conv1.4", 32) | conv("conv1.6", 64, 32, 3)
    else:
        first = 7 if stem == "7x7" else 3
        shapes |= conv("conv1", 64, 3, *([first] * len(sides)))
    shapes |= norm("bn1", 64)
    inputs = 64
    for stage, count in enumerate(units, 1):
        inner, outputs = width << (stage - 1), (256 if bottleneck else 64) << (stage - 1)
        for unit in range(count):
            name = f"layer{stage}.{unit}"
            if bottleneck:
                shapes |= conv(f"{name}.conv1", inner, inputs, *([1] * len(sides)))
                shapes |= norm(f"{name}.bn1", inner)
                shapes |= conv(f"{name}.conv2", inner, inner // groups, *sides)
                shapes |= norm(f"{name}.bn2", inner)
                shapes |= conv(f"{name}.conv3", outputs, inner, *([1] * len(sides)))
                shapes |= norm(f"{name}.bn3", outputs)
            else:
                shapes |= conv(f"{name}.conv1", outputs, inputs, *sides)
                shapes |= norm(f"{name}.bn1", outputs)
                shapes |= conv(f"{name}.conv2", outputs, outputs, *sides)
                shapes |= norm(f"{name}.bn2", outputs)
            if attention == "se":
                shapes |= conv(f"{name}.se.fc1", outputs // 16, outputs, 1, bias=True)
                shapes |= conv(f"{name}.se.fc2", outputs, outputs // 16, 1, bias=True)
            if attention == "cbam":
                shapes |= dense(f"{name}.cbam.ChannelGate.mlp.1", outputs // 16, outputs)
                shapes |= conv(f"{name}.cbam.SpatialGate.spatial.conv", 1, 2, 7)
            if unit == 0 and inputs != outputs:
                number = 1 if averaged else 0
                shapes |= conv(f"{name}.downsample.{number}", outputs, inputs, *([1] * len(sides)))
                shapes |= norm(f"{name}.downsample.{number + 1}", outputs)
            inputs = outputs
    return shapes | dense("fc", classes, inputs)


def densenet() -> Shapes:
    shapes = conv("features.conv0", 64, 3, 7) | norm("features.norm0", 64)
    for block, count in enumerate((6, 12, 24, 16), 1):
        for layer in range(1, count + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            shapes |= norm(f"{name}.norm1", 32 * layer + 32) | norm(f"{name}.norm2", 128)
            shapes |= conv(f"{name}.conv1", 128, 32 * layer + 32, 1)
            shapes |= conv(f"{name}.conv2", 32, 128, 3)
    return shapes | dense("classifier", 1000, 1024)


def inception() -> Shapes:
    shapes = conv("conv1.conv", 64, 3, 7) | conv("conv2.conv", 64, 64, 1)
    for block in ("3a", "3b", "4a"):
        shapes |= conv(f"inception{block}.branch1.conv", 64, 192, 1)
        shapes |= conv(f"inception{block}.branch2.0.conv", 96, 192, 1)
        shapes |= conv(f"inception{block}.branch2.1.conv", 128, 96, 3)
    return shapes | dense("fc", 1000, 1024)


def mobilenet(attention: bool = False) -> Shapes:
    shapes = conv("features.0.0", 32, 3, 3) | norm("features.0.1", 32)
    for block in range(1, 8):
        name = f"features.{block}.conv"
        shapes |= conv(f"{name}.0.0", 96, 16, 1) | conv(f"{name}.1.0", 96, 1, 3)
        shapes |= conv(f"{name}.2", 16, 96, 1) | norm(f"{name}.3", 16)
        if attention:
            shapes |= conv(f"{name}.se.fc1", 8, 96, 1, bias=True)
    return shapes | dense("classifier.1", 1000, 1280)


def convnext() -> Shapes:
    shapes = conv("features.0.0", 96, 3, 4, bias=True)
    for block in range(6):
        name = f"features.1.{block}.block"
        shapes |= conv(f"{name}.0", 96, 1, 7, bias=True)
        shapes |= dense(f"{name}.3", 384, 96) | dense(f"{name}.5", 96, 384)
    return shapes | dense("classifier.2", 1000, 768)


def vit() -> Shapes:
    shapes = {"class_token": (1, 1, 768), "encoder.pos_embedding": (1, 197, 768)}
    shapes |= conv("conv_proj", 768, 3, 16, bias=True)
    for layer in range(12):
        name = f"encoder.layers.encoder_layer_{layer}"
        shapes[f"{name}.self_attention.in_proj_weight"] = (2304, 768)
        shapes |= dense(f"{name}.mlp.0", 3072, 768) | dense(f"{name}.mlp.3", 768, 3072)
    return shapes | dense("heads.head", 1000, 768)


def bert() -> Shapes:
    shapes: Shapes = {"bert.embeddings.word_embeddings.weight": (30522, 768)}
    for layer in range(12):
        name = f"bert.encoder.layer.{layer}.attention"
        for module in ("self.query", "self.key", "self.value", "output.dense"):
            shapes |= dense(f"{name}.{module}", 768, 768)
    return shapes


def squeezenet() -> Shapes:
    shapes = conv("features.0", 96, 3, 7, bias=True)
    for fire in (3, 4, 5, 7, 8, 9, 10, 12):
        name = f"features.{fire}"
        shapes |= conv(f"{name}.squeeze", 16, 96, 1, bias=True)
        shapes |= conv(f"{name}.expand1x1", 64, 16, 1, bias=True)
        shapes |= conv(f"{name}.expand3x3", 64, 16, 3, bias=True)
    return shapes | conv("classifier.1", 1000, 512, 1, bias=True)


def vgg(filters: Sequence[int]) -> Shapes:
    """A sequence of 3x3 convolutions, named as in torchvision's VGG-11 without pooling."""
    shapes: Shapes = {}
    inputs = 3
    for number, width in enumerate(filters):
        shapes |= conv(f"features.{2 * number}", width, inputs, 3, bias=True)
        inputs = width
    shapes |= dense("classifier.0", 4096, inputs * 49) | dense("classifier.3", 4096, 4096)
    return shapes | dense("classifier.6", 1000, 4096)


def alexnet_with_norms() -> Shapes:
    """DeepCluster's AlexNet without the Sobel filter before it."""
    shapes: Shapes = {}
    inputs = 2
    for number, filters, side in (
        (0, 96, 11),
        (4, 256, 5),
        (8, 384, 3),
        (11, 384, 3),
        (14, 256, 3),
    ):
        shapes |= conv(f"features.module.{number}", filters, inputs, side, bias=True)
        shapes |= norm(f"features.module.{number + 1}", filters)
        inputs = filters
    shapes |= dense("classifier.1", 4096, 9216) | dense("classifier.4", 4096, 4096)
    return shapes | dense("top_layer", 10000, 4096)


def robust_for_cifar() -> Shapes:
    """The ResNet-18 of the package robustness for CIFAR-10, with its attacker."""
    network = resnet((2, 2, 2, 2), False, stem="3x3", classes=10)
    network = {n.replace("downsample", "shortcut"): shape for n, shape in network.items()}
    network = {n.replace("fc.", "linear."): shape for n, shape in network.items()}
    copies = {f"module.{way}model.{n}": s for way in ("", "attacker.") for n, s in network.items()}
    return {
        "module.normalizer.new_mean": (3, 1, 1),
        "module.normalizer.new_std": (3, 1, 1),
    } | copies


def detectron2() -> Shapes:
    """The first layers of a backbone of Detectron2, as safetensors."""
    shapes = conv("backbone.bottom_up.stem.conv1", 64, 3, 7)
    shapes |= norm("backbone.bottom_up.stem.conv1.norm", 64)
    for number, filters, inputs, side in ((1, 64, 64, 1), (2, 64, 64, 3), (3, 256, 64, 1)):
        shapes |= conv(f"backbone.bottom_up.res2.0.conv{number}", filters, inputs, side)
    return shapes


# By name: the shapes, and what the refusal says.
STRANGERS: dict[str, tuple[Shapes, str]] = {
    "ResNeXt-50": (resnet(groups=32, width=128), "a ResNeXt.*4 inputs of 128.*resnet50"),
    "ResNeXt-101": (resnet((3, 4, 23, 3), groups=32, width=256), "a ResNeXt.*resnet101"),
    "Wide ResNet-50": (resnet(width=128), "a Wide ResNet.*128 filters of 256.*resnet50"),
    "SE-ResNet-50": (resnet(attention="se"), "a ResNet with squeeze-and-excitation"),
    "SE-ResNet-18": (resnet((2, 2, 2, 2), False, attention="se"), "squeeze-and-excitation"),
    "CBAM": (resnet(attention="cbam"), "a ResNet with CBAM's attention"),
    "ResNet-50-C": (resnet(stem="deep"), "a ResNet-C or -D: its stem"),
    "ResNet-50-D": (resnet(stem="deep", averaged=True), "a ResNet-C or -D: its stem"),
    "averaging shortcuts": (resnet(averaged=True), "a ResNet-D: its shortcuts average"),
    "small images": (resnet((2, 2, 2, 2), False, stem="3x3"), "for small images"),
    "ResNet-26": (resnet((2, 2, 2, 2)), "stages have 2, 2, 2, 2 bottlenecks"),
    "ResNet-200": (resnet((3, 24, 36, 3)), "nearest to resnet152"),
    "3-D ResNet": (resnet((2, 2, 2, 2), False, sides=(3, 3, 3)), "3-D convolutions"),
    "robust, for CIFAR": (robust_for_cifar(), "for small images"),
    "ResNeXt-50 of pytorchcv": (
        pytorchcv_names.named(resnet(groups=32, width=128)),
        "a ResNeXt.*4 inputs of 128.*resnet50",
    ),
    "Wide ResNet-50 of pytorchcv": (
        pytorchcv_names.named(resnet(width=128)),
        "a Wide ResNet.*128 filters of 256.*resnet50",
    ),
    "PreResNet of pytorchcv": (
        pytorchcv_names.named(resnet()) | norm("features.post_activ.bn", 2048),
        "a pre-activated ResNet in pytorchcv's names",
    ),
    "DIA-ResNet": (
        resnet() | dense("layer1.0.attention.first", 64, 256),
        "a ResNet with attention",
    ),
    "AlexNet with normalisations": (alexnet_with_norms(), "an AlexNet with batch normalisation"),
    "Detectron2": (detectron2(), "nearest to"),
    "DenseNet": (densenet(), "a DenseNet"),
    "GoogLeNet": (inception(), "an Inception network"),
    "MobileNet": (mobilenet(), "a MobileNet or the like"),
    "EfficientNet": (mobilenet(attention=True), "an EfficientNet"),
    "ConvNeXt": (convnext(), "a ConvNeXt or the like"),
    "ViT": (vit(), "a transformer"),
    "BERT": (bert(), "a transformer"),
    "SqueezeNet": (squeezenet(), "a SqueezeNet"),
    "another VGG": (vgg((64, 64, 128, 256, 512)), "nearest to"),
    "a wide VGG": (vgg((48, 64, 128, 128, 256, 256, 512, 512)), "nearest to vgg11"),
    "an optimizer": (
        {f"state.{i}.exp_avg": (64,) for i in range(20)},
        "neither convolutions nor dense layers",
    ),
    "arrays": ({"a": (3,), "b": (17, 4)}, "without convolutions"),
}
