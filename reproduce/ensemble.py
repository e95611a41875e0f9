"""The average of several networks with different initial weights.

Claim: the average of five AlexNets makes 38.1 % top-1 errors on ILSVRC-2012, one AlexNet 40.7 %
(Krizhevsky, Sutskever, Hinton 2012, section 6). VGGs and ResNets gain in the same way.

    python -m reproduce.ensemble
    python -m reproduce.ensemble --recipe=paper
    python -m reproduce.ensemble --smoke

Trains five LeNet-5 and five ResNet-20, then averages the probabilities of every choice of one to
five networks of the same kind. Recipe `fashion` uses 10,000 images of Fashion-MNIST (`make data`),
`paper` is the ResNets' recipe for cifar10. --smoke uses digits and needs no network connection.

It differs from the papers by the networks: theirs are AlexNets, VGGs and ResNets on ImageNet.
`keras-classics evaluate` with several --model averages any networks. reproduce/README.md has the
results.
"""

from keras_classics.cli._program import run
from reproduce.claims import comparison
from reproduce.claims.ensemble import CLAIM


def main() -> None:
    """Trains the networks and averages them."""
    comparison.run_comparison(CLAIM)


if __name__ == "__main__":
    run(main)
