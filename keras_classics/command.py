"""The command of this process, as results record it.

A module of its own, because programs set it before TensorFlow is imported.
"""

import shlex
import sys

_of_program: str | None = None


def set_command(command: str | None) -> None:
    """Sets the command that `current_command` returns; None for the process's own."""
    global _of_program
    _of_program = command


def current_command() -> str:
    """Returns the command that repeats this process, for a shell."""
    return _of_program or shlex.join(["python", *sys.orig_argv[1:]])
