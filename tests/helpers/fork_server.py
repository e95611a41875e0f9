"""Programs in processes of their own, without the seconds that each would need for its imports.

A server imports TensorFlow and the package once, computes nothing, and forks a process for each
program that it is asked for. The process takes over arguments, environment and output, and runs the
program as Python does. It ends without taking apart what was imported, which costs seconds too.

The server reads a line for each request: a program to start, to which it answers with the number of
its process, or such a number to wait for, to which it answers with the status.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from tests.helpers.installs import hidden_modules, hide
from tests.helpers.programs import ROOT

IMPORTS = (
    "keras_classics.export",
    "keras_classics.training",
    "matplotlib.pyplot",
    "scipy.stats",
    "sklearn.datasets",
    "tensorflow_datasets",
)


class ForkServer:
    """Starts the server with the first program, and ends it with the last reference.

    Args:
        extras: If given, programs find only what an install with these extras brings.
    """

    def __init__(self, extras: Sequence[str] | None = None):
        self._process = None
        self._install = [] if extras is None else ["install", *extras]

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        """Runs `python ARGUMENTS` in the checkout and returns what it printed and its status.

        The environment has no effect on what imports look at, as `KERAS_BACKEND`.
        """
        with self.start(*arguments, **environment) as program:
            return program.wait()

    def start(self, *arguments: str, **environment: str) -> "Program":
        """Starts `python ARGUMENTS` in the checkout; several programs can run at once."""
        return Program(self, arguments, {**os.environ, **environment})

    def run_together(
        self, arguments: Sequence[str], environments: Sequence[dict[str, str]], seconds: float = 120
    ) -> list[subprocess.CompletedProcess]:
        """Runs a program once in each environment, all at the same time.

        A process that has not ended so many seconds after those before it is killed.
        """
        with contextlib.ExitStack() as stack:
            programs = [
                stack.enter_context(self.start(*arguments, **environment))
                for environment in environments
            ]
            return [program.wait(seconds) for program in programs]

    def close(self) -> None:
        """Ends the server."""
        if self._process:
            self._process.communicate()
            self._process = None

    def ask(self, request: dict[str, Any] | int) -> None:
        """Sends a request; `answer` has to be called before the next one."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.helpers.fork_server", *self._install],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        print(json.dumps(request), file=self._process.stdin, flush=True)

    def answers(self, seconds: float) -> bool:
        """Whether the server answers within so many seconds."""
        return bool(select.select([self._process.stdout], [], [], seconds)[0])

    def answer(self) -> int:
        """Returns what the server answers to the last request."""
        return int(self._process.stdout.readline())


class Program:
    """A program that the server has started; at the end of a `with`, what is left of it goes."""

    def __init__(self, server: ForkServer, arguments: Sequence[str], environment: dict[str, str]):
        self._server = server
        self._arguments = arguments
        self._folder = tempfile.TemporaryDirectory()
        out, err = self._files = [str(Path(self._folder.name, name)) for name in ("out", "err")]
        request = {"arguments": arguments, "environment": environment, "out": out, "err": err}
        server.ask(request)
        self._pid = server.answer()
        self._ended = False

    def wait(self, seconds: float = 600) -> subprocess.CompletedProcess:
        """Waits for its end, and returns what it printed and its status.

        A program that has not ended after so many seconds is killed.
        """
        self._ended = True
        self._server.ask(self._pid)
        if not self._server.answers(seconds):
            os.kill(self._pid, signal.SIGKILL)
        status = self._server.answer()
        said = (Path(file).read_text(errors="backslashreplace") for file in self._files)
        return subprocess.CompletedProcess(self._arguments, status, *said)

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        if not self._ended:
            self.wait(seconds=0)
        self._folder.cleanup()


def next_request() -> dict[str, Any] | None:
    """Forks a process for each program. Returns the request in it; None in the server, at last."""
    while line := sys.stdin.readline():
        request = json.loads(line)
        if isinstance(request, int):
            _, status = os.waitpid(request, 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
            continue
        # Before the process may be asked for what it has printed.
        for file in (request["out"], request["err"]):
            Path(file).touch()
        process = os.fork()
        if process == 0:
            return request
        print(process, flush=True)
    return None


def take_over(request: dict[str, Any]) -> None:
    """Gives this process what a new one would have of the program's environment and files."""
    os.environ.clear()
    os.environ.update(request["environment"])
    tempfile.tempdir = None
    outputs = (os.open(request[name], os.O_WRONLY) for name in ("out", "err"))
    files = (os.open(os.devnull, os.O_RDONLY), *outputs)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115


def run(arguments: Sequence[str]) -> None:
    """Runs what `python ARGUMENTS` runs: `-c CODE`, `-m MODULE` or a file."""
    sys.orig_argv = [sys.executable, *arguments]
    kind, *rest = arguments
    if kind == "-c":
        sys.argv = ["-c", *rest[1:]]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), vars(main))
    elif kind == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = list(arguments)
        runpy.run_path(kind, run_name="__main__")


def run_to_the_end(arguments: Sequence[str]) -> NoReturn:
    """Runs a program and ends the process with its status."""
    status = 0
    try:
        run(arguments)
    except SystemExit as error:
        status = error.code or 0
        if not isinstance(status, int):
            print(status, file=sys.stderr)
            status = 1
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 0xFF)


if __name__ == "__main__":
    if sys.argv[1:]:
        hide(hidden_modules(sys.argv[2:]))
    for name in IMPORTS:
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)
    # What the programs share stays shared: no collection of garbage looks at it.
    gc.freeze()
    asked = next_request()
    if asked:
        take_over(asked)
        run_to_the_end(asked["arguments"])
    # At once: taking apart what was imported takes seconds.
    os._exit(0)
