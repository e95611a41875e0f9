"""Networks that differ in their initial weights, averaged.

Claim: five AlexNets make 38.1 % top-1 errors on ILSVRC-2012 where one makes 40.7 (Krizhevsky,
Sutskever, Hinton 2012, section 6). So do VGGs and ResNets, averaged.

    python -m reproduce.ensemble
    python -m reproduce.ensemble --recipe=paper
    python -m reproduce.ensemble --smoke

Trains five LeNet-5 and five ResNet-20, then averages the probabilities of every choice of one to
five of a kind. Recipe `fashion` is on 10,000 images of Fashion-MNIST, `make data`; `paper` is that
of the ResNets on cifar10. --smoke is on digits and needs no network.

It differs from the papers by the networks: theirs are AlexNets, VGGs and ResNets on ImageNet.
`keras-classics evaluate`, given several networks by --model, averages any. What was measured stands
in reproduce/README.md.
"""

from keras_classics.cli._program import run
from reproduce.claims import comparison
from reproduce.claims.ensemble import CLAIM


def main() -> None:
    """Trains the networks and averages them."""
    comparison.run_comparison(CLAIM)


if __name__ == "__main__":
    run(main)
