"""ReLU against tanh and the logistic function: steps to a training error.

Claim: on CIFAR-10 a network of four layers comes to 25 % training error six times as fast with
ReLUs as with tanh (Krizhevsky, Sutskever, Hinton 2012, section 3.1 and Figure 1).

    python -m reproduce.alexnet_relu --seed=100
    python -m reproduce.alexnet_relu --variant=relu_2012_0.005,tanh_2012_0.02
    python -m reproduce.alexnet_relu --recipe=paper
    python -m reproduce.alexnet_relu --smoke

A variant is an activation, what training starts from, and a rate. The first command runs each
rate once, with a seed that is not used again; the rate of fewest steps is the activation's own. The
second compares activations at some rates, with the seeds 0 to 4. Without a flag all is run, with
the seeds 0 to 4.

The network is `cuda_convnet`, the small one of AlexNet's authors, without response normalisation.
Nothing regularises: no decay, no dropout, no augmentation. The rate stays as it is. A run that
does not come down to the error is shown as "more than" its steps.

Start `2012`: as AlexNet's, normal weights of deviation 0.01 and images of 0..255 minus their mean.
Start `glorot`: Glorot's weights, which were made for tanh, and images of deviation 1.

Recipe `fashion`: 5,000 images of Fashion-MNIST, down to 20 %.
Recipe `paper`: CIFAR-10, down to 25 %.

Both differ from the paper by
- the network, which the paper does not describe: three convolutions and a dense layer;
- the start `glorot`, which is not in the paper;
- the time, which is counted in steps; that of a step depends on the program.
"""

from keras_classics.cli._program import run
from reproduce.claims import alexnet_relu, comparison


def main() -> None:
    """Runs the comparison that the flags name."""
    comparison.run_comparison(alexnet_relu.CLAIM)


if __name__ == "__main__":
    run(main)
