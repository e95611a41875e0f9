"""ResNet on CIFAR-10 and sets of its form.

Claim: residual networks of 20, 32, 44, 56 and 110 layers make 8.75, 7.51, 7.17, 6.97 and 6.61 %
errors on CIFAR-10's 10,000 test images (He, Zhang, Ren, Sun 2015, Table 6; 110: mean of five), and
without shortcuts the more layers, the more errors (Figure 6, which prints no numbers).

    python -m reproduce.resnet_cifar10 --recipe=paper --depth=56
    python -m reproduce.resnet_cifar10 --recipe=paper --depth=56 --shortcut=none
    python -m reproduce.resnet_cifar10 --recipe=paper_110
    python -m reproduce.resnet_cifar10 --recipe=modern --dataset=fashion_mnist
    python -m reproduce.resnet_cifar10 --compare=depth
    python -m reproduce.resnet_cifar10 --compare=depth --recipe=paper
    python -m reproduce.resnet_cifar10 --smoke

--compare trains all networks of a comparison, each with several seeds, on Fashion-MNIST unless the
recipe says otherwise: `depth`, plain and residual networks of 20 to 56 layers; `shortcuts`, options
A, B, C and the order of He et al. 2016.

Recipe `paper`: section 4.2, 64,000 steps on all 50,000 training images.
Recipe `paper_110`: the same with the paper's warm-up for 110 layers.
Recipe `torch`: fb.resnet.torch's 164 passes.
Recipe `modern`: a cosine with warm-up, smoothed labels, averaged weights.

What each differs by from the paper stands in keras_classics/training/recipes/resnet.py. A run's
figure is of one view, as the paper's.

It needs cifar10, which TensorFlow Datasets downloads. --smoke is on digits and needs no network.
What was measured stands in reproduce/README.md.
"""

import functools

from absl import flags

from keras_classics.cli._program import run
from keras_classics.errors import UserError
from keras_classics.training import recipes
from keras_classics.training.recipes.resnet import variant
from reproduce.claims import comparison, resnet_depth, resnet_shortcuts
from reproduce.harness.run import run_recipe
from reproduce.harness.smoke import smoke_recipe

COMPARISONS = {"depth": resnet_depth.CLAIM, "shortcuts": resnet_shortcuts.CLAIM}

COMPARE = flags.DEFINE_enum("compare", None, list(COMPARISONS), "Networks to compare, see above.")
DEPTH = flags.DEFINE_enum(
    "depth",
    None,
    ["20", "32", "44", "56", "110"],
    "Layers of the network; 20 if unset, 110 for paper_110.",
)
SHORTCUT = flags.DEFINE_enum(
    "shortcut", None, ["A", "B", "C", "none"], "none: a plain network. A if unset."
)
VERSION = flags.DEFINE_enum("version", None, ["v1", "v1.5", "v2"], "Order within a unit.")


def main() -> None:
    """Trains by the recipe that the flags name."""
    network = [flag.value for flag in (DEPTH, SHORTCUT, VERSION)]
    if COMPARE.value:
        if any(network):
            raise UserError(
                "--compare has networks of its own. Leave out the flags of one network."
            )
        comparison.run_comparison(COMPARISONS[COMPARE.value])
        return
    run_recipe(
        "_".join(["resnet", *filter(None, network)]),
        recipes.RESNET_CIFAR10,
        smoke=functools.partial(smoke_recipe, dataset="digits"),
        change=lambda recipe: variant(recipe, *network) if any(network) else recipe,
    )


if __name__ == "__main__":
    run(main)
