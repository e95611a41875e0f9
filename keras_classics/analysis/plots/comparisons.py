"""Plots that compare training runs and networks."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from keras_classics.analysis.plots.drawing import (
    ACCENT,
    INK,
    MARKERS,
    MUTED,
    PALETTE,
    caption,
    literal,
    new_figure,
    save,
)
from keras_classics.errors import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Line:
    """Runs that differ only in their seeds.

    Attributes:
        label: Name of the line.
        runs: Values of each run, shape (seeds, points).
        x: Positions of the points; 1, 2, ... if None.
        dashed: Whether to draw a thin dashed line without a label, in the colour of the line
            before it.
        faint: Whether to draw a thin grey line without a band, which others are compared with. Of
            faint lines with the same label the legend names one.
    """

    label: str
    runs: Sequence[Sequence[float]]
    x: Sequence[float] | None = None
    dashed: bool = False
    faint: bool = False


def lines(
    panels: Mapping[str, Sequence[Line]],
    xlabel: str,
    ylabel: str,
    path: Path,
    *,
    log: bool = False,
    columns: int = 3,
    solid: str = "",
    dashed: str = "",
    sharey: bool | Literal["row"] = True,
) -> None:
    """Draws means over seeds as lines, each with a band from the smallest to the largest value.

    A text below the panels says what lines and bands are. A panel has a legend unless one before it
    has the same lines.

    Args:
        panels: The lines of each panel, by the panel's title.
        xlabel: Label of the x axis.
        ylabel: Label of the y axis.
        path: PNG file to write.
        log: Whether the y axis is logarithmic.
        columns: Panels per row.
        solid: What the solid lines show, such as "test error".
        dashed: What the dashed lines show.
        sharey: Whether all panels have the same y axis, or those of a row.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    # Many panels are small, so that their texts can be read where the figure is a page wide.
    width, height = (3.5, 3.1) if columns < 4 else (2.5, 2.3)
    size = (max(4.6, width * columns), height * rows + 0.3)
    figure, axes = new_figure(*size, nrows=rows, ncols=columns, sharey=sharey, squeeze=False)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    legends = set()
    for ax, (title, panel) in zip(axes.flat, panels.items(), strict=False):
        labels = _draw_panel(ax, panel)
        if labels and labels not in legends:
            ax.legend(frameon=False, fontsize=8)
        legends.add(labels)
        ax.set_title(literal(title), fontsize=9, color=INK)
        ax.set_xlabel(literal(xlabel))
        ax.set_yscale("log" if log else "linear")
        if all(line.x is None for line in panel):
            ax.locator_params(axis="x", integer=True)
    for ax in axes[:, 0]:
        ax.set_ylabel(literal(ylabel))
    _explain_lines(figure, [line for panel in panels.values() for line in panel], solid, dashed)
    save(figure, path)


def _draw_panel(ax: "Axes", panel: Sequence[Line]) -> tuple[str, ...]:
    """Draws the lines of a panel and returns their labels."""
    number = -1
    labels: list[str] = []
    for line in panel:
        runs = np.asarray(line.runs, float)
        mean = runs.mean(axis=0)
        x = np.arange(1, runs.shape[1] + 1) if line.x is None else line.x
        label = literal(line.label)
        if line.faint:
            label = "_faint" if label in labels else label
            ax.plot(x, mean, color=MUTED, lw=0.8, label=label, zorder=1)
        else:
            number += not line.dashed
            style = _style(number, len(mean))
            if line.dashed:
                ax.plot(x, mean, lw=0.9, ls="--", markerfacecolor="white", **style)
                continue
            ax.plot(x, mean, lw=1.5, label=label, **style)
            band = runs.min(axis=0), runs.max(axis=0)
            ax.fill_between(x, *band, color=style["color"], alpha=0.15, lw=0)
        labels.append(label)
    return tuple(labels)


def _style(number: int, points: int) -> dict[str, Any]:
    """Returns colour and marker of a line; the markers of several lines take turns."""
    every = max(1, points // 6)
    return {
        "color": PALETTE[number % len(PALETTE)],
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 4,
        "markevery": (number % every, every),
    }


def _explain_lines(figure: "Figure", lines: Sequence[Line], solid: str, dashed: str) -> None:
    """Says below the panels what lines and bands are."""
    seeds = {len(line.runs) for line in lines if not line.faint} or {1}
    most = f"up to {max(seeds)}" if len(seeds) > 1 else f"{max(seeds)}"
    mean = f"mean of {most} seeds" if max(seeds) > 1 else ""
    names = {"-": ", ".join(filter(None, [solid, mean]))}
    if any(line.dashed for line in lines):
        names["--"] = ", ".join(filter(None, [dashed, mean]))
    line = require("matplotlib.lines", "train").Line2D
    handles = [
        line([], [], color=INK, ls=style, lw=1.5 if style == "-" else 0.9, label=literal(name))
        for style, name in names.items()
        if name
    ]
    if max(seeds) > 1:
        patch = require("matplotlib.patches", "train").Patch
        label = "band: smallest to largest of the seeds"
        if min(seeds) == 1:
            label += "; no band: one seed"
        handles.append(patch(color=INK, alpha=0.15, lw=0, label=label))
    if handles:
        caption(figure, handles)


def error_by_size(errors: Mapping[int, Sequence[float]], path: Path) -> None:
    """Draws test error against training set size: a dot for each seed, a line for the means.

    Args:
        errors: Test errors from 0 to 1, one per seed, for each number of training images.
        path: PNG file to write.
    """
    figure, ax = new_figure(5.2, 3.2)
    sizes = sorted(errors)
    ax.plot(sizes, [100 * np.mean(errors[size]) for size in sizes], color=INK, label="mean")
    for size in sizes:
        (dots,) = ax.plot(
            [size] * len(errors[size]), 100 * np.array(errors[size]), "o", color=ACCENT, ms=4
        )
    dots.set_label("one seed")
    ax.legend(frameon=False, fontsize=8)
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    ax.set(xlabel="training images", ylabel="test error, %")
    save(figure, path)


def scaling(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    gpus: Sequence[int],
    accented: Collection[str],
    path: Path,
    *,
    accent: str,
) -> None:
    """Draws the efficiency of training on many GPUs, one line per network.

    Args:
        panels: Efficiencies (0 to 1) of each network for each number of GPUs, by the panel's
            title.
        gpus: The numbers of GPUs, powers of two.
        accented: Networks to highlight in another colour.
        path: PNG file to write.
        accent: What the highlighted networks have in common, for the legend.
    """
    figure, axes = new_figure(9, 3.6, ncols=len(panels), sharey=True, squeeze=False)
    kinds: dict[str, Any] = {}
    for ax, (title, networks) in zip(axes.flat, panels.items(), strict=True):
        ends = _apart({name: 100 * values[-1] for name, values in networks.items()}, least=5.5)
        for name, values in networks.items():
            colour, marker = (ACCENT, "s") if name in accented else (INK, "o")
            style = {"color": colour, "marker": marker, "markersize": 3, "lw": 1.2}
            (line,) = ax.plot(gpus, 100 * np.array(values), **style)
            kinds[accent if name in accented else "others"] = line
            end = (gpus[-1] * 1.25, ends[name])
            ax.annotate(
                literal(name), end, color=colour, fontsize=8, va="center", annotation_clip=False
            )
        ax.set_xscale("log", base=2)
        ticks = gpus[:: max(1, len(gpus) // 4)]
        ax.set_xticks(ticks, [f"{number:,}" for number in ticks])
        ax.set(xlabel="GPUs", title=literal(title), ylim=(0, 102))
        ax.title.set(fontsize=9, color=INK)
    axes.flat[0].set_ylabel("time spent computing, %")
    for name, line in kinds.items():
        line.set_label(literal(name))
    caption(figure, list(kinds.values()))
    save(figure, path)


def bars(
    panels: Mapping[str, Mapping[str, Mapping[str, float]]],
    xlabel: str,
    path: Path,
    *,
    limit: float,
) -> None:
    """Draws groups of bars, and a limit.

    Args:
        panels: The values of each group by the names of the bars, by the panel's title.
        xlabel: What the values are.
        path: PNG file to write.
        limit: Where a line across all groups is drawn.
    """
    names = list(dict.fromkeys(n for panel in panels.values() for of in panel.values() for n in of))
    # The first stands out, in every panel.
    colours = dict(zip(names, (ACCENT, INK, *PALETTE[2:]), strict=False))
    groups = max(map(len, panels.values()))
    figure, axes = new_figure(9, 0.9 + 0.62 * groups, ncols=len(panels), squeeze=False)
    handles: dict[str, Any] = {}
    for ax, (title, panel) in zip(axes.flat, panels.items(), strict=True):
        for place, values in enumerate(panel.values()):
            height = 0.8 / len(values)
            for number, (name, value) in enumerate(values.items()):
                y = place + (number - (len(values) - 1) / 2) * height
                style = {"color": colours[name], "label": literal(name)}
                handles[name] = ax.barh(y, value, 0.9 * height, **style)
        ax.axvline(limit, color=MUTED, lw=1)
        ax.set_yticks(range(len(panel)), [literal(name) for name in panel])
        ax.invert_yaxis()
        ax.set(xlabel=literal(xlabel), title=literal(title))
        ax.title.set(fontsize=9, color=INK)
    caption(figure, list(handles.values()))
    save(figure, path)


def _apart(heights: Mapping[str, float], least: float) -> dict[str, float]:
    """Moves heights down until they are `least` apart, so that their labels do not overlap."""
    moved, ceiling = {}, float("inf")
    for name, height in sorted(heights.items(), key=lambda item: -item[1]):
        moved[name] = min(height, ceiling)
        ceiling = moved[name] - least
    return moved
