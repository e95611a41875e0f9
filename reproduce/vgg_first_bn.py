"""Where BatchNormalization makes a stuck VGG-16 train.

Claim: a small VGG-16 whose loss stays at that of guessing trains once BatchNormalization follows
its first convolution, and only that one. This project began with a blog's report of that.

    python -m reproduce.vgg_first_bn
    python -m reproduce.vgg_first_bn --variant=none_sgd_glorot_6000,first_sgd_glorot_6000
    python -m reproduce.vgg_first_bn --smoke

A variant is PLACES_OPTIMIZER_WEIGHTS_IMAGES: BatchNormalization after no convolution (none), the
first, two (the first of blocks 1 and 2) or all, each after the ReLU; sgd (0.01, or the rate that
--search has chosen; momentum 0.9) or adam (0.0001); initial weights of glorot or he; 1000 or 6000
training images. All take 480 steps of 50 images, which are 24 or 4 epochs.

The network is `vgg16_mini`, whose BatchNormalization has momentum 0.9 and epsilon 1e-5 (Keras: 0.99
and 1e-3). The data are six classes of Fashion-MNIST (`make data`), scaled to 64x64, three equal
channels, 0 to 1. The blog's data, 1,080 colour images of hands, could not be downloaded here.
Errors are of 1,000 test images.

Each run also writes `layers.csv`: the size of each layer's output and of its gradient, before and
after training. --smoke uses digits and needs no network connection. reproduce/README.md has the
results.
"""

from keras_classics.cli._program import run
from reproduce.claims import comparison
from reproduce.claims.vgg_first_bn import CLAIM


def main() -> None:
    """Runs the comparison."""
    comparison.run_comparison(CLAIM)


if __name__ == "__main__":
    run(main)
