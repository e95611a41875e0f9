"""What is published of trunks: networks without a top, or whose top is not a classifier's.

Sources:
- torchvision 0.28, `torchvision/models/vgg.py`, `VGG16_Weights.IMAGENET1K_FEATURES`: address, mean
  and deviation. The file's name ends in the first 8 digits of its SHA-256.
- facebookresearch/moco, README.md: addresses, licence, the first 8 digits of the MD5, and what a
  linear classifier reaches on the frozen features; main_lincls.py: the images. The networks are
  torchvision's ResNet-50 under the prefix `module.encoder_q.`.

Without a published hash, and so not here: DINO, SwAV, Barlow Twins, VICReg, MoCo v3 and the torch
files of Places365. They load as files.
"""

from typing import NamedTuple


class Trunk(NamedTuple):
    """A published file of a trunk.

    Attributes:
        file: Its name.
        folder: Address of the folder that it is in.
        digest: Its hash, as far as it is published.
        origin: Who published it, and as what.
        licence: Licence that the publisher states.
        protocol: What is published of its features.
        subtracts: The mean that is subtracted from pixels in 0..255, RGB; None for that of
            torchvision's networks, with its deviation.
    """

    file: str
    folder: str
    digest: str
    origin: str
    licence: str
    protocol: str
    subtracts: tuple[float, float, float] | None = None


_MOCO = "https://dl.fbaipublicfiles.com/moco/moco_checkpoints"
_LINEAR = (
    "{} % of ImageNet's 50,000 validation images with a linear classifier on frozen features, "
    "which is not in the file"
)


def _moco(version: int, epochs: int, md5: str, accuracy: float) -> Trunk:
    folder = f"moco_v{version}_{epochs}ep"
    return Trunk(
        f"{folder}_pretrain.pth.tar",
        f"{_MOCO}/{folder}",
        f"md5:{md5}",
        f"Facebook AI, MoCo v{version}, {epochs} epochs",
        "CC BY-NC 4.0 (Facebook AI)",
        _LINEAR.format(accuracy),
    )


# By network and name.
TRUNKS = {
    ("vgg16", "imagenet_torchvision_features"): Trunk(
        "vgg16_features-amdegroot-88682ab5.pth",
        "https://download.pytorch.org/models",
        "sha256:88682ab5",
        "torchvision, vgg16, IMAGENET1K_FEATURES, from amdegroot/ssd.pytorch",
        "BSD-3-Clause (torchvision)",
        "no accuracy on images is published: the file has no classifier",
        (255 * 0.48235, 255 * 0.45882, 255 * 0.40784),
    ),
    ("resnet50", "imagenet_moco_v1"): _moco(1, 200, "b251726a", 60.6),
    ("resnet50", "imagenet_moco_v2_200"): _moco(2, 200, "59fd9945", 67.7),
    ("resnet50", "imagenet_moco_v2"): _moco(2, 800, "a04e12f8", 71.1),
}
