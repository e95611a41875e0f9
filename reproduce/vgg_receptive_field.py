"""VGG's stacks of 3x3 convolutions against single ones that see as much.

Claim: configuration B with one 5x5 convolution in the place of each pair of 3x3 makes 7 points more
top-1 errors on ILSVRC-2012 (Simonyan, Zisserman 2015, section 4.1); three of 3x3 see as much as one
of 7x7, with 27 C^2 weights for 49 C^2 (section 2.3).

    python -m reproduce.vgg_receptive_field
    python -m reproduce.vgg_receptive_field --recipe=cifar10
    python -m reproduce.vgg_receptive_field --smoke

Variants B and D are the paper's configurations, B_5x5 and D_7x7 the same with one convolution a
block (`stacked=False`): 5x5 for two of 3x3, 7x7 for three. Recipes, and what they differ by from
the paper, are those of reproduce.vgg_depth; weights start as He's.

Each run also leaves `layers.csv`: parameters and multiply-adds of each layer. --smoke is on digits
and needs no network. What was measured stands in reproduce/README.md.
"""

from keras_classics.cli._program import run
from reproduce.claims import comparison
from reproduce.claims.vgg_receptive_field import CLAIM


def main() -> None:
    """Trains all that is compared."""
    comparison.run_comparison(CLAIM)


if __name__ == "__main__":
    run(main)
