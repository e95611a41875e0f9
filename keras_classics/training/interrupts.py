"""What interrupts a run: signals, its time limit, lost workers, a full disk."""

import errno
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from keras_classics.errors import StoppedError, UserError, short_reason

# What TensorFlow raises in the other workers when one is lost.
LOST_WORKER = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)


class StopRequest:
    """Whether this process should stop: it received a signal, or its time is over.

    Args:
        max_minutes: Time limit, from now on; None for no limit.

    Attributes:
        signals: SIGTERM and SIGINT, as they were received.
    """

    def __init__(self, max_minutes: float | None = None):
        self.signals: list[signal.Signals] = []
        self._max_minutes = max_minutes
        self._began = time.monotonic()

    def __bool__(self) -> bool:
        minutes = self._max_minutes
        over = minutes is not None and time.monotonic() - self._began > 60 * minutes
        return bool(self.signals) or over

    def error(self, step: int, checkpoints: Path) -> StoppedError:
        """Returns the error that ends an interrupted run whose state is saved."""
        saved = f"step {step} is saved in {checkpoints}"
        if self.signals:
            return StoppedError(f"Stopped by {self.signals[0].name}; {saved}.", self.signals[0])
        return StoppedError(f"Stopped before the end; {saved}. Repeat the command to resume.")


@contextmanager
def stop_on_signals(max_minutes: float | None = None) -> Iterator[StopRequest]:
    """Records SIGTERM and SIGINT instead of letting them end the process.

    A signal that is ignored stays ignored, as SIGINT in a shell's background jobs. Outside the main
    thread, where Python handles no signals, none is recorded.

    Args:
        max_minutes: Time limit; None for no limit.
    """
    request = StopRequest(max_minutes)

    def record(number: int, _) -> None:
        request.signals.append(signal.Signals(number))

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, record)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def explained_failures(run_dir: Path) -> Iterator[None]:
    """Turns errors of the file system, and TensorFlow's about a lost worker, into one line.

    Raises:
        UserError: If the disk is full, or a file cannot be written or read.
        StoppedError: If another worker is lost.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            if error.filename is None:
                raise
            # Renaming names two files; the second is the one that somebody knows.
            path = os.fsdecode(error.filename2 or error.filename)
            raise UserError(f"{path} cannot be written or read: {error.strerror}.") from error
        raise UserError(
            f"No space is left for {run_dir}. Its last checkpoint is kept: free some space and "
            "repeat the command."
        ) from error
    except LOST_WORKER as error:
        raise StoppedError(
            "Another worker is lost. Restart all workers with the same command; the run resumes "
            f"from its last checkpoint. ({short_reason(error)})"
        ) from error
