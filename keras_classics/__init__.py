"""The classic convolutional networks, exactly as published and as people use them, in Keras.

Importing this package registers its layers, initializers and losses with Keras. After that,
`keras.models.load_model`, `pickle.load` and `from_config` know every network.
"""

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"


def _starts_a_program() -> bool:
    """Whether the console command or another program of this project is starting.

    These answer before Keras and TensorFlow are imported, which takes seconds, and import the
    networks themselves. Programs outside of this package ask for it by KERAS_CLASSICS_LAZY=1, which
    counts once and is not passed on to other processes.
    """
    program = Path(sys.argv[0]).name if sys.argv else ""
    return (
        os.environ.pop("KERAS_CLASSICS_LAZY", "") == "1"
        or program in ("keras-classics", "keras-classics.exe")
        or (program == "-m" and any(w.startswith("keras_classics.cli") for w in sys.orig_argv))
    )


# Imported when they are first used, as in `keras_classics.export`.
_PARTS = ("data", "diagnosis", "evaluation", "export", "training")
_FUNCTIONS = {"diagnose": "diagnosis"}

if TYPE_CHECKING:
    from keras_classics import data, diagnosis, evaluation, export, training
    from keras_classics.diagnosis.diagnose import diagnose
if TYPE_CHECKING or not _starts_a_program():
    from keras_classics.models import *
    from keras_classics.models import __all__


if not TYPE_CHECKING:
    # Type checkers would take it for an attribute of any name.
    def __getattr__(name: str) -> Any:
        if name in _FUNCTIONS:
            part = importlib.import_module(f"{__name__}.{_FUNCTIONS[name]}")
            return getattr(part, name)
        if name in _PARTS:
            return importlib.import_module(f"{__name__}.{name}")
        # `from keras_classics import files` asks for a module here before it imports it.
        is_module = importlib.util.find_spec(f"{__name__}.{name}") is not None
        if name == "__all__" or not (name.startswith("_") or is_module):
            models = importlib.import_module(f"{__name__}.models")
            if name == "__all__" or name in models.__all__:
                return getattr(models, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    models = importlib.import_module(f"{__name__}.models")
    return sorted([*models.__all__, *_FUNCTIONS, *_PARTS, "__version__"])
