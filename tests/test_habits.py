"""The habits of the tests themselves."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FILES = sorted(TESTS.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """What a file imports: modules, and names of modules, which may be modules too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def is_test(module: str) -> bool:
    first, *parts = module.split(".")
    if first != "tests":
        return False
    return any(part.startswith("test_") or part in ("conftest", "fixtures") for part in parts)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_what_tests_share_is_no_test_itself(path):
    assert not [module for module in imported(path) if is_test(module)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_keras_is_imported_by_its_public_names(path):
    assert not [module for module in imported(path) if module.startswith("keras.src")]
