"""Functions in forked processes: what they yield, how the process ends, and the memory it takes."""

import os
import pickle
import signal
import traceback
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


class Outcome(NamedTuple):
    """What a process did.

    Attributes:
        yielded: Pairs of what the function yielded, and the bytes by which the memory of the
            process had grown at its peak meanwhile.
        ended: "" if the function returned, or what ended it: a traceback, or a signal.
    """

    yielded: list[tuple[Any, int]]
    ended: str


def run(function: Callable[[], Iterable[Any]], timeout: int = 60) -> Outcome:
    """Runs a generator in a forked process, which takes over all that this one holds.

    Args:
        function: Returns an iterable of objects that can be pickled.
        timeout: Seconds for each object; after them, the process is ended.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reader)
        with open(writer, "wb") as pipe:
            try:
                _send(function, timeout, pipe)
            except BaseException:
                pickle.dump(("", traceback.format_exc()), pipe)
        os._exit(0)
    os.close(writer)
    yielded, ended = [], ""
    with open(reader, "rb") as pipe:
        while True:
            try:
                value, growth = pickle.load(pipe)
            except EOFError:
                break
            if isinstance(growth, str):
                ended = growth
            else:
                yielded.append((value, growth))
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        ended = signal.Signals(os.WTERMSIG(status)).name
    return Outcome(yielded, ended)


def _send(function: Callable[[], Iterable[Any]], timeout: int, pipe: Any) -> None:
    signal.alarm(timeout)
    start = _peak(reset=True)
    for value in function():
        pickle.dump((value, _peak() - start), pipe)
        pipe.flush()
        signal.alarm(timeout)
        start = _peak(reset=True)


def _peak(reset: bool = False) -> int:
    """Returns the most memory that this process has held, since the last reset."""
    if reset:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])
