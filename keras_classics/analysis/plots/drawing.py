"""What all plots share: colours, and figures that are drawn without a screen."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_classics import files
from keras_classics.errors import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, ACCENT, MUTED = "#1f3a5f", "#d1495b", "#8d99ae"
# Colours of lines in one plot.
PALETTE = (INK, ACCENT, "#2a9d8f", "#e9a03b", "#7b5ea7", MUTED)


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


def save(figure: "Figure", path: Path) -> None:
    """Writes a figure to a file."""
    with files.atomic_write(path) as aside:
        figure.savefig(aside, dpi=110)


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
