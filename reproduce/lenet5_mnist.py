"""LeNet-5 on MNIST and data sets of the same form.

Claim: LeNet-5 makes 0.95 % errors on MNIST's 10,000 test images (LeCun, Bottou, Bengio, Haffner
1998, Figure 9), and fewer errors with more training images (Figure 6: 15,000, 30,000, 60,000).

    python -m reproduce.lenet5_mnist --recipe=paper
    python -m reproduce.lenet5_mnist --recipe=modern --dataset=fashion_mnist --limit_train=15000
    python -m reproduce.lenet5_mnist --compare=networks
    python -m reproduce.lenet5_mnist --compare=digits

Recipe `modern`: today's network, momentum, 30 epochs in batches of 32.
Recipe `paper`: the network of 1998, one image at a time, the stochastic diagonal
Levenberg-Marquardt method with a mu of 0.02, 20 epochs. Initial weights lie in +-2.4 / sqrt(F).
Recipe `appendix_a`: the same with the initial weights that the paper prints, +-2.4 / F, and a mu of
0.5, because 0.02 does not train them.

--compare=networks compares the network and training of 1998 with today's, with several seeds each,
on Fashion-MNIST unless the recipe says otherwise. --compare=digits does so on 5,000 of MNIST's own
digits, `mnist_5000`, of which the seed chooses the fold to test on. reproduce/README.md has the
results.

reproduce/results/lenet5.csv has the other measured runs, with time and hardware.
"""

from absl import flags

from keras_classics.cli._program import run
from keras_classics.training import recipes
from reproduce.claims import comparison, lenet5_digits, lenet5_networks
from reproduce.harness.run import run_recipe

COMPARISONS = {"networks": lenet5_networks.CLAIM, "digits": lenet5_digits.CLAIM}

COMPARE = flags.DEFINE_enum("compare", None, list(COMPARISONS), "Comparison to run, see above.")


def main() -> None:
    """Runs the comparison that --compare names, or trains one network."""
    if COMPARE.value:
        comparison.run_comparison(COMPARISONS[COMPARE.value])
        return
    run_recipe("lenet5", recipes.LENET5)


if __name__ == "__main__":
    run(main)
