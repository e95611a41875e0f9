"""Parses command lines as their programs would, without running the programs.

Takes a file with a JSON list of command lines, each a module and its arguments, and prints the
errors as a JSON list. Each program is imported in a process of its own, which starts with
TensorFlow imported.
"""

import copy
import importlib
import itertools
import json
import multiprocessing
import sys
from pathlib import Path

from absl import flags

import keras_classics.training


def errors_of(module: str, command_lines: list[list[str]]) -> list[str]:
    """Returns what is wrong with command lines of one program."""
    # A package runs its `__main__`.
    if hasattr(importlib.import_module(module), "__path__"):
        importlib.import_module(f"{module}.__main__")
    errors = []
    for arguments in command_lines:
        # Help comes before any check of the other flags.
        if "--help" in arguments:
            continue
        try:
            copy.deepcopy(flags.FLAGS)([module, *arguments])
        except flags.Error as error:
            errors.append(f"{module} {' '.join(arguments)}: {error}")
    return errors


if __name__ == "__main__":
    assert keras_classics.training
    programs = itertools.groupby(
        sorted(json.loads(Path(sys.argv[1]).read_text())), key=lambda command: command[0]
    )
    jobs = [(module, [arguments for _, *arguments in group]) for module, group in programs]
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        found = pool.starmap(errors_of, jobs, chunksize=1)
    json.dump([*itertools.chain(*found)], sys.stdout)
