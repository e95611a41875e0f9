"""The classic convolutional networks, exactly as published and as people use them, in Keras."""

from keras_classics.models import get_model, lenet5, lenet5_1998, list_models

__version__ = "0.1.0"

__all__ = ["get_model", "lenet5", "lenet5_1998", "list_models"]
