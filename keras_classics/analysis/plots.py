"""Pictures of runs and results, written as PNG files."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_classics import files
from keras_classics.errors import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, ACCENT, MUTED = "#1f3a5f", "#d1495b", "#8d99ae"
# Of lines that are told apart by colour.
PALETTE = (INK, ACCENT, "#2a9d8f", "#e9a03b", "#7b5ea7", MUTED)

# Classes whose names a confusion matrix shows.
MOST_NAMED = 60


def _figure(width: float, height: float, **subplots) -> tuple["Figure", Any]:
    """A figure that needs no screen, and its axes."""
    figure = require("matplotlib.figure", "train").Figure((width, height), layout="constrained")
    axes = figure.subplots(**subplots)
    for ax in np.atleast_1d(axes).flat:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: "Figure", path: Path) -> None:
    with files.written_aside(path) as aside:
        figure.savefig(aside, dpi=110)


def curves(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draws loss and error over the epochs, training and test.

    Args:
        history: Rows of `history.csv`.
        path: PNG file to write.
    """
    figure, (loss, error) = _figure(8, 3.2, ncols=2)
    epochs = [row["epoch"] for row in history]
    for part, colour in (("train", MUTED), ("test", ACCENT)):
        style = {"color": colour, "marker": "o", "markersize": 2.5, "label": part}
        loss.plot(epochs, [row[f"{part}_loss"] for row in history], **style)
        error.plot(epochs, [100 * (1 - row[f"{part}_accuracy"]) for row in history], **style)
    loss.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
    error.set(xlabel="epoch", ylabel="error, %", ylim=(0, None))
    error.legend(frameon=False)
    _save(figure, path)


def confusion(counts: np.ndarray, class_names: Sequence[str], path: Path) -> None:
    """Draws a confusion matrix: rows are labels, columns predictions, numbers images.

    Args:
        counts: Shape (classes, classes).
        class_names: Name of each class.
        path: PNG file to write.
    """
    classes = len(class_names)
    # Beyond some classes names cannot be read, and each keeps a few pixels.
    named = classes <= MOST_NAMED
    side = max(4.0, 0.45 * min(classes, MOST_NAMED) + 1.5)
    figure, ax = _figure(side + 0.5, side)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # The square root keeps rare confusions visible beside the diagonal.
    ax.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)
    if classes <= 20:
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if shares[row, column] > 0.4 else INK
            label = str(counts[row, column])
            ax.text(column, row, label, ha="center", va="center", color=colour, fontsize=8)
    if named:
        ax.set_xticks(range(classes), class_names, rotation=60, ha="right")
        ax.set_yticks(range(classes), class_names)
    ax.set(xlabel="prediction", ylabel="label")
    _save(figure, path)


def mistakes(
    image_of: Callable[[int], np.ndarray],
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    path: Path,
    count: int = 24,
) -> None:
    """Draws the mistakes that the network was surest of, each with its label and the answer.

    Args:
        image_of: Returns the image at a place, uint8, shape (height, width, channels).
        labels: Shape (images,).
        probabilities: Shape (images, classes).
        class_names: Name of each class.
        path: PNG file to write.
        count: How many to draw at most.
    """
    predictions = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predictions != labels)
    worst = wrong[np.argsort(-probabilities.max(axis=1)[wrong], kind="stable")][:count]
    columns = 8
    rows = max(1, -(-len(worst) // columns))
    figure, axes = _figure(10, 1.55 * rows + 0.1, nrows=rows, ncols=columns, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, i in zip(axes.flat, worst, strict=False):
        image = image_of(i)
        ax.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray_r", vmin=0, vmax=255)
        label, answer = class_names[labels[i]], class_names[predictions[i]]
        ax.set_title(f"{label}\nsaid {answer}", fontsize=7, color=INK)
    if not len(worst):
        axes.flat[0].set_title("no mistakes", fontsize=9, color=INK)
    _save(figure, path)


def error_by_size(errors: Mapping[int, Sequence[float]], path: Path) -> None:
    """Draws test errors against the size of the training set: each seed a dot, a line of means.

    Args:
        errors: For each number of training images, test errors from 0 to 1, one a seed.
        path: PNG file to write.
    """
    figure, ax = _figure(5.2, 3.2)
    sizes = sorted(errors)
    ax.plot(sizes, [100 * np.mean(errors[size]) for size in sizes], color=INK)
    for size in sizes:
        ax.plot([size] * len(errors[size]), 100 * np.array(errors[size]), "o", color=ACCENT, ms=4)
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    ax.set(xlabel="training images", ylabel="test error, %")
    _save(figure, path)


@dataclass(frozen=True)
class Line:
    """Runs that differ in their seeds alone.

    Attributes:
        label: Its name.
        runs: Values of each run, shape (seeds, points).
        x: Places of the points; 1, 2, ... if None.
        dashed: Whether it is drawn thin and dashed, without a name: what goes with the line before.
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
    """Draws means over seeds as lines, each in a band from the least to the largest seed.

    Args:
        panels: The lines of each panel, by its title.
        xlabel: What the points are.
        ylabel: What the values are.
        path: PNG file to write.
        log: Whether values stand on a logarithmic axis.
        columns: Panels in a row.
    """
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    size = (max(4.6, 3.5 * columns), 3.1 * rows)
    figure, axes = _figure(*size, nrows=rows, ncols=columns, sharey=True, squeeze=False)
    for ax in axes.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, (title, several) in zip(axes.flat, panels.items(), strict=False):
        number = -1
        for line in several:
            number += not line.dashed
            runs = np.asarray(line.runs, float)
            x = np.arange(1, runs.shape[1] + 1) if line.x is None else line.x
            colour = PALETTE[number % len(PALETTE)]
            if line.dashed:
                ax.plot(x, runs.mean(axis=0), color=colour, lw=0.9, ls="--")
                continue
            ax.plot(x, runs.mean(axis=0), color=colour, lw=1.5, label=line.label)
            ax.fill_between(x, runs.min(axis=0), runs.max(axis=0), color=colour, alpha=0.15, lw=0)
        ax.set_title(title, fontsize=9, color=INK)
        ax.set_xlabel(xlabel)
        ax.set_yscale("log" if log else "linear")
        ax.legend(frameon=False, fontsize=8)
    for ax in axes[:, 0]:
        ax.set_ylabel(ylabel)
    _save(figure, path)


def scaling(
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    gpus: Sequence[int],
    accented: Collection[str],
    path: Path,
) -> None:
    """Draws the efficiency of training on many GPUs, a line a network.

    Args:
        panels: For each panel's title the efficiencies of each network, 0 to 1, one for each
            number of GPUs.
        gpus: The numbers of GPUs, powers of two.
        accented: Networks in a colour of their own.
        path: PNG file to write.
    """
    figure, axes = _figure(9, 3.6, ncols=len(panels), sharey=True, squeeze=False)
    for ax, (title, networks) in zip(axes.flat, panels.items(), strict=True):
        ends = _apart({name: 100 * values[-1] for name, values in networks.items()}, least=5.5)
        for name, values in networks.items():
            colour = ACCENT if name in accented else INK
            ax.plot(gpus, 100 * np.array(values), color=colour, marker="o", markersize=2.5, lw=1.2)
            place = (gpus[-1] * 1.25, ends[name])
            ax.annotate(name, place, color=colour, fontsize=8, va="center", annotation_clip=False)
        ax.set_xscale("log", base=2)
        ticks = gpus[:: max(1, len(gpus) // 4)]
        ax.set_xticks(ticks, [f"{number:,}" for number in ticks])
        ax.set(xlabel="GPUs", title=title, ylim=(0, 102))
        ax.title.set(fontsize=9, color=INK)
    axes.flat[0].set_ylabel("time spent computing, %")
    _save(figure, path)


def _apart(heights: Mapping[str, float], least: float) -> dict[str, float]:
    """Moves heights down until they are `least` apart, so that labels there can be read."""
    moved, ceiling = {}, float("inf")
    for name, height in sorted(heights.items(), key=lambda item: -item[1]):
        moved[name] = min(height, ceiling)
        ceiling = moved[name] - least
    return moved
