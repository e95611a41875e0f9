"""The notebooks run from top to bottom, and are stored with what they show."""

import base64
import re

import nbformat
import numpy as np
import pytest
import tensorflow as tf

from notebooks.execute import METADATA, executed, solutions
from tests.helpers.programs import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]

MOST_BYTES = 400_000
# Of somebody's machine.
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/])/(tmp|home|root|work|usr|opt|Users)/")


def code(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook) -> list:
    return [output for cell in code(notebook) for output in cell.outputs]


def words(notebook) -> str:
    """All that is written in a notebook and by it."""
    shown = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in outputs(notebook)]
    return "\n".join([cell.source for cell in notebook.cells] + shown)


def kinds(notebook) -> list[list[list[str]]]:
    """What each cell shows: text, a picture."""
    return [[sorted(o.get("data", {"text": ""})) for o in cell.outputs] for cell in code(notebook)]


def test_all_that_are_named():
    assert [name[:2] for name in NAMES] == ["01", "02", "03", "04", "05", "06", "07", "08"]
    page = (ROOT / "docs/notebooks.md").read_text()
    assert all(f"notebooks/{name}.ipynb" in page for name in NAMES)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_is_stored_with_what_a_whole_run_shows(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata == METADATA
    counts = [cell.execution_count for cell in code(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    assert not [output for output in outputs(notebook) if output.output_type == "error"]
    assert not [output for output in outputs(notebook) if output.get("name") == "stderr"]
    assert path.stat().st_size < MOST_BYTES
    assert not ABSOLUTE_PATH.search(words(notebook))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_is_a_lesson(path):
    """A goal, predictions and what to see, and three exercises with solutions after all cells."""
    notebook = nbformat.read(path, as_version=4)
    kinds_ = [cell.cell_type for cell in notebook.cells]
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert notebook.cells[0].source.count("**Goal.**") == 1
    assert text.count("**Predict.**") >= 3
    assert text.count("**What you see.**") >= 3
    exercises = [cell.source for cell in notebook.cells if "<details>" in cell.source]
    assert [source[:4] for source in exercises] == ["**1.", "**2.", "**3."]
    assert kinds_[-4:] == ["markdown"] * 4, "the cells of the exercises come last"
    assert notebook.cells[-4].source.startswith("## Exercises")
    for code in solutions(notebook):
        # It shows something; that it runs is tested with the notebook.
        assert "print(" in code
        compile(code, path.name, "exec")
    assert len(solutions(notebook)) == len(exercises)


def test_lessons_take_45_minutes():
    overview, *lessons = re.split(
        r"^## Lesson ", (ROOT / "docs/teaching.md").read_text(), flags=re.M
    )
    assert all(f"notebooks/{name}.ipynb" in overview for name in NAMES)
    assert [lesson[0] for lesson in lessons] == list("12345678")
    for lesson in lessons:
        spans = re.findall(r"^\| (\d+)-(\d+) \|", lesson, re.MULTILINE)
        starts, ends = zip(*spans, strict=True)
        assert starts == ("0", *ends[:-1])
        assert ends[-1] == "45"


# Words that are not the field's, beside those that are.
NOT_OURS = {
    r"\banswers?\b": "activation, output or prediction",
    r"\bpictures?\b": "image",
    r"\bsquash(es|ed)?\b": "activation function",
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_uses_the_words_of_the_field(path):
    for pattern, better in NOT_OURS.items():
        assert not re.search(pattern, words(nbformat.read(path, as_version=4))), better


def drawn_part(encoded: bytes) -> tuple[float, float]:
    """Fractions of an image's height and width in which something differs from its corner."""
    pixels = tf.io.decode_image(encoded, channels=3).numpy().astype(int)
    # Compression moves JPEG's values by a few.
    differs = (np.abs(pixels - pixels[0, 0]) > 16).any(axis=-1)
    lines = (np.flatnonzero(differs.any(axis=axis)) for axis in (1, 0))
    return tuple(np.ptp(line) / side for line, side in zip(lines, differs.shape, strict=True))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_its_images_are_filled(path):
    shown = [output.get("data", {}) for output in outputs(nbformat.read(path, as_version=4))]
    images = [data[kind] for data in shown for kind in data if kind.startswith("image/")]
    assert len(images) >= 3
    for encoded in images:
        assert min(drawn_part(base64.b64decode(encoded))) > 0.4


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)
def test_runs_from_top_to_bottom(path):
    assert kinds(executed(path)) == kinds(nbformat.read(path, as_version=4))
