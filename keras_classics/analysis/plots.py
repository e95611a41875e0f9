"""Pictures of runs, results and networks, written as files."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_classics import files
from keras_classics.errors import require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from keras_classics.analysis.profile import Profile, Row

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
    with files.atomic_write(path) as aside:
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
    titles = [f"{class_names[labels[i]]}\nsaid {class_names[predictions[i]]}" for i in worst]
    image_grid([image_of(i) for i in worst], titles or ["no mistakes"], path)


def image_grid(
    images: Sequence[np.ndarray], titles: Sequence[str], path: Path, columns: int = 8
) -> None:
    """Draws images in rows, each under its title.

    Args:
        images: uint8, each of shape (height, width, 1 or 3). Grey ones are drawn as ink: 255 is
            black.
        titles: One an image.
        path: File to write: PNG, or JPEG, which is far smaller for photographs.
        columns: Images in a row.
    """
    rows = max(1, -(-len(images) // columns))
    size = (1.25 * columns, 1.55 * rows + 0.1)
    figure, axes = _figure(*size, nrows=rows, ncols=columns, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, title in zip(axes.flat, titles, strict=False):
        ax.set_title(title, fontsize=7, color=INK)
    for ax, image in zip(axes.flat, images, strict=False):
        ax.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray_r", vmin=0, vmax=255)
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
        if all(line.x is None for line in several):
            ax.locator_params(axis="x", integer=True)
        if several:
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


def filters(kernel: np.ndarray, path: Path) -> None:
    """Draws the filters of a convolution, each in the scale of its own largest weight.

    Filters of three input maps, red, green and blue, are drawn in colour, a weight of 0 as half
    of it. Of other filters each part that reads one input map is a picture of its own, with blue
    for positive and red for negative weights; input maps are rows, unless there is one alone.

    Args:
        kernel: Shape (height, width, input maps, filters).
        path: PNG file to write.
    """
    inputs, count = kernel.shape[2:]
    scaled = kernel / np.maximum(np.abs(kernel).max(axis=(0, 1, 2)), 1e-12)
    columns = count if inputs not in (1, 3) else min(count, 16)
    if inputs == 3:
        tiles, blank = np.moveaxis(scaled, -1, 0) / 2 + 0.5, 1.0
    else:
        tiles, blank = np.moveaxis(scaled, (2, 3), (0, 1)).reshape(-1, *kernel.shape[:2]), np.nan
    picture = _tiled(tiles, columns, blank)
    height, width = picture.shape[:2]
    inches = min(10.0, 0.6 * columns)
    figure, ax = _figure(inches, inches * height / width)
    ax.imshow(picture, cmap="RdBu", vmin=-1, vmax=1, interpolation="nearest")
    ax.set_axis_off()
    _save(figure, path)


def activations(maps: Mapping[str, np.ndarray], path: Path) -> None:
    """Draws what layers make of one image: a panel a layer, its maps side by side.

    A layer's maps have one scale, from its least value, which is dark, to its largest.

    Args:
        maps: Shape (height, width, maps), by the layer's title.
        path: File to write, PNG or JPEG.
    """
    columns = min(4, len(maps))
    rows = -(-len(maps) // columns)
    figure, axes = _figure(2.5 * columns, 2.7 * rows, nrows=rows, ncols=columns, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (title, several) in zip(axes.flat, maps.items(), strict=False):
        tiles = np.moveaxis(several, -1, 0) - several.min()
        # The square root keeps weak answers visible beside strong ones.
        picture = np.sqrt(_tiled(tiles, int(np.ceil(np.sqrt(len(tiles)))), np.nan))
        ax.imshow(picture, cmap="magma", interpolation="nearest")
        ax.set_title(title, fontsize=9, color=INK)
    _save(figure, path)


def _tiled(tiles: np.ndarray, columns: int, blank: float) -> np.ndarray:
    """Small pictures in rows as one, with a gap between them.

    Args:
        tiles: Shape (count, height, width, ...).
        columns: Pictures in a row.
        blank: Value of the gaps.

    Returns:
        Shape (height, width, ...).
    """
    height, width = tiles.shape[1:3]
    gap = max(1, height // 16)
    rows = -(-len(tiles) // columns)
    sides = (rows * (height + gap) - gap, columns * (width + gap) - gap)
    whole = np.full((*sides, *tiles.shape[3:]), blank, "float32")
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        top, left = row * (height + gap), column * (width + gap)
        whole[top : top + height, left : left + width] = tile
    return whole


def receptive_field(image: np.ndarray, sides: Mapping[str, int], path: Path) -> None:
    """Draws on a picture which square of it one position of each layer sees.

    The position is the one in the middle. A square may be larger than the picture: what lies
    beyond, the padding, counts too.

    Args:
        image: uint8, shape (height, width, 3).
        sides: Side of the square in pixels by the layer's name, such as
            `profile.receptive_fields` gives it.
        path: File to write, PNG or JPEG.
    """
    height, width = image.shape[:2]
    figure, ax = _figure(4.2, 2.6)
    ax.imshow(image)
    for number, (name, side) in enumerate(sides.items()):
        middle = np.array([width, height]) / 2 - 0.5
        across, down = middle[:, None] + side / 2 * np.array(
            [[-1, 1, 1, -1, -1], [-1, -1, 1, 1, -1]]
        )
        colour = PALETTE[1:][number % len(PALETTE[1:])]
        ax.plot(across, down, color="white", lw=4)
        ax.plot(across, down, color=colour, lw=2, label=f"{name}: {side}")
    ax.set_axis_off()
    ax.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _save(figure, path)


def diagram(profile: "Profile", path: Path) -> None:
    """Draws a network as boxes from left to right, one for all layers whose maps have one size.

    A box is as high as the logarithm of the map's side and as wide as that of the number of maps.
    Below stand the names of the layers with weights and how many they are, the shape, trainable
    parameters and multiply-adds for one image.

    Args:
        profile: What `describe` returns.
        path: PNG file to write.
    """
    stages = _stages(profile)
    figure, ax = _figure(1.15 * len(stages), 2.6)
    for place, rows in enumerate(stages):
        shape = rows[-1].output_shape
        side, maps = (shape[0], shape[-1]) if len(shape) == 3 else (shape[0], 1)
        high, wide = np.log2(side) / 4 + 0.3, np.log2(maps) / 16 + 0.1
        colour = MUTED if place == 0 else ACCENT if len(shape) == 1 else INK
        ax.bar(place, high, wide, bottom=-high / 2, color=colour)
        ax.text(place, -1.9, _stage_text(rows), ha="center", va="top", fontsize=7, color=INK)
    ax.set(xlim=(-0.6, len(stages) - 0.4), ylim=(-3.4, 1.8))
    ax.set_axis_off()
    _save(figure, path)


def _stages(profile: "Profile") -> list[list["Row"]]:
    """The rows of a profile, together where maps have one size; without what only reshapes."""
    stages: dict[tuple[int, ...], list[Row]] = {}
    for row in profile.rows:
        if row.kind not in ("InputLayer", "ZeroPadding2D", "Flatten"):
            size = row.output_shape[:2]
            stages.setdefault(size, []).append(row)
    return [[row] for row in profile.rows if row.kind == "InputLayer"] + list(stages.values())


def _stage_text(rows: Sequence["Row"]) -> str:
    layers = [row.layer.split("_")[0] for row in rows if row.macs]
    lines = [rows[0].layer]
    if layers:
        lines = [layers[0] if layers[0] == layers[-1] else f"{layers[0]} to {layers[-1]}"]
    if len(layers) > 1:
        lines.append(f"{len(layers)} layers")
    lines.append("x".join(map(str, rows[-1].output_shape)))
    if layers:
        lines.append(f"{_short(sum(row.params for row in rows))} weights")
        lines.append(f"{_short(sum(row.macs for row in rows))} MACs")
    return "\n".join(lines)


def _short(number: int) -> str:
    """A number with three digits: 37.8 M."""
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " K")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return str(number)
