"""The networks, one paper a file."""

from keras_classics.analysis.features import feature_extractor
from keras_classics.models.alexnet import (
    alexnet,
    alexnet_owt,
    alexnet_single_tower,
    alexnet_slim,
    caffenet,
    cuda_convnet,
)
from keras_classics.models.lenet import lenet5, lenet5_1998
from keras_classics.models.registry import describe, find_model, get_model, list_models
from keras_classics.models.resnet import (
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
)
from keras_classics.models.transfer import freeze_backbone, unfreeze
from keras_classics.models.vgg import (
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
from keras_classics.weights import (
    decode_predictions,
    find_weights,
    list_weights,
    preprocess_input,
    preprocessing,
)

# The public names of the whole package; the imports above are these networks.
__all__ = [
    "decode_predictions",
    "describe",
    "feature_extractor",
    "find_weights",
    "freeze_backbone",
    "get_model",
    "list_models",
    "list_weights",
    "preprocess_input",
    "preprocessing",
    "unfreeze",
    *list_models(),
]
