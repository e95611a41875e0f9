"""The networks, one paper a file."""

from keras_classics.models.lenet import lenet5, lenet5_1998
from keras_classics.models.registry import find_model, get_model, list_models

__all__ = ["find_model", "get_model", "lenet5", "lenet5_1998", "list_models"]
