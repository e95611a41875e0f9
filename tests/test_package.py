"""The package from outside."""

import ast
import re
from pathlib import Path

import pytest

import keras_classics as kc
from tests.helpers.programs import ROOT

PACKAGE = ROOT / "keras_classics"

# From the ground up: a floor imports from those below it, not from those above.
FLOORS = [
    {"errors", "files", "environment", "image_preprocessing", "analysis"},
    {"weights", "data"},
    {"models"},
    {"evaluation"},
    {"training", "export", "demo"},
    {"cli"},
]

OPTIONAL = """
import sys
for name in ("tensorflow_datasets", "matplotlib", "sklearn", "tqdm", "ai_edge_litert"):
    sys.modules[name] = None
import keras_classics as kc
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
        allowed |= {"errors", "files"}
    assert imported(path) <= allowed
    assert "reproduce" not in path.read_text().replace("reproduce/", "")


def test_works_without_the_extras(run_python):
    done = run_python("-c", OPTIONAL)
    assert done.returncode == 0, done.stderr
    assert "pip install 'keras-classics[train]'" in done.stdout


LOADED = """
import sys, keras, keras_classics.models
model = keras.models.load_model(sys.argv[1])
assert model.count_params() == 271_098, model.count_params()
"""


def test_a_saved_network_loads_in_another_process(run_python, tmp_path):
    kc.resnet20().save(tmp_path / "model.keras")
    done = run_python("-c", LOADED, str(tmp_path / "model.keras"))
    assert done.returncode == 0, done.stderr


def test_public_names():
    for name in kc.__all__:
        assert callable(getattr(kc, name))
    assert set(kc.__all__) <= set(dir(kc))
    with pytest.raises(AttributeError, match="no attribute 'lenet6'"):
        _ = kc.lenet6


def test_changelog_knows_the_version():
    assert re.search(rf"^## {re.escape(kc.__version__)}", (ROOT / "CHANGELOG.md").read_text(), re.M)
