"""ResNet on CIFAR-10 and data sets of the same form.

Claim: residual networks of 20, 32, 44, 56 and 110 layers make 8.75, 7.51, 7.17, 6.97 and 6.61 %
errors on CIFAR-10's 10,000 test images (He, Zhang, Ren, Sun 2015, Table 6; 110: mean of five);
without shortcuts, errors grow with the number of layers (Figure 6, which prints no numbers).

    python -m reproduce.resnet_cifar10 --recipe=paper --depth=56
    python -m reproduce.resnet_cifar10 --recipe=paper --depth=56 --shortcut=none
    python -m reproduce.resnet_cifar10 --recipe=paper_110
    python -m reproduce.resnet_cifar10 --recipe=modern --dataset=fashion_mnist
    python -m reproduce.resnet_cifar10 --compare=depth
    python -m reproduce.resnet_cifar10 --compare=depth --recipe=paper
    python -m reproduce.resnet_cifar10 --smoke

--compare trains all networks of a comparison, each with several seeds, on Fashion-MNIST unless the
recipe says otherwise: `depth` compares plain and residual networks of 20 to 56 layers, `shortcuts`
the options A, B, C and the order of layers of He et al. 2016.

Recipe `paper`: section 4.2, 64,000 steps on all 50,000 training images.
Recipe `paper_110`: the same with the paper's warm-up for 110 layers.
Recipe `torch`: the 164 epochs of fb.resnet.torch.
Recipe `modern`: cosine schedule with warm-up, label smoothing, averaged weights.

keras_classics/training/recipes/resnet.py lists how each differs from the paper. A run evaluates one
view of each image, as the paper does.

It needs cifar10, which TensorFlow Datasets downloads. --smoke uses digits and needs no network
connection. reproduce/README.md has the results.
"""

from absl import flags

from keras_classics.cli._program import run
from keras_classics.errors import UserError
from keras_classics.training import recipes
from keras_classics.training.recipes.resnet import variant
from reproduce.claims import comparison, resnet_depth, resnet_shortcuts
from reproduce.harness.run import run_recipe

COMPARISONS = {"depth": resnet_depth.CLAIM, "shortcuts": resnet_shortcuts.CLAIM}

COMPARE = flags.DEFINE_enum("compare", None, list(COMPARISONS), "Comparison to run, see above.")
DEPTH = flags.DEFINE_enum(
    "depth",
    None,
    ["20", "32", "44", "56", "110"],
    "Layers of the network; the recipe's if unset: 20, or 110 for paper_110.",
)
SHORTCUT = flags.DEFINE_enum(
    "shortcut",
    None,
    ["A", "B", "C", "none"],
    "Kind of shortcut; none: a plain network. The recipe's if unset: A.",
)
VERSION = flags.DEFINE_enum(
    "version",
    None,
    ["v1", "v1.5", "v2"],
    "Order of the layers within a unit; the recipe's if unset.",
)


def main() -> None:
    """Runs the comparison that --compare names, or trains one network."""
    network = [flag.value for flag in (DEPTH, SHORTCUT, VERSION)]
    if COMPARE.value:
        if any(network):
            raise UserError(
                "--compare trains networks of its own. Leave out --depth, --shortcut and --version."
            )
        comparison.run_comparison(COMPARISONS[COMPARE.value])
        return
    run_recipe(
        "_".join(["resnet", *filter(None, network)]),
        recipes.RESNET_CIFAR10,
        change=lambda recipe: variant(recipe, *network) if any(network) else recipe,
    )


if __name__ == "__main__":
    run(main)
