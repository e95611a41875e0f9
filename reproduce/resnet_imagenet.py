"""ResNet on ImageNet.

Claim: residual networks of 34, 50, 101 and 152 layers make 24.52, 22.85, 21.75 and 21.43 % errors
on ILSVRC-2012's 50,000 validation images, by the mean of ten views of each (He, Zhang, Ren, Sun
2015, Table 3), and without shortcuts 34 layers, 28.54 %, are worse than 18, 27.94 % (Table 2).

    python -m reproduce.resnet_imagenet --recipe=paper --depth=50
    python -m reproduce.resnet_imagenet --recipe=paper --depth=34 --shortcut=none
    python -m reproduce.resnet_imagenet --recipe=torchvision --depth=18
    python -m reproduce.resnet_imagenet --smoke

Recipe `paper`: section 3.4, 600,000 steps, the rate divided by 10 when an error stops falling.
Recipe `torchvision`: 90 passes, as torchvision's first weights were trained; its figures are of one
view, as a run's.
Recipe `modern`: a cosine with warm-up, smoothed labels, averaged weights.

What each differs by from the paper stands in keras_classics/training/recipes/resnet.py. Above all,
a run's figure is of one view of each image;
`keras-classics evaluate --model=RUN --protocol=ten` gives the paper's.

It needs imagenet2012 in TensorFlow Datasets, whose two archives image-net.org gives to those who
register, or the same pictures as --dataset=folder:PATH. --smoke makes 64 pictures of its own and
needs no network. Measured runs: none yet.
"""

import functools

from absl import flags

from keras_classics.cli._program import run
from keras_classics.training import recipes
from keras_classics.training.recipes.resnet import variant
from reproduce.harness.run import run_recipe
from reproduce.harness.smoke import smoke_recipe_on_images

DEPTH = flags.DEFINE_enum(
    "depth", None, ["18", "34", "50", "101", "152"], "Layers of the network; 50 if unset."
)
SHORTCUT = flags.DEFINE_enum(
    "shortcut", None, ["A", "B", "C", "none"], "none: a plain network, of 18 or 34 layers."
)
VERSION = flags.DEFINE_enum(
    "version", None, ["v1", "v1.5", "v2"], "Order within a unit; the recipe's if unset."
)


def main() -> None:
    """Trains by the recipe that the flags name."""
    network = [flag.value for flag in (DEPTH, SHORTCUT, VERSION)]
    run_recipe(
        "_".join(["resnet", *filter(None, network)]),
        recipes.RESNET_IMAGENET,
        smoke=functools.partial(smoke_recipe_on_images, train=48, test=16, batch_size=8),
        change=lambda recipe: variant(recipe, *network) if any(network) else recipe,
    )


if __name__ == "__main__":
    run(main)
