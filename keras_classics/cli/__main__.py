"""`keras-classics COMMAND` runs a command; `keras-classics` alone lists all commands."""

import ast
import importlib
import pkgutil
import sys
from pathlib import Path

from keras_classics import cli
from keras_classics.cli import _program
from keras_classics.cli._help import asks_for_help
from keras_classics.cli._terminal import guarded_output, prepare_terminal
from keras_classics.environment import enable_onednn
from keras_classics.errors import unknown_name

# The commands that train. `evaluate` may see one image at a time, as the dense protocol does.
TRAINING = ("train", "finetune")


def main() -> None:
    """Runs the command that the first argument names."""
    with guarded_output():
        _run()


def _run() -> None:
    commands = _commands()
    words = sys.argv[1:]
    if not words or words[0] == "help" or (words[0].startswith("-") and asks_for_help(words)):
        print("Usage: keras-classics COMMAND [--FLAG=VALUE ...]")
        print("keras-classics COMMAND --help lists the flags of a command.\n")
        width = max(map(len, commands))
        for name, summary in commands.items():
            print(f"  {name:<{width}} {summary}")
        return
    name = words[0]
    if name not in commands:
        print(unknown_name("command", name, commands), file=sys.stderr)
        sys.exit(2)
    # Before the command's module, because that imports TensorFlow.
    prepare_terminal()
    if name in TRAINING:
        enable_onednn()
    module = importlib.import_module(f"keras_classics.cli.{name}")
    _program.run(module.main, [f"keras-classics {name}", *sys.argv[2:]])


def _commands() -> dict[str, str]:
    """Names of the commands and the first lines of their docstrings, without importing them."""
    folder = Path(cli.__path__[0])
    names = [m.name for m in pkgutil.iter_modules([str(folder)]) if not m.name.startswith("_")]
    trees = {name: ast.parse((folder / f"{name}.py").read_text()) for name in names}
    return {name: ast.get_docstring(tree).splitlines()[0] for name, tree in trees.items()}


if __name__ == "__main__":
    main()
