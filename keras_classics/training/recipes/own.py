"""The recipes of the package's own weights.

The data sets are not the papers', so there is no figure of a paper to compare with.
"""

import dataclasses

from keras_classics.data.augment import CropFlip
from keras_classics.training.optimizer import Momentum
from keras_classics.training.recipe import Recipe
from keras_classics.training.recipes.lenet5 import LENET5_DISTORTIONS, LENET5_MODERN
from keras_classics.training.schedules import Cosine

RESNET20_FASHION_MNIST = Recipe(
    name="resnet20_fashion_mnist",
    model="resnet20",
    dataset="fashion_mnist",
    epochs=20,
    batch_size=128,
    optimizer=Momentum(momentum=0.9, weight_decay=0.0001),
    schedule=Cosine(rate=0.1),
    preprocessing_arguments={"channels": 3},
    augmentation=CropFlip(padding=4, fill=-0.1),
    sources={
        "batch_size": "He et al. 2015, section 4.2",
        "optimizer": "He et al. 2015, section 4.2",
        "augmentation": "He et al. 2015, section 4.2",
    },
)


def _own(recipe: Recipe, dataset: str) -> Recipe:
    name = f"{recipe.model}_{dataset}"
    return dataclasses.replace(recipe, name=name, dataset=dataset, paper=None)


OWN_WEIGHTS = {
    r.name: r
    for r in (
        _own(LENET5_MODERN, "fashion_mnist"),
        _own(LENET5_DISTORTIONS, "digits"),
        RESNET20_FASHION_MNIST,
    )
}
