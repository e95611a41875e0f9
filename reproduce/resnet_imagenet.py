"""ResNet on ImageNet.

Claim: residual networks of 34, 50, 101 and 152 layers make 24.52, 22.85, 21.75 and 21.43 % errors
on ILSVRC-2012's 50,000 validation images, averaged over ten views of each image (He, Zhang, Ren,
Sun 2015, Table 3); without shortcuts, 34 layers (28.54 %) are worse than 18 (27.94 %, Table 2).

    python -m reproduce.resnet_imagenet --recipe=paper --depth=50
    python -m reproduce.resnet_imagenet --recipe=paper --depth=34 --shortcut=none
    python -m reproduce.resnet_imagenet --recipe=torchvision --depth=18
    python -m reproduce.resnet_imagenet --smoke

Recipe `paper`: section 3.4, 600,000 steps; the learning rate is divided by 10 when the error stops
falling.
Recipe `torchvision`: 90 epochs, the training of torchvision's first weights, whose published
figures are of one view of each image.
Recipe `modern`: cosine schedule with warm-up, label smoothing, averaged weights.

keras_classics/training/recipes/resnet.py lists how each differs from the paper. The main
difference: a run evaluates one view of each image;
`keras-classics evaluate --model=RUN --protocol=ten` evaluates the paper's ten.

It needs imagenet2012 in TensorFlow Datasets, whose two archives image-net.org gives to registered
users, or the same images as --dataset=folder:PATH. --smoke generates 64 images and needs no
network connection. Measured runs: none yet.
"""

import functools

from absl import flags

from keras_classics.cli._program import run
from keras_classics.training import recipes
from keras_classics.training.recipes.resnet import variant
from reproduce.harness.run import run_recipe
from reproduce.harness.smoke import smoke_recipe_on_images

DEPTH = flags.DEFINE_enum(
    "depth",
    None,
    ["18", "34", "50", "101", "152"],
    "Layers of the network; the recipe's if unset: 50.",
)
SHORTCUT = flags.DEFINE_enum(
    "shortcut",
    None,
    ["A", "B", "C", "none"],
    "Kind of shortcut; none: a plain network of 18 or 34 layers.",
)
VERSION = flags.DEFINE_enum(
    "version",
    None,
    ["v1", "v1.5", "v2"],
    "Order of the layers within a unit; the recipe's if unset.",
)


def main() -> None:
    """Trains with the recipe that the flags describe."""
    network = [flag.value for flag in (DEPTH, SHORTCUT, VERSION)]
    run_recipe(
        "_".join(["resnet", *filter(None, network)]),
        recipes.RESNET_IMAGENET,
        smoke=functools.partial(smoke_recipe_on_images, train=48, test=16, batch_size=8),
        change=lambda recipe: variant(recipe, *network) if any(network) else recipe,
    )


if __name__ == "__main__":
    run(main)
