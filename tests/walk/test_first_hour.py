"""The first hour of a new user: from a wheel and a folder of pictures to answers on a web page.

In an empty environment, with the commands of the documentation; every step is asked about the same
30 pictures, and has to be right about all of them.
"""

import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from keras_classics.environment import CONSTRAINTS
from reproduce.finetuning.sets import SmallSet, write_set
from tests.helpers.browser import CHROMEDRIVER, CHROMIUM, Browser, served
from tests.helpers.programs import ROOT

pytestmark = pytest.mark.slow

SHAPES = SmallSet(("circle", "square", "triangle"), 30, "resnet20", "fashion_mnist")
PICTURES = 30

# The code of the documentation for programs without this package, with a loop about it.
PAGE = (ROOT / "docs" / "export.md").read_text()
SECTION = PAGE.split("## Use an export without this package\n")[1].split("\n## ")[0]
PREPARED, ONNX, LITERT, TENSORFLOW, _ = re.findall(
    r"^```python slow\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL
)


def indented(code: str) -> str:
    return "".join(f"    {line}\n" for line in code.splitlines())


def answering(code: str) -> str:
    """A program that answers for every file that it is given, a label and a probability a line."""
    loop = indented(code.replace('"digit.png"', "path"))
    return f"import sys\n{PREPARED}\nfor path in sys.argv[1:]:\n{loop}"


class Walk:
    """A folder, an environment with the wheel, and the commands that were typed."""

    def __init__(self, folder: Path):
        self.folder, self.commands = folder, []
        self._bin = folder / "venv" / "bin"

    def run(self, *command: str) -> str:
        """Types a command; returns what it prints."""
        self.commands.append(" ".join(command))
        environment = {
            "HOME": os.environ["HOME"],
            "LANG": "C.UTF-8",
            "PATH": f"{self._bin}:{os.environ['PATH']}",
        }
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def walk(tmp_path_factory) -> Walk:
    folder = tmp_path_factory.mktemp("walk")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(ROOT)]
    subprocess.run(pip, check=True)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=True)
    walk = Walk(folder)
    walk.run("pip", "install", "-q", "-c", str(CONSTRAINTS), f"{wheel}[train,export]")
    return walk


@pytest.fixture(scope="module")
def pictures(walk) -> list[Path]:
    """The files, named after their classes too."""
    write_set(walk.folder / "pictures", SHAPES, 0, None)
    files = sorted((walk.folder / "pictures" / "validation").glob("*/*.png"))
    # A third of those that are written; the others are gone.
    kept = [file for file in files if int(file.stem) < PICTURES // len(SHAPES.classes)]
    for file in set(files) - set(kept):
        file.unlink()
    return kept


@pytest.fixture(scope="module")
def tuned(walk, pictures) -> str:
    return walk.run(
        *("keras-classics", "finetune", "--model=resnet20", "--dataset=folder:pictures"),
        "--run_dir=runs/pictures",
    )


@pytest.fixture(scope="module")
def exported(walk, tuned) -> str:
    return walk.run(
        *("keras-classics", "export", "--model=runs/pictures", "--out=served"),
        *("--formats=saved_model,tflite,onnx", "--quantize=none,float16,dynamic,int8"),
    )


def test_fine_tuning_learns_the_pictures(tuned):
    assert "all layers: accuracy 100.00 % on 30 images" in tuned


def test_the_run_is_evaluated(walk, tuned):
    evaluated = walk.run(
        "keras-classics", "evaluate", "--model=runs/pictures", "--dataset=folder:pictures", "--json"
    )
    assert json.loads(evaluated)["top1_error"] == 0


def test_the_run_is_exported_in_six_forms(exported):
    lines = [line for line in exported.splitlines() if " % " in line or line.endswith("%")]
    assert len(lines) == 6
    assert all(line.count("100.00 %") == 3 for line in lines), exported


@pytest.mark.parametrize("export", ["", "/model_int8.tflite", "/model.onnx"])
def test_predict_is_right(walk, exported, pictures, export):
    printed = walk.run(
        "keras-classics", "predict", f"--model_path=served{export}", *map(str, pictures)
    )
    lines = printed.splitlines()
    best = {line: lines[i + 1].split()[0] for i, line in enumerate(lines) if line[0] != " "}
    assert best == {str(path): path.parent.name for path in pictures}


@pytest.mark.parametrize("runtime", [ONNX, LITERT, TENSORFLOW], ids=["onnx", "litert", "tf"])
def test_the_manifest_alone_is_enough(walk, exported, pictures, runtime):
    program = walk.folder / "answer.py"
    program.write_text(answering(runtime))
    printed = walk.run("python", "answer.py", *map(str, pictures))
    assert [line.split()[0] for line in printed.splitlines()] == [p.parent.name for p in pictures]


@pytest.mark.skipif(not (CHROMIUM and CHROMEDRIVER), reason="chromium is not installed")
def test_the_page_is_right(walk, exported, pictures):
    walk.run("keras-classics", "demo", "--export=served", "--out=site")
    status = "return document.querySelector('#status').textContent"
    browser = Browser()
    try:
        with served(walk.folder / "site") as (address, _):
            browser.open(address)
            for path in pictures:
                browser.choose("#file", path)
                browser.wait_for(f"{status}.startsWith('{path.parent.name}, ')")
            browser.screenshot(walk.folder / "page.png")
        assert not browser.errors()
    finally:
        browser.close()
    print(f"{len(walk.commands)} commands", *walk.commands, sep="\n")
