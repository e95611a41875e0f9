"""The help of every command and program, and the commands that result rows hold."""

import csv
import json
import re
import subprocess
import sys

import pytest

from tests.helpers.command_lines import OTHERS, names_of_commands, names_of_programs
from tests.helpers.programs import ROOT

COMMANDS = [f"keras-classics {name}" for name in names_of_commands()]
PROGRAMS = names_of_programs()
TRAINING = [name for name in PROGRAMS if name.removeprefix("reproduce.") not in OTHERS]


def outcomes(job: str, path, commands: list[str]) -> dict[str, dict]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.command_lines", job, path],
        cwd=ROOT,
        input=json.dumps(commands),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def helps(tmp_path_factory):
    return outcomes("help", tmp_path_factory.mktemp("help") / "outcomes.json", [])


@pytest.mark.parametrize("name", [*COMMANDS, *PROGRAMS])
def test_help_lists_the_flags_of_this_program(helps, name):
    shown = helps[name]
    assert shown["status"] == 0, shown["output"]
    text = shown["output"]
    command = name if name.startswith("keras-classics") else f"python -m {name}"
    docstring, usage, rest = text.partition(f"\nUsage: {command} ")
    assert len(docstring.strip().splitlines()[0]) > 20
    assert usage
    assert max(map(len, rest.splitlines())) <= 100
    # None of absl's own.
    assert "verbosity" not in rest
    assert "--logtostderr" not in rest


@pytest.mark.parametrize("name", TRAINING)
def test_help_of_a_training_program_is_grouped(helps, name):
    text = helps[name]["output"]
    titles = re.findall(r"^(\w[\w ]*):$", text.partition("\nUsage: ")[2], re.MULTILINE)
    assert titles[-4:] == ["Recipe", "Data", "Run", "Devices"]
    assert set(titles[:-4]) <= {"Flags of this program", "Comparison"}
    assert re.search(r"^  --set=TEXT +FIELD=VALUE", text, re.MULTILINE)
    assert re.search(r"^  --learning_rate=X ", text, re.MULTILINE)
    assert "(default: auto)" in text


def test_help_says_what_is_required(helps):
    text = helps["keras-classics finetune"]["output"]
    assert re.search(r"^  --model=TEXT +Name of the network. \(required\)$", text, re.MULTILINE)
    assert re.search(r"^  --batch_size=N +Global batch size. \(default: 32\)$", text, re.MULTILINE)
    assert "--batch_norm=frozen|train|synchronized" in text
    assert "Usage: keras-classics predict IMAGES... " in helps["keras-classics predict"]["output"]


def test_commands_of_result_rows_still_run(tmp_path):
    commands = set()
    for path in (ROOT / "reproduce" / "results").glob("*.csv"):
        with open(path, newline="") as file:
            commands |= {row["command"] for row in csv.DictReader(file) if "command" in row}
    assert len(commands) > 400
    parsed = outcomes("parse", tmp_path / "outcomes.json", sorted(commands))
    assert {module.rpartition(".")[0] for module in parsed} >= {"reproduce", "keras_classics.cli"}
    for module, outcome in parsed.items():
        assert outcome["status"] == 0, f"{module}: {outcome['output']}"
