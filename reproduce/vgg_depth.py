"""VGG's configurations against each other, and how the deep ones are started.

Claim: errors fall with depth from A to D and stay at E, response normalisation is of no use, 1x1
convolutions help and 3x3 in their place help more (Simonyan, Zisserman 2015, Table 3). The deep
ones start from a trained A, because from normal weights they do not train (section 3.1).

    python -m reproduce.vgg_depth
    python -m reproduce.vgg_depth --variant=C,D
    python -m reproduce.vgg_depth --recipe=cifar10
    python -m reproduce.vgg_depth --smoke

Variants A to E are the configurations from He's weights. A_normal, D_normal and E_normal start from
normal weights; D_from_A and E_from_A too, but for the layers that they take from A_normal of the
same seed, which must be finished.

Recipe `fashion`: 10,000 images of Fashion-MNIST, `make data`, networks of an eighth of the filters.
Recipe `cifar10`: all of CIFAR-10 and the paper's filters, for a GPU.

They differ from the paper by
- the images, 32x32, and dense layers of 128 or 512 units;
- the start: He's, where nothing else is said; images are divided by their deviation for it;
- normal weights: their deviation is 0.04, 0.014 at the paper's filters, for 0.01. From what 0.01
  amounts to here, 0.028, not even A trained: its dense layers are much smaller;
- the rate, 0.01, which drops at fixed passes: no images are held out.

reproduce.vgg_imagenet has the paper's recipes on ImageNet. --smoke is on digits and needs no
network. What was measured stands in reproduce/README.md.
"""

from keras_classics.cli._program import run
from reproduce.claims import comparison
from reproduce.claims.vgg_depth import CLAIM


def main() -> None:
    """Trains all that is compared."""
    comparison.run_comparison(CLAIM)


if __name__ == "__main__":
    run(main)
