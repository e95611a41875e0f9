"""Files of weights that must not load."""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_classics.errors import UserError
from keras_classics.weights import load_weights


def assert_refused(model: keras.Model, path: Path, message: str) -> None:
    """A file does not load, and leaves the model as it was."""
    before = model.get_weights()
    with pytest.raises(UserError, match=message) as refusal:
        load_weights(model, path)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    for was, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
