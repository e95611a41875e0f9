"""VGG's configurations compared, and how the deep ones are initialised.

Claim: errors fall with depth from A to D and stay the same at E; response normalisation does not
help; 1x1 convolutions help, 3x3 instead help more (Simonyan, Zisserman 2015, Table 3). The deep
networks start from a trained A, because they do not train from normal weights (section 3.1).

    python -m reproduce.vgg_depth
    python -m reproduce.vgg_depth --variant=C,D
    python -m reproduce.vgg_depth --recipe=cifar10
    python -m reproduce.vgg_depth --smoke

Variants A to E are the configurations with He's weights. A_normal, D_normal and E_normal start from
normal weights. D_from_A and E_from_A do too, except for the layers that they take from A_normal of
the same seed, which must be finished.

Recipe `fashion`: 10,000 images of Fashion-MNIST (`make data`), an eighth of the paper's filters.
Recipe `cifar10`: all of CIFAR-10 and the paper's filters, for a GPU.

They differ from the paper by
- the images, 32x32, and dense layers of 128 or 512 units;
- the start: He's weights unless the variant says otherwise; for these, images are divided by their
  standard deviation;
- normal weights: their standard deviation is 0.04 (0.014 with the paper's filters), not 0.01. With
  the equivalent of 0.01, 0.028 here, not even A trained, because its dense layers are much smaller;
  0.04 was chosen by trial, and no rows of the trials were kept;
- A-LRN: at the images' deviation of 1 response normalisation is nearly a constant factor;
- the learning rate, 0.01, which drops at fixed epochs: no images are held out.

reproduce.vgg_imagenet has the paper's recipes on ImageNet. --smoke uses digits and needs no network
connection. reproduce/README.md has the results.
"""

from keras_classics.cli._program import run
from reproduce.claims import comparison
from reproduce.claims.vgg_depth import CLAIM


def main() -> None:
    """Runs the comparison."""
    comparison.run_comparison(CLAIM)


if __name__ == "__main__":
    run(main)
