"""A table of generated images with any number of labels each."""

import csv

import numpy as np
import tensorflow as tf

# Each class shows in a channel of its own.
CLASSES = ("red_bar", "green_square", "blue_cross")


def drawn(labels: np.ndarray, draw: np.random.Generator) -> np.ndarray:
    """An image of 32x32 pixels that shows the classes whose label is 1, each at a random place."""
    image = draw.integers(0, 40, (32, 32, 3))
    for channel, label in enumerate(labels):
        if label:
            top, left = draw.integers(0, 22, 2)
            rows, columns = np.ix_(np.arange(top, top + 10), np.arange(left, left + 10))
            shape = np.zeros((10, 10), bool)
            if channel == 0:
                shape[3:7] = True
            elif channel == 1:
                shape[:] = True
            else:
                shape[4:6] = shape[:, 4:6] = True
            image[rows, columns, channel] += 200 * shape
    return image.astype("uint8")


def write_table(folder, train: int, test: int, seed: int = 0):
    """Writes `labels.csv` and its images, with one column of labels, and returns its path."""
    draw = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "labels.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "labels", "split"])
        for number in range(train + test):
            labels = draw.integers(0, 2, len(CLASSES))
            name = f"{number:04d}.png"
            (folder / name).write_bytes(tf.io.encode_png(drawn(labels, draw)).numpy())
            names = [c for c, label in zip(CLASSES, labels, strict=True) if label]
            table.writerow([name, "|".join(names), "train" if number < train else "test"])
    return folder / "labels.csv"
