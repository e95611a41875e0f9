"""README, docs/ and the other pages: their links lead somewhere, their code works.

Python blocks run, all of a page in one namespace, unless they are marked as in ```python no-run.
Commands in shell blocks are parsed by their programs. --help is run too, and --smoke in the slow
tests.
"""

import json
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import keras_classics as kc
from reproduce.report.paper_tables import paper_tables
from tests.helpers.programs import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    ROOT / "reproduce" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
TEXTS = dict(zip(NAMES, (page.read_text() for page in PAGES), strict=True))

BLOCK = re.compile(r"^```(python|sh)( no-run)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?)\[([^]]*)\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?:\bpython -m |\bkeras-classics\b)[^\n;&#)]*")
PLACE = re.compile(r"<!-- table: ([a-z]\w+) -->")

# What ends in seconds, and what in minutes.
QUICK = re.compile(r"^keras-classics$|--help$")
MINUTES = re.compile(r"^keras-classics zoo\b|--smoke$|--check$")


def blocks(name: str, language: str) -> list[tuple[bool, str]]:
    """The blocks of a page in a language: whether it runs, and its code."""
    found = BLOCK.findall(TEXTS[name])
    return [(not no_run, code) for kind, no_run, code in found if kind == language]


def commands() -> list[str]:
    """All commands of this project in shell blocks."""
    text = "\n".join(code for name in NAMES for _, code in blocks(name, "sh"))
    found = COMMAND.findall(text.replace("\\\n", " "))
    return list(dict.fromkeys(" ".join(command.split()) for command in found))


def module_and_arguments(command: str) -> list[str]:
    words = shlex.split(command)
    if words[0] == "python":
        return words[2:]
    return [f"keras_classics.cli.{words[1]}", *words[2:]] if words[1:] else ["keras_classics.cli"]


def result_of(command: str) -> subprocess.CompletedProcess:
    words = shlex.split(command)
    if words[0] == "keras-classics":
        words = ["python", "-m", "keras_classics.cli", *words[1:]]
    return subprocess.run([sys.executable, *words[1:]], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("name", [name for name in NAMES if blocks(name, "python")])
def test_python_blocks_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace: dict = {}
    for number, (runs, code) in enumerate(blocks(name, "python")):
        compiled = compile(code, f"{name}, block {number}", "exec")
        if runs:
            exec(compiled, namespace)
        for public in re.findall(r"\bkc\.(\w+)", code):
            assert hasattr(kc, public), public


def test_commands_parse():
    ours = [c for c in map(module_and_arguments, commands()) if not is_elsewhere(c[0])]
    assert len(ours) > 50
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.flag_check"],
        cwd=ROOT,
        input=json.dumps(ours),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == []


def is_elsewhere(module: str) -> bool:
    """Whether a module is no program of ours with flags of absl; it has to exist all the same."""
    assert find_spec(module), module
    return not module.startswith(("keras_classics.cli.", "reproduce."))


@pytest.mark.parametrize("command", [c for c in commands() if QUICK.search(c)])
def test_quick_commands(command):
    done = result_of(command)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", [c for c in commands() if MINUTES.search(c)])
def test_commands_of_minutes(command, tmp_path):
    run_dir = f" --run_dir={tmp_path / 'run'}" if command.endswith("--smoke") else ""
    done = result_of(command + run_dir)
    assert done.returncode == 0, done.stderr


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for name in NAMES:
        for target in re.findall(r"^make ([\w-]+)|`make ([\w-]+)`", TEXTS[name], re.MULTILINE):
            assert re.search(rf"^{''.join(target)}:", makefile, re.MULTILINE), (name, target)


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_files(name):
    for image, text, link in LINK.findall(TEXTS[name]):
        path, _, _ = link.partition("#")
        if path and "://" not in path:
            assert (ROOT / name).parent.joinpath(path).exists(), link
        # The site would put in the page's title, GitHub nothing.
        assert text or image, link


def test_tables_have_places():
    # Those of docs/scaling.md are checked in tests/reproduce/test_scaling.py.
    pages = TEXTS.keys() - {"docs/scaling.md"}
    places = {place for name in pages for place in PLACE.findall(TEXTS[name])}
    assert places == {"lenet5", "exports", "weights", "zoo", *paper_tables()}


def test_readme_is_short():
    assert len(TEXTS["README.md"].splitlines()) <= 150


def test_every_figure_is_in_the_gallery():
    figures = {path.name for path in Path(ROOT, "reproduce", "figures").glob("*.png")}
    shown = {Path(link).name for _, _, link in LINK.findall(TEXTS["docs/gallery.md"])}
    assert figures <= shown
