"""AlexNet on ImageNet.

Claim: one AlexNet makes 40.7 % errors on ILSVRC-2012's 50,000 validation images, by the mean of
ten views of each (Krizhevsky, Sutskever, Hinton 2012, Table 2, 1 CNN).

    python -m reproduce.alexnet_imagenet --recipe=paper
    python -m reproduce.alexnet_imagenet --recipe=code --seed=1
    python -m reproduce.alexnet_imagenet --smoke

Recipe `paper`: section 5, the rate divided by 10 three times when an error stops falling.
Recipe `code`: what the authors' program had logged when it came to the paper's figures: the
passes of those drops, conv1's own rates, the biases' rate, initial weights.
Recipe `one_weird_trick`: the network of one column and its rate of 2014.

What each differs by from its paper stands in keras_classics/training/recipes/alexnet.py. Above
all, a run's figure is of one view of each image;
`keras-classics evaluate --model=RUN --protocol=ten` gives the paper's.

It needs imagenet2012 in TensorFlow Datasets, whose two archives image-net.org gives to those who
register, or the same pictures as --dataset=folder:PATH. --smoke makes 128 pictures of its own and
needs no network. Measured runs: none yet.
"""

import functools

from keras_classics.cli._program import run
from keras_classics.training import recipes
from reproduce.harness.run import run_recipe
from reproduce.harness.smoke import smoke_recipe_on_images


def main() -> None:
    """Trains by the recipe that the flags name."""
    smoke = functools.partial(smoke_recipe_on_images, train=96, test=32, batch_size=16)
    run_recipe("alexnet", recipes.ALEXNET, smoke)


if __name__ == "__main__":
    run(main)
