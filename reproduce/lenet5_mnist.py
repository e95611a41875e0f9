"""LeNet-5 on MNIST and sets of its form.

Claim: LeNet-5 makes 0.95 % errors on MNIST's 10,000 test images (LeCun, Bottou, Bengio, Haffner
1998, Figure 9), and the more it is trained on, the fewer (Figure 6: 15,000, 30,000, 60,000 images).

    python -m reproduce.lenet5_mnist --recipe=paper
    python -m reproduce.lenet5_mnist --recipe=modern --dataset=fashion_mnist --limit_train=15000

Recipe `modern`: today's network, momentum, 30 epochs in batches of 32.
Recipe `paper`: the network of 1998, one image at a time, the stochastic diagonal
Levenberg-Marquardt method, 20 passes.

What was measured with it, how long that took and on what, stands in README.md and, row by row, in
reproduce/results/lenet5.csv.
"""

from keras_classics.training import recipes
from reproduce import program


def main() -> None:
    """Trains by the recipe that the flags name."""
    program.run_recipe("lenet5", recipes.LENET5)


if __name__ == "__main__":
    program.run(main)
