"""What is published of the ResNets that timm trained, or took from Gluon.

Sources: timm 1.0.31, `timm/models/resnet.py` (addresses, sizes, resampling; the licence is that of
all entries that name none) and its `results/results-imagenet.csv` (accuracies, with the size and
the crop of each). A file's name ends in the first 8 digits of its SHA-256, as torch.hub wants it.

- `a1`, `a1h`, `a2`, `a3`, `b1k`, `b2k`, `c1`, `c2`, `d`: recipes of Wightman et al. 2021 (ResNet
  strikes back) and variants of them. Most were trained with binary cross-entropy: their largest
  score is the answer, but softmax makes no probabilities of them.
- `am`, `bt`, `ra`, `ram`: earlier recipes of timm, with AugMix, RandAugment or both.
- `gluon`: GluonCV's, He et al. 2019 (bag of tricks), the networks of version 1b, which have the
  layers of torchvision's.
"""

import math
from dataclasses import dataclass

_TIMM = "https://github.com/huggingface/pytorch-image-models/releases/download"
RSB, FIRST = f"{_TIMM}/v0.1-rsb-weights", f"{_TIMM}/v0.1-weights"
GLUON = "https://github.com/rwightman/pytorch-pretrained-gluonresnet/releases/download/v0.1"


@dataclass(frozen=True)
class View:
    """One view of an image: `side / share` is the length of its short side, `side` the crop's."""

    side: int
    share: float

    @property
    def short_side(self) -> int:
        """Length of the short side after resizing, rounded down as timm does."""
        return math.floor(self.side / self.share)


# By recipe: the view of 224 pixels, and that of the published accuracies.
_LARGER = (View(224, 0.95), View(288, 1.0))
_LARGE = (View(224, 0.875), View(288, 0.95))
_SAME = (View(224, 0.875), View(224, 0.875))
VIEWS = {
    **dict.fromkeys(("a1", "a1h", "a2", "b1k", "b2k", "c1", "c2", "d"), _LARGER),
    **dict.fromkeys(("bt", "ra", "ram"), _LARGE),
    **dict.fromkeys(("am", "gluon"), _SAME),
    "a3": (View(224, 0.95), View(224, 0.95)),
    ("resnet50", "a1h"): (View(224, 1.0), View(224, 1.0)),
}

# By network and recipe: folder, file, (top-1, top-5) in percent.
TRAINED = {
    ("resnet18", "a1"): (RSB, "resnet18_a1_0-d63eafa0.pth", (73.158, 91.026)),
    ("resnet18", "a2"): (RSB, "resnet18_a2_0-b61bd467.pth", (72.372, 90.596)),
    ("resnet18", "a3"): (RSB, "resnet18_a3_0-40c531c8.pth", (68.254, 88.176)),
    ("resnet18", "gluon"): (GLUON, "gluon_resnet18_v1b-0757602b.pth", (70.838, 89.754)),
    ("resnet34", "a1"): (RSB, "resnet34_a1_0-46f8f793.pth", (77.918, 93.766)),
    ("resnet34", "a2"): (RSB, "resnet34_a2_0-82d47d71.pth", (77.158, 93.274)),
    ("resnet34", "a3"): (RSB, "resnet34_a3_0-a20cabb6.pth", (72.970, 91.108)),
    ("resnet34", "bt"): (FIRST, "resnet34-43635321.pth", (76.480, 93.354)),
    ("resnet34", "gluon"): (GLUON, "gluon_resnet34_v1b-c6d82d59.pth", (74.578, 91.984)),
    ("resnet50", "a1"): (RSB, "resnet50_a1_0-14fe96d1.pth", (81.214, 95.102)),
    ("resnet50", "a1h"): (RSB, "resnet50_a1h2_176-001a1197.pth", (80.676, 95.306)),
    ("resnet50", "a2"): (RSB, "resnet50_a2_0-a2746f79.pth", (80.772, 94.988)),
    ("resnet50", "a3"): (RSB, "resnet50_a3_0-59cae1ef.pth", (78.048, 93.780)),
    ("resnet50", "b1k"): (RSB, "resnet50_b1k-532a802a.pth", (80.706, 95.432)),
    ("resnet50", "b2k"): (RSB, "resnet50_b2k-1ba180c1.pth", (80.454, 95.318)),
    ("resnet50", "c1"): (RSB, "resnet50_c1-5ba5e060.pth", (80.912, 95.552)),
    ("resnet50", "c2"): (RSB, "resnet50_c2-d01e05b2.pth", (80.870, 95.534)),
    ("resnet50", "d"): (RSB, "resnet50_d-f39db8af.pth", (80.972, 95.430)),
    ("resnet50", "am"): (FIRST, "resnet50_am-6c502b37.pth", (78.998, 94.396)),
    ("resnet50", "bt"): (FIRST, "rw_resnet50-86acaeed.pth", (79.640, 94.892)),
    ("resnet50", "ra"): (FIRST, "resnet50_ra-85ebb6e5.pth", (79.836, 94.966)),
    ("resnet50", "ram"): (FIRST, "resnet50_ram-a26f946b.pth", (79.976, 95.052)),
    ("resnet50", "gluon"): (GLUON, "gluon_resnet50_v1b-0ebe02e2.pth", (77.580, 93.718)),
    ("resnet101", "a1"): (RSB, "resnet101_a1_0-cdcb52a9.pth", (82.322, 95.632)),
    ("resnet101", "a1h"): (RSB, "resnet101_a1h-36d3f2aa.pth", (82.778, 96.310)),
    ("resnet101", "a2"): (RSB, "resnet101_a2_0-6edb36c7.pth", (82.236, 95.730)),
    ("resnet101", "a3"): (RSB, "resnet101_a3_0-1db14157.pth", (79.814, 94.606)),
    ("resnet101", "gluon"): (GLUON, "gluon_resnet101_v1b-3b017079.pth", (79.310, 94.522)),
    ("resnet152", "a1"): (RSB, "resnet152_a1_0-2eee8a7a.pth", (82.732, 95.720)),
    ("resnet152", "a1h"): (RSB, "resnet152_a1h-dc400468.pth", (83.450, 96.538)),
    ("resnet152", "a2"): (RSB, "resnet152_a2_0-b4c6978f.pth", (82.608, 95.752)),
    ("resnet152", "a3"): (RSB, "resnet152_a3_0-134d4688.pth", (80.546, 95.000)),
    ("resnet152", "gluon"): (GLUON, "gluon_resnet152_v1b-c1edb0dd.pth", (79.694, 94.736)),
}


def views(model: str, recipe: str) -> tuple[View, View]:
    """Returns the view of 224 pixels, and that of the published accuracies."""
    return VIEWS.get((model, recipe)) or VIEWS[recipe]
