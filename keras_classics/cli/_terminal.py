"""What programs print: the native log filtered, the package's own log as it is."""

import functools
import logging
import os
import shutil
import subprocess
import sys

from absl import logging as absl_logging

# Lines of the native code of TensorFlow and LiteRT below the level of an error. Also what it says
# about a damaged image, because it does not name the file and the error that follows does.
NATIVE_CHATTER = (
    r"^([IW][0-9]{4} |WARNING: All log messages before absl::InitializeLog|"
    r"To enable the following instructions:|INFO: |E[0-9]{4} .*cuInit|"
    r"E[0-9]{4} .*(jpeg_mem|gif_io)\.cc|Corrupt JPEG data: |Bogus (Huffman|marker|D)|"
    r"Improper call to JPEG library |Input file read error|[[:space:]]+\[\[\{\{|"
    r"fully_quantize: )"
)


@functools.cache
def prepare_terminal() -> None:
    """Sets up standard output, standard error and the loggers of a program.

    Call it before TensorFlow is imported, which writes to standard error at once. It changes the
    whole process, so it is for programs alone. Further calls do nothing.
    """
    # TensorFlow's Python code logs through absl, whose handler keeps the standard error that it
    # starts with: the one that is filtered from here on.
    absl_logging.get_absl_handler()
    _filter_native_log()
    # Without this, an epoch's line reaches a pipe or a file only when the buffer is full.
    sys.stdout.reconfigure(line_buffering=True)
    logging.getLogger("tensorflow").setLevel(logging.WARNING)
    # Messages of the package come without absl's prefix.
    log = logging.getLogger("keras_classics")
    log.addHandler(logging.StreamHandler(sys.stderr))
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
    sys.stderr = open(terminal, "w", buffering=1)  # noqa: SIM115 (open to the end of the process)
