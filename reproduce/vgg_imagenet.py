"""VGG on ImageNet.

Claim: configuration D, VGG-16, makes 27.0 % errors on ILSVRC-2012's 50,000 validation images when
trained at S = 256, 26.8 % at 384 and 25.6 % at a random S of 256 to 512, each seen whole at one
scale (Simonyan, Zisserman 2015, Table 3). --config=A, B, C, D or E takes another row.

    python -m reproduce.vgg_imagenet --recipe=paper
    python -m reproduce.vgg_imagenet --recipe=paper_384 --initial_weights=PATH
    python -m reproduce.vgg_imagenet --recipe=jitter --initial_weights=PATH

    python -m reproduce.vgg_imagenet --recipe=a
    python -m reproduce.vgg_imagenet --recipe=from_a --initial_weights=PATH

    python -m reproduce.vgg_imagenet --smoke

PATH is what the run before has written, runs/vgg_imagenet2012_paper_seed0/final.weights.h5 or
the like.

Recipes `paper`, `paper_384`, `jitter`: section 3.1, at each training scale; the second and the
third carry on from the one before.
Recipes `a`, `from_a`: how the authors first trained: A from normal weights, then the deeper nets
from A's first four convolutions and last three dense layers.
Recipe `he`: from He's initial weights.

What each differs by from the paper stands in keras_classics/training/recipes/vgg.py. Above all, a
run's figure is of one view in the middle of each image;
`keras-classics evaluate --model=RUN --protocol=dense` gives the paper's.

It needs imagenet2012 in TensorFlow Datasets, whose two archives image-net.org gives to those who
register, or the same pictures as --dataset=folder:PATH. Where a batch of 256 does not fit into a
device's memory, --gradient_accumulation_steps=8 works through it in eight parts. --smoke makes 48
pictures of its own and needs no network. Measured runs: none yet.
"""

import functools

from absl import flags

from keras_classics.cli._program import run
from keras_classics.training import recipes
from keras_classics.training.recipes.vgg import CONFIGS, of_config
from reproduce.harness.run import run_recipe
from reproduce.harness.smoke import smoke_recipe_on_images

CONFIG = flags.DEFINE_enum(
    "config", None, list(CONFIGS), "Configuration of Table 1; the recipe's if unset: D, of a A."
)


def main() -> None:
    """Trains by the recipe that the flags name."""
    run_recipe(
        "_".join(filter(None, ["vgg", CONFIG.value])),
        recipes.VGG,
        smoke=functools.partial(smoke_recipe_on_images, train=32, test=16, batch_size=8),
        change=lambda recipe: of_config(recipe, CONFIG.value) if CONFIG.value else recipe,
    )


if __name__ == "__main__":
    run(main)
