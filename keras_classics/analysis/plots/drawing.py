"""What all plots share: colours, texts, and figures that are drawn without a screen."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_classics import files
from keras_classics.errors import one_line, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, ACCENT, MUTED = "#1f3a5f", "#d1495b", "#8d99ae"
# Colours and markers of lines in one plot. The colours differ for colour-blind readers, the first
# four in print without colours too; markers tell the lines apart in any case.
PALETTE = (INK, ACCENT, "#3aa6b9", "#e5b13a", "#7b3f98", "#a8a8a8")
MARKERS = "os^DvP"

# Most characters of a line of text; more would leave no room for the plot.
LINE_LENGTH = 60

logger = logging.getLogger(__name__)


def new_figure(width: float, height: float, **subplots: Any) -> tuple["Figure", Any]:
    """Returns a figure that needs no screen, and its axes.

    Args:
        width: Width in inches.
        height: Height in inches.
        **subplots: Arguments of `Figure.subplots`.
    """
    figure = require("matplotlib.figure", "train").Figure((width, height), layout="constrained")
    axes = figure.subplots(**subplots)
    for ax in np.atleast_1d(axes).flat:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def caption(figure: "Figure", handles: Sequence[Any]) -> None:
    """Explains below the panels what lines, bands and markers are.

    Args:
        figure: The figure.
        handles: Artists as they look in the panels, with labels.
    """
    # Inches of the texts and of what stands before and between them.
    width = sum(0.075 * len(handle.get_label()) + 0.6 for handle in handles)
    columns = len(handles) if width < figure.get_figwidth() else 1
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=8
    )


def save(figure: "Figure", path: Path) -> None:
    """Writes a figure to a file."""
    with files.atomic_write(path) as aside:
        figure.savefig(aside, dpi=110)


@contextmanager
def optional(path: Path) -> Iterator[Path]:
    """Yields the path of a plot; if it cannot be drawn, that is a warning and no exception.

    For plots beside results, which they must not stop.
    """
    try:
        yield path
    except Exception as error:
        logger.warning("%s cannot be drawn: %s", path, one_line(str(error)))


def literal(text: str) -> str:
    """Returns a text so that matplotlib draws it as it is, each line shortened.

    All texts that come from data or names pass here. Without it, a pair of dollar signs would be a
    formula, and characters that no font has, such as bytes that are not UTF-8, an exception.
    """
    return "\n".join(_literal_line(line) for line in text.split("\n"))


def _literal_line(line: str) -> str:
    if len(line) > LINE_LENGTH:
        line = f"{line[: LINE_LENGTH - 3]}..."
    return one_line(line).replace("$", r"\$")


def tiled(tiles: np.ndarray, columns: int, blank: float) -> np.ndarray:
    """Joins small images into one large image, in rows with gaps between them.

    Args:
        tiles: Shape (count, height, width, ...).
        columns: Images per row.
        blank: Value of the gaps.

    Returns:
        Shape (height, width, ...).
    """
    height, width = tiles.shape[1:3]
    gap = max(1, height // 16)
    rows = -(-len(tiles) // columns)
    sides = (rows * (height + gap) - gap, columns * (width + gap) - gap)
    joined = np.full((*sides, *tiles.shape[3:]), blank, "float32")
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        top, left = row * (height + gap), column * (width + gap)
        joined[top : top + height, left : left + width] = tile
    return joined
