"""VGG on ImageNet.

Claim: configuration D, VGG-16, makes 27.0 % errors on ILSVRC-2012's 50,000 validation images when
trained at scale S = 256, 26.8 % at 384 and 25.6 % at a random S of 256 to 512, evaluated densely at
one scale (Simonyan, Zisserman 2015, Table 3). --config selects another row of the table.

    python -m reproduce.vgg_imagenet --recipe=paper
    python -m reproduce.vgg_imagenet --recipe=paper_384 --initial_weights=PATH
    python -m reproduce.vgg_imagenet --recipe=jitter --initial_weights=PATH

    python -m reproduce.vgg_imagenet --recipe=a
    python -m reproduce.vgg_imagenet --recipe=from_a --initial_weights=PATH

    python -m reproduce.vgg_imagenet --smoke

PATH is the file of weights of the run before, such as
runs/vgg_imagenet2012_paper_seed0/final.weights.h5.

Recipes `paper`, `paper_384`, `jitter`: section 3.1, one for each training scale; the second and the
third continue from the one before.
Recipes `a`, `from_a`: the authors' first training: A from normal weights, then the deeper networks
from A's first four convolutions and its three dense layers.
Recipe `he`: He's initial weights.

keras_classics/training/recipes/vgg.py lists how each differs from the paper. The main difference: a
run evaluates one view in the middle of each image;
`keras-classics evaluate --model=RUN --protocol=dense` evaluates as the paper does.

It needs imagenet2012 in TensorFlow Datasets, whose two archives image-net.org gives to registered
users, or the same images as --dataset=folder:PATH. If a batch of 256 does not fit into memory,
--gradient_accumulation_steps=8 splits it into eight micro-batches. --smoke generates 48 images and
needs no network connection. Measured runs: none yet.
"""

import functools

from absl import flags

from keras_classics.cli._program import run
from keras_classics.training import recipes
from keras_classics.training.recipes.vgg import CONFIGS, of_config
from reproduce.harness.run import run_recipe
from reproduce.harness.smoke import smoke_recipe_on_images

CONFIG = flags.DEFINE_enum(
    "config",
    None,
    list(CONFIGS),
    "Configuration of Table 1; the recipe's if unset: D, or A for recipe a.",
)


def main() -> None:
    """Trains with the recipe that the flags describe."""
    run_recipe(
        "_".join(filter(None, ["vgg", CONFIG.value])),
        recipes.VGG,
        smoke=functools.partial(smoke_recipe_on_images, train=32, test=16, batch_size=8),
        change=lambda recipe: of_config(recipe, CONFIG.value) if CONFIG.value else recipe,
    )


if __name__ == "__main__":
    run(main)
