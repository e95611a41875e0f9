"""ReLU, tanh and the logistic function: steps until a given training error.

Claim: on CIFAR-10 a network of four layers reaches 25 % training error six times as fast with
ReLUs as with tanh (Krizhevsky, Sutskever, Hinton 2012, section 3.1 and Figure 1).

    python -m reproduce.alexnet_relu --seed=100
    python -m reproduce.alexnet_relu --variant=relu_2012_0.005,tanh_2012_0.02
    python -m reproduce.alexnet_relu --recipe=paper
    python -m reproduce.alexnet_relu --smoke

A variant is an activation, a start and a learning rate. The first command runs each rate once, with
a seed that is not used again; each activation then uses the rate with the fewest steps. The second
command compares activations at given rates, with the seeds 0 to 4. Without flags, all variants run
with the seeds 0 to 4.

The network is `cuda_convnet`, the small network of AlexNet's authors, without response
normalisation. There is no regularisation: no weight decay, dropout or augmentation. The learning
rate is constant. A run that does not reach the error is shown as "more than" its steps.

Start `2012`: AlexNet's, normal weights of standard deviation 0.01, images of 0..255 minus their
mean.
Start `glorot`: Glorot's weights, which were made for tanh, and images of standard deviation 1.

Recipe `fashion`: 5,000 images of Fashion-MNIST, until 20 %.
Recipe `paper`: CIFAR-10, until 25 %.

Both differ from the paper by
- the network, which the paper does not describe: three convolutions and a dense layer;
- the start `glorot`, which is not in the paper;
- time, which is counted in steps, because the time of a step depends on the program.
"""

from keras_classics.cli._program import run
from reproduce.claims import alexnet_relu, comparison


def main() -> None:
    """Runs the comparison."""
    comparison.run_comparison(alexnet_relu.CLAIM)


if __name__ == "__main__":
    run(main)
