"""The help of every command and program, and the commands that result rows hold."""

import csv
import itertools
import json
import pkgutil
import re
import shlex

import pytest

import reproduce
from keras_classics import cli
from tests.helpers.programs import ROOT

COMMANDS = [m.name for m in pkgutil.iter_modules(cli.__path__) if not m.name.startswith("_")]
TRAINING = [m.name for m in pkgutil.iter_modules(reproduce.__path__) if not m.ispkg]
OTHERS = ["report", "benchmark", "scaling", "full_length"]

# Parses the flags of each line, and runs a training program until it would start its run.
PARSE = """
import importlib, json, sys
from absl import flags

class RunStartedError(Exception):
    pass

def start(*_):
    raise RunStartedError

module, lines = sys.argv[1], json.loads(sys.argv[2])
program = importlib.import_module(module)
if hasattr(program, "__path__"):
    program = importlib.import_module(f"{module}.__main__")
names = ("keras_classics.cli._training", "reproduce.claims.comparison")
runs = [sys.modules[name] for name in names if name in sys.modules]
for run in runs:
    run.make_strategy = start
for arguments in lines:
    flags.FLAGS.unparse_flags()
    assert len(flags.FLAGS([module, *arguments])) == 1, arguments
    if runs:
        try:
            program.main()
        except RunStartedError:
            continue
        raise AssertionError(f"{arguments} did not start a run.")
"""


def help_of(run_program, *words: str) -> str:
    done = run_program("-m", *words, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def assert_help(text: str, command: str) -> None:
    docstring, usage, rest = text.partition(f"\nUsage: {command} ")
    assert docstring.strip().splitlines()[0].endswith(".")
    assert usage
    assert max(map(len, rest.splitlines())) <= 100
    # None of absl's own flags.
    assert "--verbosity" not in rest
    assert "--logtostderr" not in rest


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(run_program, name):
    assert_help(help_of(run_program, "keras_classics.cli", name), f"keras-classics {name}")


@pytest.mark.parametrize("name", OTHERS)
def test_help_of_a_program(run_program, name):
    module = f"reproduce.{name}"
    assert_help(help_of(run_program, module), f"python -m {module}")


@pytest.mark.parametrize("name", TRAINING)
def test_help_of_a_training_program(run_program, name):
    module = f"reproduce.{name}"
    text = help_of(run_program, module)
    assert_help(text, f"python -m {module}")
    titles = re.findall(r"^(\w[\w ]*):$", text.partition("\nUsage: ")[2], re.MULTILINE)
    assert titles[-4:] == ["Recipe", "Data", "Run", "Devices"]
    assert set(titles[:-4]) <= {"Flags of this program", "Comparison", "Short run"}
    assert re.search(r"^  --set=TEXT +FIELD=VALUE", text, re.MULTILINE)
    assert re.search(r"^  --learning_rate=X ", text, re.MULTILINE)
    assert "(default: auto)" in text


def test_help_says_what_is_required_and_what_is_default(run_program):
    text = help_of(run_program, "keras_classics.cli", "finetune")
    assert re.search(r"^  --model=TEXT +Name of the network. \(required\)$", text, re.MULTILINE)
    assert re.search(r"^  --strategy=[a-z_|]+\s+Devices[^-]* \(default: auto\)$", text, re.M)
    assert re.search(r"^  --batch_size=N +Global batch size[^-]* if unset\.$", text, re.M)
    assert "\n  --batch_norm=frozen|train|synchronized\n" in text
    text = help_of(run_program, "keras_classics.cli", "predict")
    assert "Usage: keras-classics predict IMAGES... [--FLAG=VALUE ...]" in text


def commands_of_result_rows() -> dict[str, list[list[str]]]:
    """Arguments of all commands, by the module that they run."""
    commands = set()
    for path in (ROOT / "reproduce" / "results").glob("*.csv"):
        with open(path, newline="") as file:
            commands |= {row["command"] for row in csv.DictReader(file) if "command" in row}
    by_module: dict[str, list[list[str]]] = {}
    for command in sorted(commands):
        # Behind the number of threads.
        words = itertools.dropwhile(lambda word: "=" in word, shlex.split(command))
        interpreter, *rest = words
        if interpreter.endswith("keras-classics"):
            rest = ["-m", "keras_classics.cli", *rest]
        _, module, *arguments = rest
        if module == "keras_classics.cli":
            module = f"{module}.{arguments.pop(0)}"
        by_module.setdefault(module, []).append(arguments)
    return by_module


RESULT_COMMANDS = commands_of_result_rows()


@pytest.mark.parametrize("module", RESULT_COMMANDS)
def test_commands_of_result_rows_still_run(run_program, module):
    done = run_program("-c", PARSE, module, json.dumps(RESULT_COMMANDS[module]))
    assert done.returncode == 0, done.stderr


def test_there_are_commands_in_result_rows():
    assert sum(map(len, RESULT_COMMANDS.values())) > 400
    assert {"reproduce.lenet5_mnist", "keras_classics.cli.evaluate"} <= set(RESULT_COMMANDS)
