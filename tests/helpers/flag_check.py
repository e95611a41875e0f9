"""Parses command lines as their programs would, without running the programs.

Reads a JSON list of command lines, each a module and its arguments, from standard input, and writes
a list with the error of each, empty where there is none. Each is parsed in a process of its own,
which starts with TensorFlow imported.
"""

import importlib
import json
import multiprocessing
import sys

from absl import flags

import keras_classics.training


def error_of(command: list[str]) -> str:
    """Returns what is wrong with a command line, or nothing."""
    module, *arguments = command
    try:
        importlib.import_module(module)
        flags.FLAGS([module, *(a for a in arguments if a != "--help")])
    except (ImportError, flags.Error) as error:
        # A program that was asked for help names no file.
        return "" if "--help" in arguments and "Flag --" in str(error) else str(error)
    return ""


if __name__ == "__main__":
    commands = json.load(sys.stdin)
    assert keras_classics.training
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        json.dump(pool.map(error_of, commands, chunksize=1), sys.stdout)
