"""What a training is given, in words: its images, what the network is shown of them, its length."""

import dataclasses
from typing import Any

import keras
import numpy as np

from keras_classics.data import ImageData, RecordSplit
from keras_classics.data.augment import Augmentation
from keras_classics.export.interface import input_block
from keras_classics.training import Recipe

# Most classes whose images are counted one by one.
COUNTED = 12


def describe_data(data: ImageData) -> str:
    """Returns how many images there are, of each class if there are few classes."""
    classes = len(data.class_names)
    counted = ""
    if not isinstance(data.train, RecordSplit):
        labels = data.train.labels
        counts = labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=classes)
        if classes <= COUNTED:
            pairs = zip(data.class_names, counts, strict=True)
            counted = f" ({', '.join(f'{name} {count:,}' for name, count in pairs)})"
        else:
            counted = f" ({counts.min():,} to {counts.max():,} of each)"
    return (
        f"{len(data.train):,} training images of {classes:,} classes{counted}, "
        f"{len(data.test):,} test images"
    )


def describe_input(layer: keras.layers.Layer) -> str:
    """Returns what a preprocessing layer shows the network of an image."""
    height, width, channels = layer.compute_output_shape((None, None, None, 3))[1:]
    colours = "grey; colour is converted" if channels == 1 else "colour; grey is copied to all 3"
    resize = input_block(layer, (height, width, channels), "image")["resize"]
    return f"{height}x{width}x{channels} ({colours}): {resize['words']}"


def describe_augmentation(augmentation: Augmentation | None) -> str:
    """Returns how training images are changed."""
    return "none" if augmentation is None else _words(augmentation)


def _words(value: Any) -> str:
    """Returns a value of an augmentation; of its parts, only what does something."""
    if dataclasses.is_dataclass(value):
        values = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        parts = ", ".join(f"{name}={_words(part)}" for name, part in values.items() if part)
        return f"{type(value).__name__}({parts})"
    if isinstance(value, tuple):
        return f"({', '.join(map(_words, value))})"
    return f"{value:g}" if isinstance(value, float) else str(value)


def print_input(data: ImageData, recipe: Recipe) -> None:
    """Prints what there is to train on, and what the network is shown of it."""
    rows = {
        "data": describe_data(data),
        "network's input": describe_input(recipe.make_preprocessing()),
        "augmentation": f"{describe_augmentation(recipe.augmentation)} (--set=augmentation=null)",
    }
    for name, words in rows.items():
        print(f"{name:<18} {words}")
