"""What is published of trunks: networks without a top, or whose top is not a classifier's.

Sources:
- torchvision 0.28, `torchvision/models/vgg.py`, `VGG16_Weights.IMAGENET1K_FEATURES`: address, mean
  and deviation. The file's name ends in the first 8 digits of its SHA-256.
- facebookresearch/moco, README.md: addresses, licence, the first 8 digits of the MD5, and what a
  linear classifier reaches on the frozen features; main_lincls.py: the images. The networks are
  torchvision's ResNet-50 under the prefix `module.encoder_q.`.
- facebookresearch/dino, swav, barlowtwins and vicreg, each hubconf.py, README.md and the program
  that trains a linear classifier (eval_linear.py or evaluate.py): addresses, licences, accuracies
  and images. No hash is published. dino, swav and barlowtwins give the weights to torchvision's
  ResNet-50; vicreg's own differs from it in how it writes its padding. SwAV divides red by 0.228
  and not by 0.229.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Trunk(NamedTuple):
    """A published file of a trunk.

    Attributes:
        file: Its name on this machine.
        url: Its address.
        digest: Its hash, as far as it is published; None if it is not.
        origin: Who published it, and as what.
        licence: Licence that the publisher states.
        protocol: What is published of its features.
        images: Arguments of `ImagePreprocessing` that differ from those of torchvision's networks.
    """

    file: str
    url: str
    digest: str | None
    origin: str
    licence: str
    protocol: str
    images: Mapping[str, Any] = {}


_FACEBOOK = "https://dl.fbaipublicfiles.com"
_MOCO = f"{_FACEBOOK}/moco/moco_checkpoints"
_LINEAR = (
    "{} % of ImageNet's 50,000 validation images with a linear classifier on frozen features, "
    "which is not in the file"
)


def _moco(version: int, epochs: int, md5: str, accuracy: float) -> Trunk:
    folder = f"moco_v{version}_{epochs}ep"
    file = f"{folder}_pretrain.pth.tar"
    return Trunk(
        file,
        f"{_MOCO}/{folder}/{file}",
        f"md5:{md5}",
        f"Facebook AI, MoCo v{version}, {epochs} epochs",
        "CC BY-NC 4.0 (Facebook AI)",
        _LINEAR.format(accuracy),
    )


def _swav(method: str, name: str, epochs: int, accuracy: float) -> Trunk:
    file = f"{name}_{epochs}ep_pretrain.pth.tar"
    return Trunk(
        file,
        f"{_FACEBOOK}/deepcluster/{file}",
        None,
        f"Facebook AI, {method}, {epochs} epochs",
        "non-commercial (Facebook AI)",
        _LINEAR.format(accuracy),
        {"std": (255 * 0.228, 255 * 0.224, 255 * 0.225)},
    )


# By network and name.
TRUNKS = {
    ("vgg16", "imagenet_torchvision_features"): Trunk(
        "vgg16_features-amdegroot-88682ab5.pth",
        "https://download.pytorch.org/models/vgg16_features-amdegroot-88682ab5.pth",
        "sha256:88682ab5",
        "torchvision, vgg16, IMAGENET1K_FEATURES, from amdegroot/ssd.pytorch",
        "BSD-3-Clause (torchvision)",
        "no accuracy on images is published: the file has no classifier",
        {"mean": (255 * 0.48235, 255 * 0.45882, 255 * 0.40784), "std": (1.0, 1.0, 1.0)},
    ),
    ("resnet50", "imagenet_moco_v1"): _moco(1, 200, "b251726a", 60.6),
    ("resnet50", "imagenet_moco_v2_200"): _moco(2, 200, "59fd9945", 67.7),
    ("resnet50", "imagenet_moco_v2"): _moco(2, 800, "a04e12f8", 71.1),
    ("resnet50", "imagenet_swav_100"): _swav("SwAV", "swav", 100, 72.1),
    ("resnet50", "imagenet_swav_200"): _swav("SwAV", "swav", 200, 73.9),
    ("resnet50", "imagenet_swav_400"): _swav("SwAV", "swav", 400, 74.6),
    ("resnet50", "imagenet_swav"): _swav("SwAV", "swav", 800, 75.3),
    ("resnet50", "imagenet_deepcluster_v2"): _swav("DeepCluster-v2", "deepclusterv2", 800, 75.2),
    ("resnet50", "imagenet_sela_v2"): _swav("SeLa-v2", "selav2", 400, 71.8),
    ("resnet50", "imagenet_dino"): Trunk(
        "dino_resnet50_pretrain.pth",
        f"{_FACEBOOK}/dino/dino_resnet50_pretrain/dino_resnet50_pretrain.pth",
        None,
        "Facebook AI, DINO",
        "Apache-2.0 (Facebook AI)",
        _LINEAR.format(75.3),
        {"interpolation": "bicubic"},
    ),
    ("resnet50", "imagenet_barlow_twins"): Trunk(
        "barlow_twins_resnet50.pth",
        f"{_FACEBOOK}/barlowtwins/ep1000_bs2048_lrw0.2_lrb0.0048_lambd0.0051/resnet50.pth",
        None,
        "Facebook AI, Barlow Twins, 1000 epochs",
        "MIT (Facebook AI)",
        _LINEAR.format(73.5),
    ),
    ("resnet50", "imagenet_vicreg"): Trunk(
        "vicreg_resnet50.pth",
        f"{_FACEBOOK}/vicreg/resnet50.pth",
        None,
        "Meta AI, VICReg",
        "MIT (Meta AI)",
        _LINEAR.format(73.2),
    ),
}
