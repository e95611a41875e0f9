"""Puts the weights of a file into a model."""

import os
from pathlib import Path

import keras

from keras_classics.errors import UserError


def load_weights(model: keras.Model, weights: str | os.PathLike) -> None:
    """Loads a `.weights.h5` file, whole or not at all.

    Args:
        model: A network of this package.
        weights: Path of a file written by `model.save_weights`.

    Raises:
        UserError: There is no such file, it is of another kind, or it does not fit the model,
            whose weights are then as they were.
    """
    path = Path(weights)
    if not path.name.endswith(".weights.h5"):
        raise UserError(
            f"weights must be None or the path of a .weights.h5 file. Received: {weights!r}."
        )
    if not path.is_file():
        raise UserError(f"weights names a file that does not exist. Received: {str(path)!r}.")
    before = model.get_weights()
    try:
        model.load_weights(path)
    except Exception as error:
        model.set_weights(before)
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"The weights in {path} do not fit {model.name}: {reason}") from error
