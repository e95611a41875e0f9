"""What the tests share: real digits, small runs, programs in processes of their own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_sample_image

from keras_classics.data import ImageData, load

ROOT = Path(__file__).parents[1]
REPLICAS = 3

# Before TensorFlow starts: MirroredStrategy over logical CPUs is tested in this process.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * REPLICAS
)


@pytest.fixture(scope="session")
def digits() -> ImageData:
    return load("digits")


@pytest.fixture(scope="session")
def few_digits(digits) -> ImageData:
    return digits.limited(train=96, test=40)


@pytest.fixture(scope="session")
def run_python():
    """Runs Python in the checkout, in a process of its own."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
        )

    return run


def mirrored(replicas: int) -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy([f"/CPU:{i}" for i in range(replicas)])


def random_images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.1, 1.175, shape).astype("float32")


def photograph() -> np.ndarray:
    """A real photograph, uint8, 427x640x3."""
    return load_sample_image("china.jpg")
