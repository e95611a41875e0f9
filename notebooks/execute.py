"""Runs the notebooks from top to bottom and stores what they show.

python -m notebooks.execute                 # all
python -m notebooks.execute 01_the_zoo      # this one

Each runs in an empty folder that is removed afterwards. What differs from run to run without saying
anything, such as times and warnings, is left out. The folded solutions of its exercises run after
its cells; their outputs are printed and not stored.
"""

import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from keras_classics.files import atomic_write

HERE = Path(__file__).parent

# Seconds that a cell may take.
CELL_LIMIT = 300

# Folded solutions stand in cells of text, as GitHub and the site show them.
DETAILS = re.compile(r"<details>\n<summary>Solution</summary>\n(.*?)</details>", re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def solutions(notebook: nbformat.NotebookNode) -> list[str]:
    """Returns the code of the folded solution of each exercise, in order."""
    folded = [text for cell in notebook.cells for text in DETAILS.findall(cell.source)]
    return ["\n".join(PYTHON.findall(text)) for text in folded]


def executed(path: Path) -> nbformat.NotebookNode:
    """Returns a notebook as it is after a run of its cells and of its solutions.

    Args:
        path: The notebook; it stays as it is.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell or a solution fails.
    """
    notebook = nbformat.read(path, as_version=4)
    stored = len(notebook.cells)
    notebook.cells += map(nbformat.v4.new_code_cell, solutions(notebook))
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=CELL_LIMIT,
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": folder}},
        )
        client.execute(env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    for cell in notebook.cells[stored:]:
        print(
            *(output.get("text", "") for output in cell.outputs if output.get("name") == "stdout")
        )
    del notebook.cells[stored:]
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.NotebookNode()
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def main(*names: str) -> None:
    """Runs notebooks and stores them with their outputs.

    Args:
        *names: Their names without `.ipynb`; none for all.
    """
    for path in [HERE / f"{name}.ipynb" for name in names] or sorted(HERE.glob("*.ipynb")):
        notebook = executed(path)
        with atomic_write(path) as aside:
            nbformat.write(notebook, aside)
        print(f"{path.name}, {path.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
