"""Small data sets whose images tell their position, and plans for them."""

import numpy as np

from keras_classics.data import Split, pipeline


def numbered(count: int) -> Split:
    """Images whose one pixel is their position, and labels too."""
    positions = np.arange(count)
    return Split(positions.astype("uint8").reshape(-1, 1, 1, 1), positions.astype("int32"))


def plan(**changes) -> pipeline.Plan:
    values = {
        "images": 50,
        "batch_size": 6,
        "steps": 24,
        "steps_per_block": 3,
        "seed": 7,
        **changes,
    }
    return pipeline.Plan(**values)
