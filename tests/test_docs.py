"""README, docs/ and the other pages: their links lead somewhere, their code works.

Python blocks run, all of a page in one namespace; commands in shell blocks are parsed by their
programs, and run in the slow tests, those of a page in one folder. A mark after the language, as in
```python needs-gpu, says why a block does not run: then it is only parsed.
"""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest
import tensorflow as tf

import keras_classics as kc
from keras_classics.training import recipes, train
from reproduce.report.paper_tables import paper_tables
from reproduce.report.peer_tables import peer_tables
from tests.helpers.programs import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    ROOT / "reproduce" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
TEXTS = dict(zip(NAMES, (page.read_text() for page in PAGES), strict=True))

# A network, for data or weights; a GPU, or several machines; a CPU for hours.
NEEDS = ("needs-network", "needs-gpu", "needs-hours")
# Python blocks that take long, or need what the page's commands write: they run in the slow tests.
SLOW = "slow"

BLOCK = re.compile(r"^```([a-z]+)(?: ([\w -]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?)\[([^]]*)\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?:\bpython -m |(?<!['\w-])keras-classics\b)[^\n;&#)]*")
PLACE = re.compile(r"<!-- table: ([a-z]\w+) -->")
EXTRAS = re.compile(r"(?:keras-classics|'\.)\[([\w,]+)\]")
NAMED_WEIGHTS = re.compile(r"\bkc\.(\w+)\(weights=\"(\w+)\"")

# Commands that end in seconds, and in minutes whatever the mark of their block.
QUICK = re.compile(r"^keras-classics$|--help$")
MINUTES = re.compile(r"--smoke$|--check$")
# Its runtime comes from npm, and a server does not end: tests/demo runs them.
ELSEWHERE = re.compile(r"^keras-classics demo\b|-m http\.server\b")

# Runs a program in a folder, in a process that has TensorFlow imported already.
IN_FOLDER = """
import os, runpy, sys
os.chdir(sys.argv[1])
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def blocks(name: str, *languages: str) -> list[tuple[str, str, str]]:
    """The blocks of a page in some languages: language, mark and code."""
    found = BLOCK.findall(TEXTS[name])
    return [block for block in found if block[0] in languages]


def commands_of(code: str) -> list[str]:
    """The commands of a shell block that start Python or this project."""
    found = COMMAND.findall(code.replace("\\\n", " "))
    return [" ".join(command.split()) for command in found]


def commands() -> list[str]:
    """All commands of shell blocks."""
    found = [c for name in NAMES for *_, code in blocks(name, "sh") for c in commands_of(code)]
    return list(dict.fromkeys(found))


def module_and_arguments(command: str) -> list[str]:
    """The module that defines a command's flags, and the arguments."""
    words = shlex.split(command)
    if words[0] == "python":
        return words[2:]
    return [f"keras_classics.cli.{words[1]}", *words[2:]] if words[1:] else ["keras_classics.cli"]


def started_as(command: str) -> list[str]:
    """What follows `python -m` to run a command."""
    words = shlex.split(command)
    return words[2:] if words[0] == "python" else ["keras_classics.cli", *words[1:]]


def test_marks_are_known():
    marks = {(kind, mark) for name in NAMES for kind, mark, _ in blocks(name, "python", "sh")}
    allowed = {(kind, mark) for kind in ("python", "sh") for mark in ("", *NEEDS)}
    assert marks <= allowed | {("python", SLOW)}


def test_code_is_in_blocks_that_are_tested():
    assert {kind for name in NAMES for kind, *_ in BLOCK.findall(TEXTS[name])} <= {"python", "sh"}


@pytest.mark.parametrize("name", [name for name in NAMES if blocks(name, "python")])
def test_python_blocks_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace: dict = {}
    for number, (_, mark, code) in enumerate(blocks(name, "python")):
        compiled = compile(code, f"{name}, block {number}", "exec")
        if not mark:
            exec(compiled, namespace)
        for public in re.findall(r"\bkc\.(\w+)", code):
            assert hasattr(kc, public), public
        for network, weights in NAMED_WEIGHTS.findall(code):
            assert kc.find_weights(f"{network}/{weights}")


def test_shell_blocks_parse():
    for name in NAMES:
        for _, mark, code in blocks(name, "sh"):
            subprocess.run(["bash", "-n"], input=code, text=True, check=True)
            # What is neither ours nor make's is not run by any test.
            lines = code.replace("\\\n", " ").splitlines()
            assert mark or all(re.match("make |keras-classics|python -m ", line) for line in lines)


def test_commands_parse(run_program, tmp_path):
    ours = [c for c in map(module_and_arguments, commands()) if not is_elsewhere(c[0])]
    assert len(ours) > 50
    (tmp_path / "commands.json").write_text(json.dumps(ours))
    done = run_program("-m", "tests.helpers.flag_check", str(tmp_path / "commands.json"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


def is_elsewhere(module: str) -> bool:
    """Whether a module is no program of ours with flags of absl; it has to exist all the same."""
    assert find_spec(module), module
    return not module.startswith(("keras_classics.cli.", "reproduce."))


def test_extras_exist():
    known = set(metadata.metadata("keras-classics").get_all("Provides-Extra"))
    named = {
        extra
        for text in TEXTS.values()
        for group in EXTRAS.findall(text)
        for extra in group.split(",")
    }
    assert named
    assert named <= known


@pytest.mark.parametrize("command", [c for c in commands() if QUICK.search(c)])
def test_quick_commands(command, run_program):
    done = run_program("-m", *started_as(command))
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", [c for c in commands() if MINUTES.search(c)])
def test_commands_of_minutes(command, tmp_path, run_program):
    run_dir = [f"--run_dir={tmp_path / 'run'}"] if command.endswith("--smoke") else []
    done = run_program("-m", *started_as(command), *run_dir)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def started(tmp_path_factory, digits) -> Path:
    """A folder with what the pages' commands begin with: a run, an image, a folder of images."""
    folder = tmp_path_factory.mktemp("started")
    recipe = replace(recipes.LENET5_MODERN, dataset="digits", epochs=2)
    train(recipe, folder / "runs" / "lenet5_digits")
    image = tf.io.encode_png(digits.test.image(0)).numpy()
    for place in ("digit.png", "PATH/train/zero/a.png", "PATH/validation/zero/b.png"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_bytes(image)
    return folder


def walked() -> Iterator[str]:
    """The pages with commands that run, other than those of make, or with slow blocks."""
    for name in NAMES:
        run = [code for _, mark, code in blocks(name, "sh") if not mark]
        if any(map(commands_of, run)) or any(mark == SLOW for _, mark, _ in blocks(name, "python")):
            yield name


@pytest.mark.slow
@pytest.mark.parametrize("name", walked())
def test_blocks_run_in_order(name, started, tmp_path, run_program, monkeypatch):
    """Commands, then Python blocks, in one folder."""
    folder = tmp_path / "here"
    shutil.copytree(started, folder)
    for _, mark, code in blocks(name, "sh"):
        for command in [] if mark else commands_of(code):
            if not ELSEWHERE.search(command):
                done = run_program("-c", IN_FOLDER, str(folder), *started_as(command))
                assert done.returncode == 0, (command, done.stderr)
                assert done.stdout + done.stderr, command
    monkeypatch.chdir(folder)
    namespace: dict = {}
    for _, mark, code in blocks(name, "python"):
        if mark in ("", SLOW):
            exec(code, namespace)


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for name in NAMES:
        for target in re.findall(r"^make ([\w-]+)|`make ([\w-]+)`", TEXTS[name], re.MULTILINE):
            assert re.search(rf"^{''.join(target)}:", makefile, re.MULTILINE), (name, target)


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_files(name):
    # In code, [a](b) is a subscript and a call.
    for image, text, link in LINK.findall(BLOCK.sub("", TEXTS[name])):
        path, _, _ = link.partition("#")
        if path and "://" not in path:
            assert (ROOT / name).parent.joinpath(path).exists(), link
        # The site would put in the page's title, GitHub nothing.
        assert text or image, link


def test_tables_have_places():
    # Those of docs/scaling.md are checked in tests/reproduce/test_scaling.py.
    pages = TEXTS.keys() - {"docs/scaling.md"}
    places = {place for name in pages for place in PLACE.findall(TEXTS[name])}
    gpu = {"gpu_speed", "gpu_speed_machine", "full_length", "full_length_machine"}
    others = {"lenet5", "exports", "finetuning", "doctor", "weights", "zoo"}
    assert places == {*others, *gpu, *peer_tables([]), *paper_tables()}


def test_readme_is_short():
    assert len(TEXTS["README.md"].splitlines()) <= 150


def test_every_figure_is_in_the_gallery():
    figures = {path.name for path in Path(ROOT, "reproduce", "figures").glob("*.png")}
    shown = {Path(link).name for _, _, link in LINK.findall(TEXTS["docs/gallery.md"])}
    assert figures <= shown
