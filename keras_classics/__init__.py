"""The classic convolutional networks, exactly as published and as people use them, in Keras."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # What editors complete.
    from keras_classics.analysis.features import feature_extractor
    from keras_classics.models.alexnet import *
    from keras_classics.models.lenet import *
    from keras_classics.models.registry import describe, get_model, list_models
    from keras_classics.models.resnet import *
    from keras_classics.models.transfer import freeze_backbone, unfreeze
    from keras_classics.models.vgg import *
    from keras_classics.weights import (
        decode_predictions,
        find_weights,
        list_weights,
        preprocess_input,
        preprocessing,
    )

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # On demand: the console command answers at once, and TensorFlow starts only where it is used.
    if not name.startswith("_") or name == "__all__":
        models = importlib.import_module("keras_classics.models")
        if name == "__all__" or name in models.__all__:
            return getattr(models, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *importlib.import_module("keras_classics.models").__all__]
