"""Programs that reproduce the papers' claims: python -m reproduce.NAME --help."""

import os
import pkgutil
import sys
from pathlib import Path

# While `python -m reproduce.NAME` looks for its module, argv[0] is "-m". This is the only moment
# before the program imports TensorFlow, which writes to the terminal at once.
if sys.argv[0] == "-m":
    # Without this, keras_classics imports TensorFlow itself.
    os.environ["KERAS_CLASSICS_LAZY"] = "1"
    from keras_classics.cli._terminal import prepare_terminal, refuse_module
    from keras_classics.environment import enable_onednn

    programs = [
        module.name
        for module in pkgutil.iter_modules(__path__)
        if not module.ispkg or Path(__path__[0], module.name, "__main__.py").exists()
    ]
    refuse_module(__name__, programs, f"Programs are: {', '.join(programs)}.")
    prepare_terminal()
    # A benchmark chooses for each comparison.
    if "reproduce.benchmark" not in sys.orig_argv:
        enable_onednn()
