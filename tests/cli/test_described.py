"""What a program says about the images that it trains on."""

import numpy as np
import pytest

import keras_classics as kc
from keras_classics.cli._described import describe_augmentation, describe_data, describe_input
from keras_classics.data import ImageData, RecordSplit, Split
from keras_classics.data.augment import AffineDistortion, CropFlip
from keras_classics.data.random_crops import RandomResizedCrop, ScaleJitter
from keras_classics.training.recipes.by_name import RECIPES


def data_of(counts: list[int]) -> ImageData:
    """Blank images, so many of each class, and one test image of the first class."""
    labels = np.repeat(np.arange(len(counts), dtype="int32"), counts)
    split = Split(np.zeros((len(labels), 1, 1, 1), "uint8"), labels)
    return ImageData("folder:x", split, split.take(np.array([0])), tuple(f"c{i}" for i in counts))


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([1, 1], "2 training images of 2 classes (c1 1, c1 1), 1 test images"),
        ([40, 3, 7], "50 training images of 3 classes (c40 40, c3 3, c7 7), 1 test images"),
        # A class of --set=only_classes or --set=limit_train may have none left.
        ([5, 0], "5 training images of 2 classes (c5 5, c0 0), 1 test images"),
        (
            [2] * 999 + [1],
            "1,999 training images of 1,000 classes (1 to 2 of each), 1 test images",
        ),
    ],
)
def test_images_are_counted_by_class(counts, expected):
    assert describe_data(data_of(counts)) == expected


def test_of_records_only_all_are_counted():
    empty = np.zeros(7, "int64")
    split = RecordSplit((), empty, empty, empty)
    data = ImageData("imagenet2012", split, split, ("a", "b"))
    assert describe_data(data) == "7 training images of 2 classes, 7 test images"


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ("lenet5/digits", "32x32x1 (grey; colour is converted): fit inside 28x28 "),
        ("resnet20/fashion_mnist", "32x32x3 (colour; grey is copied to all 3): fit inside 28x28 "),
        ("resnet50/imagenet_keras", "224x224x3 (colour; grey is copied to all 3): the short side "),
    ],
)
def test_what_the_network_is_shown(weights, expected):
    assert describe_input(kc.preprocessing(weights)).startswith(expected)


def test_augmentations():
    assert describe_augmentation(None) == "none"
    assert describe_augmentation(CropFlip(padding=14)) == "CropFlip(padding=14)"
    said = "ScaleJitter(low=256, high=512, size=224, colour=PCAColour("
    assert describe_augmentation(ScaleJitter(256, 512)).startswith(said)
    resized = "RandomResizedCrop(size=224, area=(0.08, 1), shape=(0.75, 1.33333))"
    assert describe_augmentation(RandomResizedCrop()) == resized
    assert all(describe_augmentation(recipe.augmentation) for recipe in RECIPES.values())
    shifts = AffineDistortion(shift=2, scale=0.0, squeeze=0.0, shear=0.0)
    assert describe_augmentation(shifts) == "AffineDistortion(shift=2, fill=-0.1)"
