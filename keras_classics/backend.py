"""TensorFlow if Keras runs on it, else None.

Networks, weights and recipes work on every backend of Keras, in an environment without TensorFlow
too. Reading data, training, evaluation and export need TensorFlow.
"""

import keras

from keras_classics.errors import UserError

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
else:
    tf = None

__all__ = ["needs_tensorflow", "tf"]


def needs_tensorflow(what: str) -> UserError:
    """Returns the error for what works on TensorFlow only, given its name and a verb."""
    return UserError(
        f"{what} TensorFlow. Received: KERAS_BACKEND={keras.backend.backend()}. "
        "Use KERAS_BACKEND=tensorflow."
    )
