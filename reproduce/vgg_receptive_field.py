"""VGG's stacks of 3x3 convolutions against single ones with the same receptive field.

Claim: configuration B with one 5x5 convolution instead of each pair of 3x3 has a top-1 error on
ILSVRC-2012 that is 7 points higher (Simonyan, Zisserman 2015, section 4.1); three 3x3 convolutions
have the receptive field of one 7x7, with 27 C^2 weights instead of 49 C^2 (section 2.3).

    python -m reproduce.vgg_receptive_field
    python -m reproduce.vgg_receptive_field --recipe=cifar10
    python -m reproduce.vgg_receptive_field --smoke

Variants B and D are the paper's configurations. B_5x5 and D_7x7 have one convolution in each block
(`stacked=False`): 5x5 instead of two 3x3, 7x7 instead of three. Recipes, and their differences from
the paper, are those of reproduce.vgg_depth; initial weights are He's.

Each run also writes `layers.csv`: parameters and multiply-adds of each layer. --smoke uses digits
and needs no network connection. reproduce/README.md has the results.
"""

from keras_classics.cli._program import run
from reproduce.claims import comparison
from reproduce.claims.vgg_receptive_field import CLAIM


def main() -> None:
    """Runs the comparison."""
    comparison.run_comparison(CLAIM)


if __name__ == "__main__":
    run(main)
