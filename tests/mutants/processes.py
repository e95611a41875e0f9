"""Runs tests in forked copies of a process that has imported TensorFlow already.

A fork starts in milliseconds, where TensorFlow alone takes five seconds to import. It is safe as
long as the parent runs no operation: TensorFlow then has started no threads of its own.
"""

import contextlib
import json
import os
import resource
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MEMORY_BYTES = 24 * 2**30  # Of addresses: TensorFlow alone takes several GiB.


@dataclass(frozen=True)
class Ended:
    """How a forked process ended.

    Attributes:
        result: What its function returned, or None if it did not get so far.
        timed_out: Whether it ran past its limit.
        status: Its exit status, negative for a signal.
    """

    result: Any
    timed_out: bool
    status: int


def import_libraries() -> None:
    """Imports what the tests import, but nothing of this project."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import h5py  # noqa: F401
    import hypothesis
    import keras  # noqa: F401
    import sklearn.datasets  # noqa: F401
    import tensorflow  # noqa: F401

    # The same examples each time, and none too slow; the first one that fails is enough.
    hypothesis.settings.register_profile(
        "mutants",
        database=None,
        deadline=None,
        derandomize=True,
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    hypothesis.settings.load_profile("mutants")


def run_forked(work: Callable[[], Any], cpu_seconds: float, seconds: float) -> Ended:
    """Runs a function in a fork of this process, whose output is thrown away.

    Args:
        work: What to run. Its result travels as JSON.
        cpu_seconds: Processor time after which the fork is killed.
        seconds: Time after which it is killed.
    """
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        answer = Path(folder, "answer.json")
        pid = os.fork()
        if pid == 0:
            _work_and_exit(work, answer, int(cpu_seconds) + 1)
        status, timed_out = _wait(pid, seconds)
        result = json.loads(answer.read_text()) if answer.exists() else None
    return Ended(result, timed_out or status == -signal.SIGXCPU, status)


def _work_and_exit(work: Callable[[], Any], answer: Path, cpu_seconds: int) -> None:
    status = 1
    try:
        os.setsid()  # So that what the tests start can be killed with them.
        null = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(null, stream)
        os.environ["TMPDIR"] = tempfile.tempdir = str(answer.parent)
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        whole = answer.with_suffix(".part")
        whole.write_text(json.dumps(work()))
        whole.rename(answer)
        status = 0
    finally:
        os._exit(status)


def _wait(pid: int, seconds: float) -> tuple[int, bool]:
    deadline = time.monotonic() + seconds
    timed_out = False
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() > deadline:
            timed_out = True
            _kill(pid)
        time.sleep(0.02)
    _kill(pid)
    return os.waitstatus_to_exitcode(status), timed_out


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
