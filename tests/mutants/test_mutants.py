"""The search for faults that the tests miss, on a module of a few lines."""

import ast
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.__main__ import MODULES, draw
from tests.mutants.mutations import find_mutations
from tests.mutants.trial import OWN, Trial

ROOT = Path(__file__).parents[2]

TOY = '''"""A module: the number 7 here stays."""

from typing import Literal

LIMIT = 500


def flip(draw: float, share: float = 0.5, side: Literal["left", "right"] = "left") -> bool:
    """Whether a draw below 0.5 flips."""
    if not side:
        raise ValueError(f"side must be 1 of 2. Received: {side!r}.")
    while draw > LIMIT:
        draw -= 1
    return draw < share
'''
WEAK = """
from zoo.models.toy import flip

def test_flips():
    assert flip(0.4)
    assert not flip(0.9)
    assert flip(501.5) is False

def test_that_fails_anyway():
    assert not flip(0.4)
"""


def changes(source: str) -> set[tuple[str, str]]:
    return {(m.old, m.new) for m in find_mutations("zoo/models/toy.py", source)}


def test_every_module_has_its_tests():
    modules = [path.relative_to(ROOT).as_posix() for glob in MODULES for path in ROOT.glob(glob)]
    trial = Trial(ROOT, measured=None, budget=0)
    assert [module for module in modules if not any(trial.files(module))] == []
    assert {(ROOT / name).is_file() for name in OWN} == {True}
    assert {(ROOT / "tests" / name).is_file() for name in OWN.values()} == {True}


def test_changes_of_a_small_module():
    assert changes(TOY) == {
        ("500", "501"),
        ("500", "499"),
        ("0.5", "0.45"),
        ("0.5", "1.0"),
        ('"left"', "'left_'"),
        ("not side", "(side)"),
        ('raise ValueError(f"side must be 1 of 2. Received: {side!r}.")', "pass"),
        (">", ">="),
        (">", "<="),
        ("-=", "+="),
        ("1", "2"),
        ("1", "0"),
        ("draw < share", "None"),
        ("<", "<="),
        ("<", ">="),
    }


def test_operators_are_found_between_operands_of_any_form():
    assert changes("x = (a) is not (b)") == {("is not", "is")}
    assert changes("x = 'ä ö' + -b") == {("+", "-"), ("-b", "(b)")}
    assert ("and", "or") in changes("x = (a\n and\n b)")
    assert ("*", "/") in changes("x = f(a)[0] * b")
    assert ("y", "(not (y))") in changes("x = 1 if y else 2")


def test_what_is_left_as_it_is():
    assert changes("for a, b in zip(c, d, strict=True):\n    pass") == set()
    assert changes("@dataclass(frozen=True)\nclass A:\n    b: int") == set()
    assert changes("__all__ = ['a']\nfrom b import c\nx: Literal['d']") == set()
    assert changes("if TYPE_CHECKING:\n    x = 1") == set()
    assert changes("warnings.warn('one', stacklevel=2)") == {
        ("warnings.warn('one', stacklevel=2)", "None")
    }


def test_every_change_is_python():
    for module in (path for pattern in MODULES for path in ROOT.glob(pattern)):
        source = module.read_text()
        found = find_mutations(str(module), source)
        for mutation in random.Random(0).sample(found, min(9, len(found))):
            ast.parse(mutation.apply(source))


def test_the_draw_is_fixed_by_its_seed_and_takes_from_every_module():
    by_module = {name: find_mutations(name, TOY * n) for name, n in {"a": 1, "b": 4}.items()}
    drawn = draw(by_module, 12, random.Random(0))
    assert drawn == draw(by_module, 12, random.Random(0))
    assert len(set(drawn)) == 12
    # In proportion to the root of 1 and 4.
    assert Counter(m.module for m in drawn) == {"a": 4, "b": 8}
    assert len(draw(by_module, 10_000, random.Random(0))) == sum(map(len, by_module.values()))


TRY_SOME = """
from pathlib import Path
from tests.mutants.mutations import find_mutations
from tests.mutants.trial import OWN, Trial
from tests.mutants.suite import Measured
from tests.mutants.trial import Trial

module = "zoo/models/toy.py"
trial = Trial(Path(), Measured(Path(), Path("kept"), [module], print), budget=60, grace=3)
for mutation in find_mutations(module, Path(module).read_text()):
    if mutation.new not in ("501", "0.45", ">=", "+="):
        continue
    print(mutation.old, "->", mutation.new, *trial.run(mutation), sep="|")
print("unsound", trial.unsound(["tests/models/test_toy.py::test_that_fails_anyway"]))
"""


def run_in(folder, code: str) -> subprocess.CompletedProcess:
    """Runs code in a process of its own: one that has run TensorFlow must not fork."""
    path = os.pathsep.join((str(ROOT), str(folder)))
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_survivors_and_kills(tmp_path):
    for folder in ("zoo/models", "tests/models"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "zoo/models/toy.py").write_text(TOY)
    (tmp_path / "tests/models/test_toy.py").write_text(WEAK)
    done = run_in(tmp_path, TRY_SOME)
    assert done.returncode == 0, done.stderr
    told = [line.split("|") for line in done.stdout.splitlines() if "|" in line]
    assert {(old, new): end for old, _, new, end, _ in told} == {
        ("500", "501"): "survived",
        ("0.5", "0.45"): "survived",
        (">", ">="): "survived",
        ("-=", "+="): "timeout",
        ("<", ">="): "killed",
    }
    assert told[-1][-1] == "tests/models/test_toy.py::test_flips"
    assert "is left out: tests/models/test_toy.py::test_that_fails_anyway" in done.stdout
    assert "unsound {'tests/models/test_toy.py::test_that_fails_anyway'}" in done.stdout
    assert (tmp_path / "zoo/models/toy.py").read_text() == TOY


SEE = """
import inspect, linecache, sys
from pathlib import Path
from tests.mutants.replaced import replace_sources

path = Path("toy.py").absolute()
replace_sources({path: path.read_text().replace("0.5", "0.45")})
import toy

linecache.updatecache(toy.__file__)  # As AutoGraph does.
print(toy.flip(0.47), "0.45" in inspect.getsource(toy.flip))
"""


def test_autograph_reads_the_replaced_source(tmp_path):
    (tmp_path / "toy.py").write_text(TOY)
    done = run_in(tmp_path, SEE)
    assert done.stdout == "False True\n", done.stderr
