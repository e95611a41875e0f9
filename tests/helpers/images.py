"""Images to give to networks, and images that were drawn."""

import numpy as np
import tensorflow as tf
from sklearn.datasets import load_sample_image


def random_images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.1, 1.175, shape).astype("float32")


def photograph() -> np.ndarray:
    """A real photograph, uint8, 427x640x3."""
    return load_sample_image("china.jpg")


def read_png(path) -> np.ndarray:
    return tf.io.decode_png(path.read_bytes()).numpy()
