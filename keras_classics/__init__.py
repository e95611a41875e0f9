"""The classic convolutional networks, exactly as published and as people use them, in Keras."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_classics.models import get_model, lenet5, lenet5_1998, list_models

__version__ = "0.1.0"

__all__ = ["get_model", "lenet5", "lenet5_1998", "list_models"]


def __getattr__(name: str) -> Any:
    # On demand: the console command answers at once, and TensorFlow starts only where it is used.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("keras_classics.models"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
