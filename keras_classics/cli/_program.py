"""Flags, messages and exit statuses of all programs.

0    done
1    a fault of the program
2    wrong flags, data or files: one line says what
3    the loss is no longer finite
4    an export disagrees with its model
75   stopped before the end, to go on with the same command: the time is over, a worker is gone
130  stopped by SIGINT, 143 by SIGTERM, the state saved
"""

import errno
import functools
import inspect
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from absl import app, flags

from keras_classics.errors import (
    NonFiniteLossError,
    StoppedError,
    UserError,
    VerificationError,
)

# What TensorFlow's and LiteRT's native code tells about itself, below the level of an error. And of
# a damaged picture, without its name: the error that follows has it.
NATIVE_CHATTER = (
    r"^([IW][0-9]{4} |WARNING: All log messages before absl::InitializeLog|"
    r"To enable the following instructions:|INFO: |E[0-9]{4} .*cuInit|"
    r"E[0-9]{4} .*(jpeg_mem|gif_io)\.cc|Corrupt JPEG data: |Bogus (Huffman|marker|D)|"
    r"Improper call to JPEG library |Input file read error|[[:space:]]+\[\[\{\{|"
    r"fully_quantize: )"
)


def _filter_native_log() -> None:
    """Keeps the native chatter, which no setting of TensorFlow 2.21 stops, out of the terminal.

    Another process filters, so that the last words of a crash still come through. Python writes
    past it.
    """
    if not shutil.which("grep"):
        return
    terminal = os.dup(sys.stderr.fileno())
    grep = subprocess.Popen(
        ["grep", "--line-buffered", "-vE", NATIVE_CHATTER],
        stdin=subprocess.PIPE,
        stdout=terminal,
        start_new_session=True,
    )
    os.dup2(grep.stdin.fileno(), 2)
    sys.stderr = open(terminal, "w", buffering=1)  # noqa: SIM115 (open to the end of the process)


# When this module is imported, because the next imports of a program bring TensorFlow.
_filter_native_log()
# An epoch is seen when it ends, in a pipe and in a file too.
sys.stdout.reconfigure(line_buffering=True)
logging.getLogger("tensorflow").setLevel(logging.WARNING)
# What the library says comes as it is, without absl's prefix.
logging.getLogger("keras_classics").addHandler(logging.StreamHandler(sys.stderr))
logging.getLogger("keras_classics").propagate = False

# What the owner of a disk can mend, and the program cannot.
UNWRITABLE = (
    errno.EACCES,
    errno.EBUSY,
    errno.EDQUOT,
    errno.EFBIG,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
)

STATUSES = {UserError: 2, NonFiniteLossError: 3, VerificationError: 4}


def default_run_dir(*names: str) -> Path:
    """Returns the folder of a run, or of several, that was given none."""
    words = [re.sub(r"\W+", "_", name).strip("_") for name in names]
    return Path("runs", "_".join(words))


def run(main: Callable[..., None], argv: list[str] | None = None) -> None:
    """Parses the flags, runs a program and exits with its status.

    Args:
        main: The program. Its flags are defined where it is; its parameters, mostly none, are the
            arguments beside the flags. One as in `*paths` takes one or more.
        argv: Name of the program and its arguments, by default those of this process.
    """
    parameters = list(inspect.signature(main).parameters.values())
    app.run(
        lambda rest: _guarded(functools.partial(main, *rest[1:])),
        argv=argv,
        flags_parser=functools.partial(_parse, parameters),
    )


def _parse(parameters: list[inspect.Parameter], argv: list[str]) -> list[str]:
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        _fail(" ".join(str(error).split()), 2)
    many = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
    count = len(rest) - 1
    if count < len(parameters) or (count > len(parameters) and not many):
        names = [f"{p.name.upper()}{'...' if many else ''}" for p in parameters]
        takes = " ".join([*names, "and flags" if parameters else "flags alone"])
        _fail(f"Takes {takes}, --name=value. Received: {' '.join(rest[1:]) or 'flags alone'}", 2)
    return rest


def _guarded(main: Callable[[], None]) -> None:
    try:
        main()
    except tuple(STATUSES) as error:
        _fail(str(error), next(s for kind, s in STATUSES.items() if isinstance(error, kind)))
    except StoppedError as error:
        _fail(str(error), error.status)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        _fail(f"{error.filename or 'A file'} cannot be written or read: {error.strerror}.", 2)
    except KeyboardInterrupt:
        _fail("Stopped by SIGINT.", 128 + signal.SIGINT)


def _fail(message: str, status: int) -> None:
    print(message, file=sys.stderr)
    sys.exit(status)
