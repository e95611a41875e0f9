"""The classic convolutional networks, exactly as published and as people use them, in Keras."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_classics.analysis.features import feature_extractor
    from keras_classics.models import (
        alexnet,
        alexnet_owt,
        alexnet_single_tower,
        alexnet_slim,
        caffenet,
        describe,
        get_model,
        lenet5,
        lenet5_1998,
        list_models,
        plain18,
        plain20,
        plain32,
        plain34,
        plain44,
        plain56,
        plain110,
        resnet18,
        resnet20,
        resnet32,
        resnet34,
        resnet44,
        resnet50,
        resnet56,
        resnet101,
        resnet110,
        resnet152,
        resnet164,
        resnet1001,
        resnet1202,
        vgg9,
        vgg11,
        vgg11_bn,
        vgg11_lrn,
        vgg13,
        vgg13_bn,
        vgg16,
        vgg16_bn,
        vgg16_c,
        vgg16_first_bn,
        vgg16_mini,
        vgg19,
        vgg19_bn,
    )

__version__ = "0.1.0"

__all__ = [
    "alexnet",
    "alexnet_owt",
    "alexnet_single_tower",
    "alexnet_slim",
    "caffenet",
    "describe",
    "feature_extractor",
    "get_model",
    "lenet5",
    "lenet5_1998",
    "list_models",
    "plain18",
    "plain20",
    "plain32",
    "plain34",
    "plain44",
    "plain56",
    "plain110",
    "resnet18",
    "resnet20",
    "resnet32",
    "resnet34",
    "resnet44",
    "resnet50",
    "resnet56",
    "resnet101",
    "resnet110",
    "resnet152",
    "resnet164",
    "resnet1001",
    "resnet1202",
    "vgg9",
    "vgg11",
    "vgg11_bn",
    "vgg11_lrn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg16_c",
    "vgg16_first_bn",
    "vgg16_mini",
    "vgg19",
    "vgg19_bn",
]


def __getattr__(name: str) -> Any:
    # On demand: the console command answers at once, and TensorFlow starts only where it is used.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    part = "analysis.features" if name == "feature_extractor" else "models"
    return getattr(importlib.import_module(f"keras_classics.{part}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
