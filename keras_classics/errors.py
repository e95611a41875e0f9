"""Errors that a user can mend, each with one clear line for it."""

import difflib
import importlib
import re
from collections.abc import Iterable
from types import ModuleType


class UserError(ValueError):
    """A wrong argument, flag or file: the message names the rule, what came and the way out.

    Programs print the message alone and exit with status 2.
    """


class NonFiniteLossError(ArithmeticError):
    """The training loss is no longer a finite number. Programs exit with status 3."""


class VerificationError(RuntimeError):
    """An exported file disagrees with the model that it came from. Programs exit with status 4."""


class StoppedError(RuntimeError):
    """Training has stopped before its end; the same call goes on where its state was saved.

    Args:
        message: What was saved, and where.
        signum: The number of the signal that stopped it, or None where none did.

    Attributes:
        status: What programs exit with: 128 + signum, or 75, "try again later".
    """

    def __init__(self, message: str, signum: int | None = None):
        super().__init__(message)
        self.signum = signum
        self.status = 75 if signum is None else 128 + signum


def natural_key(name: str) -> list:
    """A key to sort names by in which the numbers count as such: `vgg9` before `vgg11`."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Returns the error for a `name` that is not among the `known` ones, with those like it."""
    known = sorted(known, key=natural_key)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(known)}."
    return UserError(f"Unknown {kind} {name!r}. {hint}")


def require(module: str, extra: str) -> ModuleType:
    """Imports a module that comes with an optional extra of this package.

    Raises:
        UserError: It is not installed; the message holds the pip command.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(
            f"This needs the module {module}, which does not import ({error}). "
            f"Install it with: pip install 'keras-classics[{extra}]'"
        ) from error
