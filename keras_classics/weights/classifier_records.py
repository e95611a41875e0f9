"""What is published of classifiers in torch's files without a hash.

Sources:
- CSAILVision/places365, README.md: addresses and licence; train_placesCNN.py: the networks, which
  are torchvision's, and the images. Accuracies are published of its Caffe files alone. The files
  were written by torch 0.2 under Python 2.
- facebookresearch/moco-v3, CONFIG.md: addresses and accuracies; README.md: licence;
  main_lincls.py: the images. Each file has torchvision's ResNet-50: the trunk that MoCo v3 trained,
  frozen, and the linear classifier on it.

They are checked by their structure alone.
"""

from typing import NamedTuple

from keras_classics.weights.caffe_records import (
    NOT_PUBLISHED,
    PLACES,
    PLACES365,
    PLACES_LICENCE,
)
from keras_classics.weights.imagenet import CLASSES as IMAGENET

_MOCO = "https://dl.fbaipublicfiles.com/moco-v3"


class Classifier(NamedTuple):
    """A published file of a network with its top.

    Attributes:
        file: Its name on this machine.
        url: Its address.
        origin: Who published it, and as what.
        licence: Licence that the publisher states.
        top1: Top-1 accuracy in percent; None if not published.
        protocol: How it was measured; None for one view.
        labels: Name of each class.
    """

    file: str
    url: str
    origin: str
    licence: str
    top1: float | None = None
    protocol: str | None = None
    labels: tuple[str, ...] = IMAGENET


def _moco(epochs: int, top1: float) -> Classifier:
    return Classifier(
        f"moco_v3_linear-{epochs}ep.pth.tar",
        f"{_MOCO}/r-50-{epochs}ep/linear-{epochs}ep.pth.tar",
        f"Facebook AI, MoCo v3, {epochs} epochs, and a linear classifier",
        "CC BY-NC 4.0 (Facebook AI)",
        top1,
    )


def _places365(name: str) -> Classifier:
    file = f"{name}_places365.pth.tar"
    return Classifier(
        file,
        f"{PLACES}/{file}",
        f"MIT CSAIL, places365, {name} of PyTorch",
        PLACES_LICENCE,
        None,
        NOT_PUBLISHED,
        PLACES365,
    )


# By network and name.
CLASSIFIERS = {
    ("resnet50", "imagenet_moco_v3_100"): _moco(100, 68.9),
    ("resnet50", "imagenet_moco_v3_300"): _moco(300, 72.8),
    ("resnet50", "imagenet_moco_v3"): _moco(1000, 74.6),
    ("alexnet_owt", "places365"): _places365("alexnet"),
    ("resnet18", "places365"): _places365("resnet18"),
    ("resnet50", "places365"): _places365("resnet50"),
}
