"""AlexNet on ImageNet.

Claim: one AlexNet makes 40.7 % errors on ILSVRC-2012's 50,000 validation images, averaged over ten
views of each image (Krizhevsky, Sutskever, Hinton 2012, Table 2, 1 CNN).

    python -m reproduce.alexnet_imagenet --recipe=paper
    python -m reproduce.alexnet_imagenet --recipe=code --seed=1
    python -m reproduce.alexnet_imagenet --smoke

Recipe `paper`: section 5; the learning rate is divided by 10 three times, when the error stops
falling.
Recipe `code`: the settings that the authors' program logged for the paper's figures: the epochs of
those drops, separate learning rates for conv1 and the biases, initial weights.
Recipe `one_weird_trick`: the single-column network of 2014 and its learning rate.

keras_classics/training/recipes/alexnet.py lists how each differs from its paper. The main
difference: a run evaluates one view of each image;
`keras-classics evaluate --model=RUN --protocol=ten` evaluates the paper's ten.

It needs imagenet2012 in TensorFlow Datasets, whose two archives image-net.org gives to registered
users, or the same images as --dataset=folder:PATH. --smoke generates 128 images and needs no
network connection. Measured runs: none yet.
"""

import functools

from keras_classics.cli._program import run
from keras_classics.training import recipes
from reproduce.harness.run import run_recipe
from reproduce.harness.smoke import smoke_recipe_on_images


def main() -> None:
    """Trains with the recipe that the flags describe."""
    smoke = functools.partial(smoke_recipe_on_images, train=96, test=32, batch_size=16)
    run_recipe("alexnet", recipes.ALEXNET, smoke)


if __name__ == "__main__":
    run(main)
