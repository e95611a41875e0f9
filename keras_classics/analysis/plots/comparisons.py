"""Plots that compare training runs and networks."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_classics.analysis.plots.drawing import (
    ACCENT,
    INK,
    PALETTE,
    literal,
    new_figure,
    save,
)


@dataclass(frozen=True)
class Line:
    """Runs that differ only in their seeds.

    Attributes:
        label: Name of the line.
        runs: Values of each run, shape (seeds, points).
        x: Positions of the points; 1, 2, ... if None.
        dashed: Whether to draw a thin dashed line without a label, in the colour of the line
            before it.
    """

    label: str
    runs: Sequence[Sequence[float]]
    x: Sequence[float] | None = None
    dashed: bool = False


def lines(
    panels: Mapping[str, Sequence[Line]],
    xlabel: str,
    ylabel: str,
    path: Path,
    *,
    log: bool = False,
    columns: int = 3,
) -> None:
    """Draws means over seeds as lines, each with a band from the smallest to the largest value.

    Args:
        panels: The lines of each panel, by the panel's title.
        xlabel: Label of the x axis.
        ylabel: Label of the y axis.
        path: PNG file to write.
        log: Whether the y axis is logarithmic.
        columns: Panels per row.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    size = (max(4.6, 3.5 * columns), 3.1 * rows)
    figure, axes = new_figure(*size, nrows=rows, ncols=columns, sharey=True, squeeze=False)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, (title, panel) in zip(axes.flat, panels.items(), strict=False):
        number = -1
        for line in panel:
            number += not line.dashed
            runs = np.asarray(line.runs, float)
            x = np.arange(1, runs.shape[1] + 1) if line.x is None else line.x
            colour = PALETTE[number % len(PALETTE)]
            if line.dashed:
                ax.plot(x, runs.mean(axis=0), color=colour, lw=0.9, ls="--")
                continue
            ax.plot(x, runs.mean(axis=0), color=colour, lw=1.5, label=literal(line.label))
            ax.fill_between(x, runs.min(axis=0), runs.max(axis=0), color=colour, alpha=0.15, lw=0)
        ax.set_title(literal(title), fontsize=9, color=INK)
        ax.set_xlabel(literal(xlabel))
        ax.set_yscale("log" if log else "linear")
        if all(line.x is None for line in panel):
            ax.locator_params(axis="x", integer=True)
        if panel:
            ax.legend(frameon=False, fontsize=8)
    for ax in axes[:, 0]:
        ax.set_ylabel(literal(ylabel))
    save(figure, path)


def error_by_size(errors: Mapping[int, Sequence[float]], path: Path) -> None:
    """Draws test error against training set size: a dot for each seed, a line for the means.

    Args:
        errors: Test errors from 0 to 1, one per seed, for each number of training images.
        path: PNG file to write.
    """
    figure, ax = new_figure(5.2, 3.2)
    sizes = sorted(errors)
    ax.plot(sizes, [100 * np.mean(errors[size]) for size in sizes], color=INK)
    for size in sizes:
        ax.plot([size] * len(errors[size]), 100 * np.array(errors[size]), "o", color=ACCENT, ms=4)
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    ax.set(xlabel="training images", ylabel="test error, %")
    save(figure, path)


def scaling(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    gpus: Sequence[int],
    accented: Collection[str],
    path: Path,
) -> None:
    """Draws the efficiency of training on many GPUs, one line per network.

    Args:
        panels: Efficiencies (0 to 1) of each network for each number of GPUs, by the panel's
            title.
        gpus: The numbers of GPUs, powers of two.
        accented: Networks to highlight in another colour.
        path: PNG file to write.
    """
    figure, axes = new_figure(9, 3.6, ncols=len(panels), sharey=True, squeeze=False)
    for ax, (title, networks) in zip(axes.flat, panels.items(), strict=True):
        ends = _apart({name: 100 * values[-1] for name, values in networks.items()}, least=5.5)
        for name, values in networks.items():
            colour = ACCENT if name in accented else INK
            ax.plot(gpus, 100 * np.array(values), color=colour, marker="o", markersize=2.5, lw=1.2)
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
    save(figure, path)


def _apart(heights: Mapping[str, float], least: float) -> dict[str, float]:
    """Moves heights down until they are `least` apart, so that their labels do not overlap."""
    moved, ceiling = {}, float("inf")
    for name, height in sorted(heights.items(), key=lambda item: -item[1]):
        moved[name] = min(height, ceiling)
        ceiling = moved[name] - least
    return moved
