"""Small data sets whose images tell their position, and plans for them."""

import numpy as np
import tensorflow as tf

from keras_classics.data import Split, pipeline
from keras_classics.data.plan import Plan

# TensorFlow draws float32 in [0, 1) from a grid: its step and its last number.
STEP = 2.0**-23
LAST = 1 - STEP


def numbered(count: int) -> Split:
    """Images whose one pixel is their position, and labels too."""
    positions = np.arange(count)
    return Split(positions.astype("uint8").reshape(-1, 1, 1, 1), positions.astype("int32"))


def plan(**changes) -> Plan:
    values = {
        "images": 50,
        "batch_size": 6,
        "steps": 24,
        "steps_per_block": 3,
        "seed": 7,
        **changes,
    }
    return Plan(**values)


def as_float(images):
    return tf.cast(images, tf.float32)


def labels_of(plan_: Plan, strategy=None, first_block: int = 0) -> np.ndarray:
    """Labels of all blocks, shape (steps, batch), replicas side by side."""
    strategy = strategy or tf.distribute.get_strategy()
    blocks = []
    for images, labels in pipeline.training_blocks(
        numbered(plan_.images), as_float, plan_, strategy, first_block
    ):
        pixels = np.concatenate(
            [np.asarray(part) for part in strategy.experimental_local_results(images)], axis=1
        )
        block = np.concatenate(
            [np.asarray(part) for part in strategy.experimental_local_results(labels)], axis=1
        )
        np.testing.assert_array_equal(pixels[:, :, 0, 0, 0], block)
        blocks.append(block)
    return np.concatenate(blocks)
