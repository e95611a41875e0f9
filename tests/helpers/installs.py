"""What `pip install` of the package installs, with some of its extras; all else can be hidden."""

import importlib.metadata
import sys
from collections.abc import Iterable, Sequence
from importlib.abc import MetaPathFinder

import setuptools
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.helpers.programs import ROOT

# The tests, which no install brings.
OURS = {"keras_classics", "reproduce", "tests"}


def setup_metadata() -> dict:
    """Returns what setup.py tells setuptools."""
    given: dict = {}
    real, setuptools.setup = setuptools.setup, given.update
    program = ROOT / "setup.py"
    try:
        exec(program.read_text(), {"__file__": str(program), "__name__": "__main__"})
    finally:
        setuptools.setup = real
    return given


def hidden_modules(extras: Sequence[str]) -> list[str]:
    """Returns the installed modules that an install with these extras would not have."""
    metadata = setup_metadata()
    needs = [*metadata["install_requires"]]
    for extra in extras:
        needs += metadata["extras_require"][extra]
    installed = _with_dependencies(needs)
    return sorted(
        module
        for module, names in importlib.metadata.packages_distributions().items()
        if module not in OURS and not installed & set(map(canonicalize_name, names))
    )


def _with_dependencies(needs: Iterable[str]) -> set[str]:
    """The names of packages and of all that they need in turn."""
    found: set[tuple[str, frozenset[str]]] = set()
    left = [Requirement(need) for need in needs]
    while left:
        need = left.pop()
        key = (canonicalize_name(need.name), frozenset(need.extras))
        if key in found:
            continue
        found.add(key)
        try:
            texts = importlib.metadata.requires(need.name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # For another system, or a package that is not installed here either.
        for text in texts:
            child = Requirement(text)
            environments = [{"extra": extra} for extra in need.extras or ("",)]
            if child.marker is None or any(map(child.marker.evaluate, environments)):
                left.append(child)
    return {name for name, _ in found}


class Hider(MetaPathFinder):
    """Lets imports of some modules fail as if they were not installed."""

    def __init__(self, names: Iterable[str]):
        self._names = set(names)

    def find_spec(self, name: str, *_) -> None:
        """Finds nothing, and ends the search for a hidden module."""
        if name.partition(".")[0] in self._names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def hide(names: Iterable[str]) -> None:
    """Hides modules from this process."""
    sys.meta_path.insert(0, Hider(names))
