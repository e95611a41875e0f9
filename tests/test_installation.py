"""What is installed: the pins, and the files of the package."""

import importlib.metadata
import itertools
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from keras_classics import environment
from keras_classics.cli import __main__ as console
from keras_classics.environment import CONSTRAINTS, ONEDNN, current_environment
from tests.helpers.installs import setup_metadata
from tests.helpers.programs import ROOT

PINS = [line for line in CONSTRAINTS.read_text().splitlines() if not line.startswith("#")]


@pytest.fixture
def metadata(monkeypatch) -> dict:
    """What setup.py tells setuptools."""
    monkeypatch.chdir(ROOT)
    return setup_metadata()


def packaged(metadata: dict) -> set[str]:
    """The files of the package that are not Python's, by the patterns of setup.py."""
    return {
        str(path.relative_to(ROOT))
        for package, patterns in metadata["package_data"].items()
        for pattern in patterns
        for path in (ROOT / package.replace(".", "/")).glob(pattern)
        if path.is_file()
    }


def tracked() -> set[str]:
    names = subprocess.check_output(["git", "ls-files", "keras_classics"], cwd=ROOT, text=True)
    return {name for name in names.split() if not name.endswith(".py")}


def test_one_version_of_each_package_is_pinned():
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in PINS)
    names = [canonicalize_name(pin.split("==")[0]) for pin in PINS]
    assert len(set(names)) == len(names)
    assert not {name for name in names if name.startswith(("torch", "nvidia"))}


def test_the_pins_install_on_the_oldest_python_of_setup(metadata):
    # Python 3.11.2 of Debian 12 is older than what some releases of 3.11 are made for.
    oldest = metadata["python_requires"].removeprefix(">=") + ".0"
    for pin in PINS:
        name, version = pin.split("==")
        try:
            found = importlib.metadata.metadata(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # A tool that is installed apart, such as pre-commit.
        if found["Version"] == version:
            assert SpecifierSet(found["Requires-Python"] or "").contains(oldest), pin


def test_the_pins_are_within_the_bounds_of_setup(metadata):
    pins = {canonicalize_name(name): version for name, version in (p.split("==") for p in PINS)}
    # torch and what needs it are not installed with the others.
    extras = [n for name, n in metadata["extras_require"].items() if name not in ("torch", "lpips")]
    for text in itertools.chain(metadata["install_requires"], *extras):
        requirement = Requirement(text)
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), text


def test_a_result_names_its_pins(monkeypatch, tmp_path):
    monkeypatch.setattr(environment, "CONSTRAINTS", tmp_path / "constraints.txt")
    assert current_environment()["constraints"] is None
    numpy = current_environment()["versions"]["numpy"]
    (tmp_path / "constraints.txt").write_text(f"# All of them.\nnumpy=={numpy}\nno-such==1\n")
    same = current_environment()["constraints"]
    assert re.fullmatch("[0-9a-f]{12}", same)
    (tmp_path / "constraints.txt").write_text("numpy==0.1\n")
    assert re.fullmatch(r"[0-9a-f]{12}\+", current_environment()["constraints"])


def test_a_result_names_its_threads(monkeypatch):
    monkeypatch.delenv("TF_NUM_INTEROP_THREADS", raising=False)
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    usable = len(os.sched_getaffinity(0))
    assert current_environment()["threads"] == {"intra_op": 3, "inter_op": usable}


# What `python -m reproduce.NAME` does first.
START = """
import os, sys
sys.argv, sys.orig_argv = ["-m"], [sys.executable, "-m", sys.argv[1]]
import reproduce
print(os.environ.get("TF_ENABLE_ONEDNN_OPTS"), "tensorflow" in sys.modules)
"""


@pytest.mark.parametrize(
    ("name", "given", "onednn"),
    [
        ("reproduce.vgg_depth", {}, "1"),
        ("reproduce.vgg_depth", {ONEDNN: "0"}, "0"),
        ("reproduce.benchmark", {}, "None"),
    ],
)
def test_programs_turn_onednn_on_before_tensorflow_is_imported(name, given, onednn, monkeypatch):
    monkeypatch.delenv(ONEDNN, raising=False)
    environment = {**os.environ, **given}
    command = [sys.executable, "-c", START, name]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout.split() == [onednn, "False"], done.stderr


@pytest.mark.parametrize(
    ("command", "onednn"),
    [("train", "1"), ("finetune", "1"), ("evaluate", None), ("predict", None), ("demo", None)],
)
def test_commands_that_train_turn_onednn_on(command, onednn, monkeypatch):
    # Set first, so that it is as before after the test.
    monkeypatch.setenv(ONEDNN, "")
    monkeypatch.delenv(ONEDNN)
    monkeypatch.setattr(sys, "argv", ["keras-classics", command])
    monkeypatch.setattr(console, "prepare_terminal", lambda: None)
    monkeypatch.setattr(console._program, "run", lambda main, argv: None)
    monkeypatch.setattr(console.importlib, "import_module", lambda name: console)
    console._run()
    assert os.environ.get(ONEDNN) == onednn


def test_all_files_of_the_package_are_packaged(metadata):
    assert tracked() == packaged(metadata)
    names = {Path(name).name for name in tracked()}
    assert {"index.html", "py.typed", "imagenet_classes.txt", "package-lock.json"} <= names


@pytest.mark.slow
def test_a_wheel_holds_the_package(metadata, tmp_path):
    # A copy, because a build takes what older builds left behind.
    copy = tmp_path / "copy"
    subprocess.run(["git", "checkout-index", "--all", f"--prefix={copy}/"], cwd=ROOT, check=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*command, f"--wheel-dir={tmp_path}", str(copy)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        files = {name for name in archive.namelist() if ".dist-info/" not in name}
    code = subprocess.check_output(["git", "ls-files", "keras_classics/**.py"], cwd=ROOT, text=True)
    assert files == {*code.split(), *packaged(metadata)}
