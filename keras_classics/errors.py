"""Errors that users can fix, each with a message of one clear line."""

import difflib
import importlib
import importlib.util
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

# Most names that a message lists. The registry holds fewer, TensorFlow Datasets many more.
NAMES = 60


class UserError(ValueError):
    """A wrong argument, flag or file. The message states the rule, the value and what to do.

    Programs print only the message and exit with status 2.

    Args:
        message: The message. Names and values in it may hold any characters; it becomes one line.
    """

    def __init__(self, message: str):
        super().__init__(one_line(message))


class NonFiniteLossError(ArithmeticError):
    """The training loss is no longer a finite number. Programs exit with status 3."""


class VerificationError(RuntimeError):
    """The outputs of an export and its model differ too much. Programs exit with status 4."""


class StoppedError(RuntimeError):
    """Training was interrupted; repeating the same call resumes it from the saved state.

    Args:
        message: What was saved, and where.
        signum: Number of the signal that interrupted it, or None.

    Attributes:
        status: Exit status of programs: 128 + signum, or 75 ("try again later") without a signal.
    """

    def __init__(self, message: str, signum: int | None = None):
        super().__init__(message)
        self.signum = signum
        self.status = 75 if signum is None else 128 + signum


def one_line(text: str) -> str:
    """Returns a text on one line.

    Characters that do not print, as a newline in the name of a file, are shown as in Python's
    strings.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def short_reason(error: BaseException, width: int = 200) -> str:
    """Returns the text of another library's error on one line, for a sentence of ours.

    A longer text ends in "[...]" after a whole word, so no address and no path is cut.

    Args:
        error: The error. If it has no text, its type stands for it.
        width: Most characters.
    """
    text = textwrap.shorten(str(error), width, break_long_words=False, break_on_hyphens=False)
    return text.rstrip(".") or type(error).__name__


def natural_key(name: str) -> list[int | str]:
    """Returns a key that sorts numbers in names by value: `vgg9` before `vgg11`."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Returns the error for an unknown name, with similar known names."""
    known = sorted(known, key=natural_key)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    rest = [f"and {len(known) - NAMES:,} others"] if len(known) > NAMES else []
    names = ", ".join([*known[:NAMES], *rest])
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {names}."
    return UserError(f"Unknown {kind} {name!r}. {hint}")


def require(module: str, extra: str) -> ModuleType:
    """Imports a module that an optional extra of this package installs.

    Args:
        module: Name of the module.
        extra: Name of the extra.

    Raises:
        UserError: If the module cannot be imported; the message contains the pip command.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise _missing(module, extra, str(error)) from error


def installed_folder(package: str, extra: str) -> Path:
    """Returns the folder of a package that an optional extra installs, without importing it.

    Args:
        package: Name of the package.
        extra: Name of the extra.

    Raises:
        UserError: If it is not installed; the message contains the pip command.
    """
    try:
        spec = importlib.util.find_spec(package)
    except ImportError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise _missing(package, extra, f"No module named {package!r}")
    return Path(spec.submodule_search_locations[0])


def _missing(module: str, extra: str, reason: str) -> UserError:
    return UserError(
        f"The module {module} is needed, but cannot be imported ({reason}). "
        f"Install it with: pip install 'keras-classics[{extra}]'"
    )
