"""TensorFlow if Keras runs on it, else None.

Networks, weights and recipes work on every backend of Keras, in an environment without TensorFlow
too. Reading data, training, evaluation and export need TensorFlow.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_classics.errors import UserError

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
else:
    tf = None

__all__ = ["lazy_refusal", "needs_tensorflow", "tf"]


def needs_tensorflow(what: str) -> UserError:
    """Returns the error for what works on TensorFlow only, given its name and a verb."""
    return UserError(
        f"{what} TensorFlow. Received: KERAS_BACKEND={keras.backend.backend()}. "
        "Use KERAS_BACKEND=tensorflow."
    )


def lazy_refusal(package: str, names: Sequence[str]) -> Callable[[str], Any]:
    """Returns the `__getattr__` of a package without TensorFlow: asking for its names is an error.

    Args:
        package: The package.
        names: Its names that need TensorFlow.
    """

    def refuse(name: str) -> Any:
        if name in names:
            raise needs_tensorflow(f"{package}.{name} needs")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return refuse
