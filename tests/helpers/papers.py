"""What the papers and their authors' programs publish, and the same by arithmetic of our own.

`PUBLISHED` is copied from the publications; `PARAMETERS` computes it from nothing but shapes, layer
by layer. The networks are not asked.
"""

import itertools


def conv(side: int, inputs: int, outputs: int, towers: int = 1, bias: int = 1) -> int:
    return (side * side * inputs // towers + bias) * outputs


def dense(*units: int) -> int:
    return sum((before + 1) * after for before, after in itertools.pairwise(units))


# LeNet-5, 1998: parameters as section II-B gives them, layer by layer.
LENET5 = conv(5, 1, 6) + conv(5, 6, 16) + dense(400, 120, 84, 10)
LENET5_1998 = 156 + 12 + (25 * 60 + 16) + 32 + conv(5, 16, 120) + dense(120, 84)


# AlexNet, 2012, Figure 2 and section 3.5; its descendants.
def alexnet(c1, c2, c3, c4, c5, towers: int, head: int) -> int:
    convolutions = conv(11, 3, c1) + conv(5, c1, c2, towers) + conv(3, c2, c3)
    convolutions += conv(3, c3, c4, towers) + conv(3, c4, c5, towers)
    return convolutions + dense(head * head * c5, 4096, 4096, 1000)


# The authors' net for CIFAR-10, layers-18pct.cfg: three poolings leave 4x4 of 32x32.
CUDA_CONVNET = conv(5, 3, 32) + conv(5, 32, 32) + conv(5, 32, 64) + dense(4 * 4 * 64, 10)


# VGG, 2015, Table 1, read downwards: convK-N.
def vgg(*layers: str, head: tuple[int, ...] = (7 * 7 * 512, 4096, 4096, 1000)) -> int:
    total, inputs = dense(*head), 3
    for layer in layers:
        side, outputs = map(int, layer.split("-"))
        total += conv(side, inputs, outputs)
        inputs = outputs
    return total


def normalized(*widths: int) -> int:
    return 2 * sum(widths)


A = ["3-64", "3-128", "3-256", "3-256", "3-512", "3-512", "3-512", "3-512"]
B = ["3-64"] * 2 + ["3-128"] * 2 + ["3-256"] * 2 + ["3-512"] * 4
C = ["3-64"] * 2 + ["3-128"] * 2 + (["3-256"] * 2 + ["1-256"]) + (["3-512"] * 2 + ["1-512"]) * 2
D = ["3-64"] * 2 + ["3-128"] * 2 + ["3-256"] * 3 + ["3-512"] * 6
E = ["3-64"] * 2 + ["3-128"] * 2 + ["3-256"] * 4 + ["3-512"] * 8
MINI = ["3-4"] * 2 + ["3-8"] * 2 + ["3-16"] * 3 + ["3-32"] * 6


def batch_normalized(*layers: str) -> int:
    return vgg(*layers) + normalized(*(int(layer.split("-")[1]) for layer in layers))


# ResNet: a convolution without bias and its normalisation, then Table 1 or section 4.2.
def unit(side: int, inputs: int, outputs: int) -> int:
    return side * side * inputs * outputs + normalized(outputs)


def basic_stage(units: int, inputs: int, width: int, projection: bool) -> int:
    first = unit(3, inputs, width) + unit(3, width, width)
    shortcut = unit(1, inputs, width) if projection and inputs != width else 0
    return first + shortcut + 2 * (units - 1) * unit(3, width, width)


def bottleneck_stage(units: int, inputs: int, width: int) -> int:
    first = unit(1, inputs, width) + unit(3, width, width) + unit(1, width, 4 * width)
    later = unit(1, 4 * width, width) + unit(3, width, width) + unit(1, width, 4 * width)
    return first + unit(1, inputs, 4 * width) + (units - 1) * later


def resnet_basic(repeats, projection: bool) -> int:
    stages = zip(repeats, (64, 64, 128, 256), (64, 128, 256, 512), strict=True)
    stem = unit(7, 3, 64)
    return stem + sum(basic_stage(*stage, projection) for stage in stages) + dense(512, 1000)


def resnet_bottleneck(repeats) -> int:
    stages = zip(repeats, (64, 256, 512, 1024), (64, 128, 256, 512), strict=True)
    return unit(7, 3, 64) + sum(bottleneck_stage(*stage) for stage in stages) + dense(2048, 1000)


def resnet_cifar(depth: int) -> int:
    n = (depth - 2) // 6
    stages = [(16, 16), (16, 32), (32, 64)]
    return unit(3, 3, 16) + sum(basic_stage(n, *s, False) for s in stages) + dense(64, 10)


def preactivation_cifar(depth: int) -> int:
    """Bottlenecks that normalise before each convolution, and once more at the end."""
    n = (depth - 2) // 9
    total, inputs = 9 * 3 * 16 + dense(256, 10) + normalized(256), 16
    for width in (16, 32, 64):
        total += inputs * 4 * width
        for _ in range(n):
            total += inputs * width + 9 * width * width + 4 * width * width
            total += normalized(inputs, width, width)
            inputs = 4 * width
    return total


PARAMETERS = {
    "lenet5": LENET5,
    "lenet5_1998": LENET5_1998,
    "alexnet": alexnet(96, 256, 384, 384, 256, towers=2, head=6),
    "alexnet_single_tower": alexnet(96, 256, 384, 384, 256, towers=1, head=6),
    "alexnet_owt": alexnet(64, 192, 384, 256, 256, towers=1, head=6),
    "alexnet_slim": alexnet(64, 192, 384, 384, 256, towers=1, head=5),
    "caffenet": alexnet(96, 256, 384, 384, 256, towers=2, head=6),
    "cuda_convnet": CUDA_CONVNET,
    "vgg9": vgg(*A[:6], head=(2 * 2 * 512, 4096, 4096, 10)),
    "vgg11": vgg(*A),
    "vgg11_lrn": vgg(*A),
    "vgg13": vgg(*B),
    "vgg16_c": vgg(*C),
    "vgg16": vgg(*D),
    "vgg19": vgg(*E),
    "vgg11_bn": batch_normalized(*A),
    "vgg13_bn": batch_normalized(*B),
    "vgg16_bn": batch_normalized(*D),
    "vgg19_bn": batch_normalized(*E),
    "vgg16_first_bn": vgg(*D) + normalized(64),
    "vgg16_mini": vgg(*MINI, head=(2 * 2 * 32, 256, 256, 6)),
    "resnet18": resnet_basic((2, 2, 2, 2), projection=True),
    "resnet34": resnet_basic((3, 4, 6, 3), projection=True),
    "plain18": resnet_basic((2, 2, 2, 2), projection=False),
    "plain34": resnet_basic((3, 4, 6, 3), projection=False),
    "resnet50": resnet_bottleneck((3, 4, 6, 3)),
    "resnet101": resnet_bottleneck((3, 4, 23, 3)),
    "resnet152": resnet_bottleneck((3, 8, 36, 3)),
    **{f"resnet{depth}": resnet_cifar(depth) for depth in (20, 32, 44, 56, 110, 1202)},
    **{f"plain{depth}": resnet_cifar(depth) for depth in (20, 32, 44, 56, 110)},
    **{f"resnet{depth}": preactivation_cifar(depth) for depth in (164, 1001)},
}

# Trainable parameters as published: the papers where they print them exactly, else torchvision's,
# Caffe's and TF-slim's networks.
PUBLISHED = {
    "lenet5": 61_706,
    "lenet5_1998": 60_000,
    "alexnet": 60_965_224,
    "alexnet_single_tower": 62_378_344,
    "alexnet_owt": 61_100_840,
    "alexnet_slim": 50_303_912,
    "caffenet": 60_965_224,
    "cuda_convnet": 89_578,
    "vgg9": 29_715_850,
    "vgg11": 132_863_336,
    "vgg11_lrn": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16_c": 133_638_952,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "vgg11_bn": 132_868_840,
    "vgg13_bn": 133_053_736,
    "vgg16_bn": 138_365_992,
    "vgg19_bn": 143_678_248,
    "vgg16_first_bn": 138_357_544 + 128,
    "vgg16_mini": 158_186,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "plain18": 11_515_688,
    "plain34": 21_623_848,
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet44": 658_586,
    "resnet56": 853_018,
    "resnet110": 1_727_962,
    "resnet1202": 19_421_274,
    "plain20": 269_722,
    "plain32": 464_154,
    "plain44": 658_586,
    "plain56": 853_018,
    "plain110": 1_727_962,
    "resnet164": 1_703_258,
    "resnet1001": 10_327_706,
}

# Multiply-adds of one image: He et al. 2015, Table 1 (which rounds down) and Simonyan's networks as
# torchvision counts them; CIFAR by the shapes of section 4.2.
MACS = {
    "resnet18": 1.8e9,
    "resnet34": 3.6e9,
    "resnet50": 3.8e9,
    "resnet101": 7.6e9,
    "resnet152": 11.3e9,
    "vgg11": 7.6e9,
    "vgg13": 11.3e9,
    "vgg16": 15.5e9,
    "vgg19": 19.6e9,
    "resnet20": 40.6e6,
    "resnet32": 68.9e6,
    "resnet44": 97.2e6,
    "resnet56": 125.5e6,
    "resnet110": 252.9e6,
    "resnet1202": 2829.2e6,
}
