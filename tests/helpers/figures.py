"""What figures show, asked of matplotlib."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure


def panels(figure: Figure) -> dict[str, Axes]:
    """The axes that are shown, by their titles."""
    return {ax.get_title(): ax for ax in figure.axes if ax.axison}


def labels(ax: Axes) -> tuple[str, str]:
    """What the axes x and y are named."""
    return ax.get_xlabel(), ax.get_ylabel()


def curves(ax: Axes) -> dict[str, tuple[list[float], list[float]]]:
    """Positions and values of the lines that have a label."""
    return {
        line.get_label(): (list(line.get_xdata()), rounded(line.get_ydata()))
        for line in ax.get_lines()
        if not line.get_label().startswith("_")
    }


def dashed(ax: Axes) -> list[list[float]]:
    """Values of the dashed lines, in the order in which they are drawn."""
    lines = [line for line in ax.get_lines() if line.get_linestyle() == "--"]
    return [rounded(line.get_ydata()) for line in lines]


def legend(ax: Axes) -> list[str]:
    """The names in the legend."""
    return [text.get_text() for text in ax.get_legend().get_texts()]


def caption(figure: Figure) -> list[str]:
    """What the text below the panels says of lines, bands and markers."""
    return [text.get_text() for box in figure.legends for text in box.get_texts()]


def rounded(values: Sequence[float]) -> list[float]:
    return [round(float(value), 6) for value in values]
