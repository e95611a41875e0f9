"""Where BatchNormalization makes a stuck VGG-16 train.

Claim: a small VGG-16 whose loss stays at that of guessing trains once BatchNormalization follows
its first convolution, and that one alone. This project began with that account.

    python -m reproduce.vgg_first_bn
    python -m reproduce.vgg_first_bn --variant=none_sgd_glorot_6000,first_sgd_glorot_6000
    python -m reproduce.vgg_first_bn --smoke

A variant is PLACES_OPTIMISER_WEIGHTS_IMAGES: BatchNormalization after none of the convolutions, the
first, two of them (the first of blocks 1 and 2) or all, each after the ReLU; sgd, 0.01 with
momentum 0.9, or adam, 0.0001; initial weights of glorot or he; 1000 or 6000 training images.
All take 480 steps of 50 images, 24 or 4 passes.

The network is `vgg16_mini`, whose BatchNormalization has a momentum of 0.9 and an epsilon of 1e-5,
where Keras has 0.99 and 1e-3. The data are six classes of Fashion-MNIST, `make data`, scaled to
64x64 with their grey copied to three channels, 0 to 1: the account's, 1,080 colour pictures of
hands, are not to be had here. Errors are of 1,000 test images.

Each run also leaves `layers.csv`: the size of what each layer gives and of its gradient, before and
after training. --smoke is on digits and needs no network. What was measured stands in
reproduce/README.md.
"""

from keras_classics.cli._program import run
from reproduce.claims import comparison
from reproduce.claims.vgg_first_bn import CLAIM


def main() -> None:
    """Trains all that is compared."""
    comparison.run_comparison(CLAIM)


if __name__ == "__main__":
    run(main)
