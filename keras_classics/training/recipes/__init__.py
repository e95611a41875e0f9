"""The recipes by name, one file per paper: the papers' own, value by value, and others.

`sources` gives, for every value taken from a paper, the section it comes from. Values that a paper
does not give are ours and have no source.
"""

from keras_classics.training.recipes.alexnet import (
    ALEXNET,
    ALEXNET_CODE,
    ALEXNET_ONE_WEIRD_TRICK,
    ALEXNET_PAPER,
)
from keras_classics.training.recipes.lenet5 import (
    LENET5,
    LENET5_APPENDIX_A,
    LENET5_DISTORTIONS,
    LENET5_MODERN,
    LENET5_PAPER,
)
from keras_classics.training.recipes.own import OWN_WEIGHTS, RESNET20_FASHION_MNIST
from keras_classics.training.recipes.resnet import (
    RESNET_CIFAR10,
    RESNET_CIFAR10_MODERN,
    RESNET_CIFAR10_PAPER,
    RESNET_CIFAR10_PAPER_110,
    RESNET_CIFAR10_TORCH,
    RESNET_IMAGENET,
    RESNET_IMAGENET_MODERN,
    RESNET_IMAGENET_PAPER,
    RESNET_IMAGENET_TORCHVISION,
)
from keras_classics.training.recipes.vgg import (
    VGG,
    VGG_A,
    VGG_FROM_A,
    VGG_HE,
    VGG_JITTER,
    VGG_PAPER,
    VGG_PAPER_384,
)

__all__ = [
    "ALEXNET",
    "ALEXNET_CODE",
    "ALEXNET_ONE_WEIRD_TRICK",
    "ALEXNET_PAPER",
    "LENET5",
    "LENET5_APPENDIX_A",
    "LENET5_DISTORTIONS",
    "LENET5_MODERN",
    "LENET5_PAPER",
    "OWN_WEIGHTS",
    "RESNET20_FASHION_MNIST",
    "RESNET_CIFAR10",
    "RESNET_CIFAR10_MODERN",
    "RESNET_CIFAR10_PAPER",
    "RESNET_CIFAR10_PAPER_110",
    "RESNET_CIFAR10_TORCH",
    "RESNET_IMAGENET",
    "RESNET_IMAGENET_MODERN",
    "RESNET_IMAGENET_PAPER",
    "RESNET_IMAGENET_TORCHVISION",
    "VGG",
    "VGG_A",
    "VGG_FROM_A",
    "VGG_HE",
    "VGG_JITTER",
    "VGG_PAPER",
    "VGG_PAPER_384",
]
