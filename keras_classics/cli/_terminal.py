"""What programs print: the native log filtered, the package's own log one line a message.

A reader who leaves (`| head -1`) ends a program quietly, and closed standard files (`>&-`) count as
/dev/null.
"""

import contextlib
import errno
import functools
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from typing import TextIO

from absl import logging as absl_logging

from keras_classics.errors import one_line

# Lines of the native code of TensorFlow and LiteRT below the level of an error. Also what it says
# about a damaged image, because it does not name the file and the error that follows does.
NATIVE_CHATTER = (
    r"^([IW][0-9]{4} |WARNING: All log messages before absl::InitializeLog|"
    r"To enable the following instructions:|INFO: |E[0-9]{4} .*cuInit|"
    r"E[0-9]{4} .*(jpeg_mem|gif_io|png_io)\.cc|Input file read error|[[:space:]]+\[\[\{\{|"
    # The messages of libjpeg.
    r"Corrupt JPEG data: |Improper call to JPEG library |Bogus (Huffman|marker|sampling|input|D)|"
    r"(Quantization|Huffman|Arithmetic) table 0x|Premature end of JPEG |Not a JPEG file: |"
    r"Unsupported (JPEG|marker|color) |Invalid (JPEG|SOS|component ID|progressive|crop) |"
    r"Inconsistent progression |Sampling factors too |Too many color |Empty JPEG image |"
    r"Maximum supported image |Unknown Adobe |Warning: unknown JFIF |"
    r"fully_quantize: )"
)


# Number of the signal, which not every system has.
SIGPIPE = 13


def refuse_module(package: str, programs: Collection[str], way_out: str) -> None:
    """Ends the process if `python -m` is about to run a module that is no program.

    It would do nothing and exit with status 0. Call it in the package, which Python imports first.

    Args:
        package: Name of the package.
        programs: Names of the modules in it that are programs.
        way_out: What to run instead.
    """
    # While Python looks for the module, argv[0] is "-m".
    if sys.argv[:1] != ["-m"] or "-m" not in sys.orig_argv:
        return
    name = sys.orig_argv[sys.orig_argv.index("-m") + 1].removesuffix(".__main__")
    inside = name.removeprefix(package).removeprefix(".")
    if name.startswith(package) and inside not in programs:
        print(one_line(f"{name} is not a program. {way_out}"), file=sys.stderr)
        sys.exit(2)


class OneLine(logging.Formatter):
    """Formats a message as one line; the traceback of an exception follows it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        """Returns the message."""
        return one_line(super().formatMessage(record))


@contextlib.contextmanager
def guarded_output() -> Iterator[None]:
    """Ends the process with the shell's status if its output has no reader or no space any more."""
    _open_closed_files()
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        _end(sys.stdout, error)
    finally:
        # Here, because an error while Python ends would be printed with a traceback.
        for stream in (sys.stdout, sys.stderr):
            _flush(stream)


def _open_closed_files() -> None:
    """Opens /dev/null for standard files that are closed. Other files would get their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    # Files of these numbers stay open to the end of the process.
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def _flush(stream: TextIO) -> None:
    try:
        stream.flush()
    except OSError as error:
        _end(stream, error)


def _end(stream: TextIO, error: OSError) -> None:
    """Ends the process, unless it is ending with an error already."""
    # What the stream still holds, and all that follows, goes to /dev/null.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
    if error.errno == errno.EPIPE:
        sys.exit(128 + SIGPIPE)
    ending = error.__context__
    if not (isinstance(ending, SystemExit) and ending.code):
        print(f"The output cannot be written: {error.strerror}.", file=sys.stderr)
        sys.exit(2)


@functools.cache
def prepare_terminal() -> None:
    """Sets up standard output, standard error and the loggers of a program.

    Call it before TensorFlow is imported, which writes to standard error at once. It changes the
    whole process, so it is for programs alone. Further calls do nothing.
    """
    _open_closed_files()
    # TensorFlow's Python code logs through absl, whose handler keeps the standard error that it
    # starts with: the one that is filtered from here on.
    absl_logging.get_absl_handler()
    _filter_native_log()
    # Without line buffering, an epoch's line reaches a pipe or a file only when the buffer is full.
    # Names of files may hold what the terminal's encoding does not.
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    logging.getLogger("tensorflow").setLevel(logging.WARNING)
    # Messages of the package come without absl's prefix.
    log = logging.getLogger("keras_classics")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine())
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


def _filter_native_log() -> None:
    """Removes `NATIVE_CHATTER` from standard error. No setting of TensorFlow 2.21 does that.

    The filter is a process of its own, so that the last words of a crash still come through.
    Python writes past it.
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
    # Open to the end of the process.
    sys.stderr = open(terminal, "w", buffering=1, errors="backslashreplace")  # noqa: SIM115
