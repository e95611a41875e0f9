"""Runs programs: parses their flags, prints their errors, exits with their status.

0    done
1    an error of the program itself
2    wrong flags, data or files; one line says what is wrong
3    the loss is no longer finite
4    an exported network disagrees with the model
75   interrupted (time limit or lost worker); repeat the command to resume
130  stopped by SIGINT, 143 by SIGTERM, after saving
141  nobody reads the output any more
"""

import errno
import functools
import inspect
import math
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from absl import app, flags

from keras_classics.cli._command import repeating_command
from keras_classics.cli._help import asks_for_help, help_text, positional_names
from keras_classics.cli._paths import PathParser
from keras_classics.cli._terminal import guarded_output, prepare_terminal
from keras_classics.command import set_command
from keras_classics.errors import (
    NonFiniteLossError,
    StoppedError,
    UserError,
    VerificationError,
    one_line,
)
from keras_classics.files import user_path

# Errors of the file system that the user can correct although no path is named. With a path, all.
UNWRITABLE = (errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC)

# Largest whole number of a flag: the largest seed. No other count comes near it.
LARGEST = 2**32 - 1

# An argument of a function, as messages of the library write it: name=value.
ARGUMENT = re.compile(r"(?<![\w.=/'\"-])([a-z]\w+)=(?=\S)")

STATUSES = {UserError: 2, NonFiniteLossError: 3, VerificationError: 4}


def default_run_dir(*names: str) -> Path:
    """Returns the default folder of a run or of several runs, from words that describe it."""
    words = [re.sub(r"\W+", "_", name).strip("_") for name in names]
    return Path("runs", "_".join(words))


def run(main: Callable[..., None], argv: list[str] | None = None) -> None:
    """Parses the flags, runs a program and exits with its status. `--help` prints its flags.

    Args:
        main: The program. Its module defines the flags and has a docstring. Its parameters, if any,
            are the positional arguments, all of them paths; one as in `*paths` takes one or more,
            and one with a default may be left out, as may all of `path=None, *paths`.
        argv: Name of the program and its arguments, by default those of this process.
    """
    with guarded_output():
        prepare_terminal()
        argv = sys.argv if argv is None else argv
        if asks_for_help(argv[1:]):
            print(help_text(main, _command(argv[0])))
            return
        parameters = list(inspect.signature(main).parameters.values())
        app.run(
            lambda rest: _guarded(lambda: main(*map(PathParser().parse, rest[1:]))),
            argv=argv,
            flags_parser=functools.partial(_parse, parameters),
        )


def _command(name: str) -> str:
    """What to type to run the program: `keras-classics NAME`, or a module to run with -m."""
    spec = sys.modules["__main__"].__spec__
    if spec is None or name.startswith("keras-classics"):
        return name
    return f"python -m {spec.name.removesuffix('.__main__')}"


def _parse(parameters: list[inspect.Parameter], argv: list[str]) -> list[str]:
    try:
        _check_flag_files(argv)
        rest = flags.FLAGS(argv)
        _check_numbers()
    except (flags.Error, OSError, ValueError) as error:
        # Those that are not flags.Error come from --flagfile.
        _fail(" ".join(str(error).split()), 2)
    many = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
    names = positional_names(parameters)
    count, least = len(rest) - 1, sum(not name.startswith("[") for name in names)
    if count < least or (count > len(parameters) and not many):
        expected = f"the arguments {' '.join(names)}" if names else "no arguments"
        received = " ".join(rest[1:]) or "none"
        _fail(f"Takes {expected} besides flags, --NAME=VALUE. Received: {received}.", 2)
    set_command(repeating_command(rest[1:]))
    return rest


def _check_flag_files(argv: list[str]) -> None:
    """Raises a `UserError` if a file that absl reads flags from cannot be one."""
    for argument, following in zip(argv, [*argv[1:], ""], strict=True):
        name, equals, value = argument.lstrip("-").partition("=")
        if name == "flagfile" and argument.startswith("-"):
            user_path(value if equals else following)


def _check_numbers() -> None:
    """Raises `flags.Error` if a number is not finite, or too large for the code behind it."""
    for name in flags.FLAGS:
        value = flags.FLAGS[name].value
        if isinstance(value, float) and not math.isfinite(value):
            raise flags.Error(f"flag --{name}={value}: must be a finite number.")
        if isinstance(value, int) and abs(value) > LARGEST:
            raise flags.Error(f"flag --{name}={value}: must be at most {LARGEST}.")


def _guarded(main: Callable[[], None]) -> None:
    try:
        main()
    except tuple(STATUSES) as error:
        status = next(s for kind, s in STATUSES.items() if isinstance(error, kind))
        _fail(_with_flags(str(error)), status)
    except StoppedError as error:
        _fail(str(error), error.status)
    except OSError as error:
        # The second of two names is that of the file to write.
        path = error.filename if error.filename2 is None else error.filename2
        if not isinstance(path, str | bytes) and error.errno not in UNWRITABLE:
            raise
        path = os.fsdecode(path) if isinstance(path, str | bytes) else "A file"
        _fail(f"{path} cannot be written or read: {error.strerror}.", 2)
    except KeyboardInterrupt:
        _fail("Stopped by SIGINT.", 128 + signal.SIGINT)
    except Exception as error:
        # TensorFlow, which is not imported here, has an error of its own for it.
        if not isinstance(error, MemoryError) and type(error).__name__ != "ResourceExhaustedError":
            raise
        _fail(f"There is not enough memory: {str(error).splitlines()[0]}", 2)


def _with_flags(message: str) -> str:
    """Returns a message of the library in the words of this program: `--name=value` for flags."""
    return ARGUMENT.sub(
        lambda found: f"--{found[0]}" if found[1] in flags.FLAGS else found[0], message
    )


def _fail(message: str, status: int) -> None:
    print(one_line(message.strip()), file=sys.stderr)
    sys.exit(status)
