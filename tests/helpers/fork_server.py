"""Programs in processes of their own, without the seconds that each would need for its imports.

A server imports TensorFlow and the package once, computes nothing, and forks a process for each
program that it is asked for. The process takes over arguments, environment and output, and runs the
program as Python does. It ends without taking apart what was imported, which costs seconds too.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
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
        with tempfile.TemporaryDirectory() as folder:
            out, err = Path(folder) / "out", Path(folder) / "err"
            request = {"arguments": arguments, "environment": {**os.environ, **environment}}
            status = self._ask({**request, "out": str(out), "err": str(err)})
            return subprocess.CompletedProcess(arguments, status, *map(_text, (out, err)))

    def close(self) -> None:
        """Ends the server."""
        if self._process:
            self._process.communicate()
            self._process = None

    def _ask(self, request: dict[str, Any]) -> int:
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
        return int(self._process.stdout.readline())


def next_request() -> dict[str, Any] | None:
    """Forks a process for each request. Returns the request in it; None in the server, at last."""
    while line := sys.stdin.readline():
        process = os.fork()
        if process == 0:
            return json.loads(line)
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return None


def take_over(request: dict[str, Any]) -> None:
    """Gives this process what a new one would have of the program's environment and files."""
    os.environ.clear()
    os.environ.update(request["environment"])
    tempfile.tempdir = None
    files = (os.open(os.devnull, os.O_RDONLY), *map(_created, (request["out"], request["err"])))
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115


def _text(path: Path) -> str:
    return path.read_text(errors="backslashreplace")


def _created(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT)


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
