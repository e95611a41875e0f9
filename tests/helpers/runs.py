"""Small training runs, and what they leave in their directories."""

import csv
import dataclasses

import h5py
import numpy as np

from keras_classics.data.augment import CropFlip
from keras_classics.training import recipes

MODERN = dataclasses.replace(
    recipes.LENET5_MODERN, dataset="digits", epochs=3, batch_size=12, limit_train=96, limit_test=40
)
PAPER = dataclasses.replace(
    recipes.LENET5_PAPER, dataset="digits", epochs=2, limit_train=24, limit_test=10
)

# Eight passes of eight steps, with all that has a state: dropout, averages, augmentation.
RESNET20 = dataclasses.replace(
    MODERN,
    model="resnet20",
    epochs=8,
    preprocessing_arguments={"channels": 3},
    augmentation=CropFlip(padding=4, fill=-0.1),
    average=0.9,
)
VGG16_MINI = dataclasses.replace(
    RESNET20,
    model="vgg16_mini",
    model_arguments={"dropout": 0.5, "batch_norm": "first"},
    preprocessing_arguments={"channels": 3, "size": 64},
)
VICTIMS = {"modern": MODERN, "paper": PAPER, "resnet20": RESNET20, "vgg16_mini": VGG16_MINI}


# The content of the result.json of a run that did not happen.
RESULT = {
    "metrics": {
        "test_accuracy": 0.75,
        "test_error": 0.25,
        "test_loss": 1,
        "train_accuracy": 0.5,
        "train_loss": 1,
    },
    "protocol": "single view",
    "images": 5,
    "train_images": 10,
    "paper": None,
    "recipe": "some",
    "tags": {},
    "model": "lenet5",
    "model_arguments": {},
    "parameters": 61_706,
    "dataset": "digits",
    "class_names": ["0", "1"],
    "preprocessing": {"kind": "canvas"},
    "seed": 0,
    "epochs": 2,
    "steps": 14,
    "batch_size": 2,
    "seconds": 2.5,
    "images_per_second": 11.2,
    "environment": {
        "commit": "c",
        "device": "d",
        "python": "3",
        "command": "run",
        "versions": {"tensorflow": "2", "keras": "3"},
    },
}


def final_weights(run_dir) -> dict[str, np.ndarray]:
    weights = {}
    with h5py.File(run_dir / "final.weights.h5") as file:
        file.visititems(
            lambda name, item: weights.update({name: item[()]} if hasattr(item, "shape") else {})
        )
    return weights


def assert_same_bits(run_dir, other) -> None:
    one, two = final_weights(run_dir), final_weights(other)
    assert one.keys() == two.keys()
    assert one
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def history(run_dir) -> list[dict[str, float]]:
    with open(run_dir / "history.csv") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
