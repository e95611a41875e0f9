"""The package from outside."""

import ast
import re
from pathlib import Path

import pytest

import keras_classics as kc
from tests.helpers.installs import hidden_modules
from tests.helpers.programs import ROOT

PACKAGE = ROOT / "keras_classics"

# From the ground up: a floor imports from those below it, not from those above.
FLOORS = [
    {
        "errors",
        "files",
        "backend",
        "internet",
        "command",
        "environment",
        "timing",
        "image_preprocessing",
        "analysis",
    },
    {"weights", "data"},
    {"models"},
    {"evaluation"},
    {"training", "export"},
    {"demo", "diagnosis"},
    {"cli"},
]

OPTIONAL = """
import sys
for name in ("tensorflow_datasets", "matplotlib", "sklearn", "tqdm", "ai_edge_litert"):
    sys.modules[name] = None
import keras_classics as kc
assert "keras" not in sys.modules
assert kc.lenet5().count_params() == 61_706
from keras_classics.data import load
try:
    load("digits")
except ValueError as error:
    print(error)
"""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Parts of this package that a module imports, at its head or inside."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {n.split(".")[1] for n in names if n.startswith("keras_classics.")}


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downwards(path):
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if part == "__init__":
        return
    floor = next(i for i, parts in enumerate(FLOORS) if part in parts)
    allowed = set().union(*FLOORS[:floor], {part})
    if floor == 0:
        allowed |= {"errors", "files", "backend", "command"}
    assert imported(path) <= allowed
    assert "reproduce" not in path.read_text().replace("reproduce/", "")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_graphs_are_traced_as_they_are_written(path):
    """AutoGraph would rewrite the source of each function: seconds before a first step."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    traced = [
        node
        for node in nodes
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "tf.function"
    ]
    as_written = [
        node
        for node in nodes
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "tf.function"
        and "autograph=False" in map(ast.unparse, node.keywords)
    ]
    assert len(as_written) == len(traced)


def imported_at_once(path: Path) -> set[str]:
    """Packages that a module imports when it is imported itself."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.partition(".")[0] for name in names}


def test_no_extra_is_needed_to_import_a_module():
    hidden = set(hidden_modules([]))
    assert {"tqdm", "sklearn", "onnx"} <= hidden
    assert not {"numpy", "absl", "filelock", "h5py"} & hidden
    paths = [*modules(), *sorted((ROOT / "reproduce").rglob("*.py"))]
    needing = {str(path.relative_to(ROOT)): imported_at_once(path) & hidden for path in paths}
    assert {name: extras for name, extras in needing.items() if extras} == {}


def test_a_program_starts_before_keras_and_works_without_the_extras(run_python):
    done = run_python("-c", OPTIONAL, KERAS_CLASSICS_LAZY="1")
    assert done.returncode == 0, done.stderr
    assert "pip install 'keras-classics[train]'" in done.stdout


# Without modules that Windows does not have; and the package adds its own modules alone to those of
# Keras. One process, because importing Keras anew takes seconds.
ELSEWHERE = """
import sys
for name in ("fcntl", "resource", "grp", "pwd"):
    sys.modules[name] = None
import keras
import numpy as np
before = set(sys.modules)
import keras_classics as kc
added = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(added - set(sys.stdlib_module_names)))
assert "keras_classics.training" not in sys.modules

model = kc.lenet5_1998(name="elsewhere")
model.save(sys.argv[1])
images = np.ones((1, 32, 32, 1), "float32")
np.testing.assert_array_equal(keras.models.load_model(sys.argv[1])(images), model(images))
"""


def test_networks_need_no_module_of_posix_and_little_more_than_keras(run_python, tmp_path):
    done = run_python("-c", ELSEWHERE, str(tmp_path / "model.keras"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['keras_classics']", done.stderr


def test_the_console_command_starts_before_tensorflow(run_python):
    code = "import sys; from keras_classics.cli.__main__ import main; main(); print(*sys.modules)"
    lists = f"import sys; sys.argv = ['bin/keras-classics', '--help']; {code}"
    for done in (run_python("-c", lists), run_python("-m", "keras_classics.cli", "--help")):
        assert done.returncode == 0, done.stderr
        assert "Usage: keras-classics COMMAND" in done.stdout
        assert " tensorflow" not in done.stdout
        assert done.stderr == ""


def test_public_names():
    for name in kc.__all__:
        assert callable(getattr(kc, name))
    parts = {"data", "diagnosis", "evaluation", "export", "training"}
    assert set(dir(kc)) == {*kc.__all__, *parts, "diagnose", "__version__"}
    for name in parts:
        assert getattr(kc, name).__all__
    assert kc.training.Recipe
    assert kc.diagnose is kc.diagnosis.diagnose
    with pytest.raises(AttributeError, match="no attribute 'lenet6'"):
        _ = kc.lenet6


def test_changelog_knows_the_version():
    assert re.search(rf"^## {re.escape(kc.__version__)}", (ROOT / "CHANGELOG.md").read_text(), re.M)
