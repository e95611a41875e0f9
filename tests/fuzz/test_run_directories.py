"""Damaged files of a run directory: one line, or the result that there would have been."""

import collections
import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from keras_classics.data import ImageData
from keras_classics.errors import UserError
from keras_classics.training import RunResult, load_run, read_recipe, read_result, train
from tests.fuzz import mutations
from tests.helpers.runs import MODERN, assert_same_bits

RECIPE = dataclasses.replace(MODERN, epochs=2, limit_train=24, limit_test=10)


def in_place(make) -> mutations.Mutation:
    """A mutation of the path itself; it returns nothing to write."""
    return lambda content, draw: make


def other_value(content: bytes, draw: np.random.Generator) -> bytes:
    """Replaces a value anywhere in a JSON file by one of another kind."""
    try:
        whole = json.loads(content)
    except ValueError:
        return b"null"
    value, holders = whole, []
    while isinstance(value, dict | list) and value and (not holders or draw.integers(4)):
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = keys[draw.integers(len(keys))]
        holders.append((value, key))
        value = value[key]
    others = (None, True, -1, 10**30, 1e308, float("nan"), "", "\ud800", "a\nb", [], {}, [[]])
    if holders:
        holder, key = holders[-1]
        holder[key] = others[draw.integers(len(others))]
    return json.dumps(whole).encode()


KINDS = {
    **mutations.BYTES,
    "missing": in_place(lambda path: None),
    "a folder": in_place(os.mkdir),
    "a FIFO": in_place(os.mkfifo),
    "a link to nothing": in_place(lambda path: path.symlink_to("nothing")),
    "a link to itself": in_place(lambda path: path.symlink_to(path.name)),
    "another JSON value": other_value,
    "a JSON list": lambda content, draw: b"[]",
    "a JSON number": lambda content, draw: b"1" * int(draw.integers(1, 5000)),
    "deep JSON": lambda content, draw: b"[" * 50_000,
    "not UTF-8": lambda content, draw: content[:20] + b"\xff\xfe" + content[20:],
}


@dataclasses.dataclass
class Runs:
    finished: Path
    stopped: Path
    data: ImageData
    result: RunResult
    probabilities: np.ndarray


@pytest.fixture(scope="module")
def runs(few_digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    data = few_digits.limited(24, 10)
    result = train(RECIPE, folder / "finished", data=data)

    shutil.copytree(folder / "finished", folder / "stopped")
    for name in ("result.json", "model.keras", "final.weights.h5", "plots"):
        path = folder / "stopped" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    run = load_run(folder / "finished")
    probabilities = run.model(run.preprocessing(data.test.images)).numpy()
    return Runs(folder / "finished", folder / "stopped", data, result, probabilities)


def files_of(folder: Path) -> list[Path]:
    """The files and folders of a run, the lock among them."""
    return sorted(folder.rglob("*"))


def damage(path: Path, kind: str, seed: int) -> None:
    content = path.read_bytes() if path.is_file() else b"\0"
    _, made = mutations.drawn({kind: KINDS[kind]}, content or b"\0", seed)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    path.write_bytes(made) if isinstance(made, bytes) else made(path)


def resume(runs: Runs, folder: Path) -> None:
    """Goes on with a run that lacks its last files only."""
    assert train(RECIPE, folder, data=runs.data)["metrics"] == runs.result["metrics"]
    assert_same_bits(folder, runs.finished)


def repeat(runs: Runs, folder: Path) -> None:
    result = train(RECIPE, folder, data=runs.data)
    assert result.keys() >= runs.result.keys() - {"recipe_digest"}
    assert result["seed"] == RECIPE.seed


def load(runs: Runs, folder: Path) -> None:
    """Reads a finished run in each way."""
    read_recipe(folder / "recipe.json")
    read_result(folder / "result.json")
    run = load_run(folder)
    probabilities = run.model(run.preprocessing(runs.data.test.images))
    if run.result["preprocessing"] == runs.result["preprocessing"]:
        np.testing.assert_array_equal(probabilities, runs.probabilities)


def refusal(case: str, action, runs: Runs, folder: Path) -> str | None:
    """Returns the line that ends an action, or None."""
    try:
        action(runs, folder)
    except UserError as error:
        return str(error)
    except BaseException as error:
        raise AssertionError(case) from error
    return None


SLOW = [range(first, first + 125) for first in (0, 125, 250, 375)]


@pytest.mark.parametrize(
    "seeds",
    [range(8), *(pytest.param(seeds, marks=pytest.mark.slow) for seeds in SLOW)],
    ids=lambda seeds: f"{seeds[0]} to {seeds[-1]}",
)
def test_one_line_or_the_same_result(runs, tmp_path, seeds):
    counts = collections.Counter()
    kinds = list(KINDS)
    for seed in seeds:
        draw = np.random.default_rng(seed)
        # Resuming takes seconds, the others less.
        action = (resume, repeat, load, load, repeat)[seed % 5]
        folder = tmp_path / "run"
        shutil.copytree(runs.stopped if action is resume else runs.finished, folder)
        paths = files_of(folder)
        path = paths[draw.integers(len(paths))]
        kind = kinds[draw.integers(len(kinds))]
        case = f"{seed}: {action.__name__}, {path.relative_to(folder)}, {kind}"
        damage(path, kind, seed)
        message = refusal(case, action, runs, folder)
        assert message is None or "\n" not in message, case
        outcome = "the same result" if message is None else "one line"
        counts[action.__name__, outcome] += 1
        shutil.rmtree(folder)
    print(*(f"{n:>6} {a}: {outcome}" for (a, outcome), n in sorted(counts.items())), sep="\n")
