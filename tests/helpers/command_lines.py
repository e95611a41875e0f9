"""Runs many programs from one process: TensorFlow is imported once, each program is a fork.

    python -m tests.helpers.command_lines help OUT.json
    python -m tests.helpers.command_lines parse OUT.json < COMMANDS.json

`help` runs every command and program with --help. `parse` takes a list of commands as result rows
hold them. It parses the flags of each, and runs a training program until it would start its run.
"""

import importlib
import json
import os
import pkgutil
import runpy
import shlex
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags

import reproduce
from keras_classics import cli

# Most of what programs import.
SHARED = (
    "keras_classics.analysis.plots",
    "keras_classics.demo",
    "keras_classics.evaluation",
    "keras_classics.export",
    "keras_classics.training",
)

# Programs of reproduce that are not a file at its top.
OTHERS = ("report", "benchmark", "scaling")


class RunStartedError(Exception):
    """Raised where a program would start its run."""


def names_of_commands() -> list[str]:
    names = [module.name for module in pkgutil.iter_modules(cli.__path__)]
    return [name for name in names if not name.startswith("_")]


def names_of_programs() -> list[str]:
    files = [m.name for m in pkgutil.iter_modules(reproduce.__path__) if not m.ispkg]
    return [f"reproduce.{name}" for name in (*files, *OTHERS)]


def run_in_fork(work: Callable[[], Any]) -> dict[str, Any]:
    """Returns the exit status and the output of some work."""
    with tempfile.TemporaryFile("w+") as output:
        pid = os.fork()
        if pid == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            status = _status(work)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        _, status = os.waitpid(pid, 0)
        output.seek(0)
        return {"status": os.waitstatus_to_exitcode(status), "output": output.read()}


def _status(work: Callable[[], Any]) -> int:
    try:
        work()
    except SystemExit as leaving:
        return leaving.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def run_module(module: str, *arguments: str) -> None:
    """Runs a module as `python -m` does."""
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def help_of_all() -> dict[str, dict[str, Any]]:
    lines = {f"keras-classics {name}": ("keras_classics.cli", name) for name in names_of_commands()}
    lines |= {name: (name,) for name in names_of_programs()}
    return {
        name: run_in_fork(lambda line=line: run_module(*line, "--help"))
        for name, line in lines.items()
    }


def parse_all(commands: list[str]) -> dict[str, dict[str, Any]]:
    by_module: dict[str, list[list[str]]] = {}
    for command in commands:
        module, arguments = split(command)
        by_module.setdefault(module, []).append(arguments)
    return {
        module: run_in_fork(lambda module=module, lines=lines: parse(module, lines))
        for module, lines in by_module.items()
    }


def split(command: str) -> tuple[str, list[str]]:
    """Returns the module that a command runs, and its arguments."""
    interpreter, *rest = shlex.split(command)
    if interpreter.endswith("keras-classics"):
        rest = ["-m", "keras_classics.cli", *rest]
    _, module, *arguments = rest
    if module == "keras_classics.cli":
        return f"{module}.{arguments[0]}", arguments[1:]
    return module, arguments


def parse(module: str, lines: list[list[str]]) -> None:
    """Parses the flags of each line, and runs a training program until it would start its run."""
    program = importlib.import_module(module)
    if hasattr(program, "__path__"):
        program = importlib.import_module(f"{module}.__main__")
    runs = [sys.modules.get(f"reproduce.{name}") for name in ("harness.run", "claims.comparison")]
    for run in filter(None, runs):
        run.make_strategy = _raise_started
    for arguments in lines:
        flags.FLAGS.unparse_flags()
        rest = flags.FLAGS([module, *arguments])
        assert len(rest) == 1, rest
        if any(runs):
            try:
                program.main()
            except RunStartedError:
                continue
            raise AssertionError(f"{module} did not start a run with {arguments}.")


def _raise_started(*_: Any) -> None:
    raise RunStartedError


def main(job: str, out: str) -> None:
    for name in SHARED:
        importlib.import_module(name)
    outcomes = help_of_all() if job == "help" else parse_all(json.load(sys.stdin))
    Path(out).write_text(json.dumps(outcomes))


if __name__ == "__main__":
    main(*sys.argv[1:])
