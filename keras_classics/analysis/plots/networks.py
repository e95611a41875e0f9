"""Plots of a network: filters, feature maps, receptive fields, and a diagram."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_classics.analysis.plots.drawing import (
    ACCENT,
    INK,
    MUTED,
    PALETTE,
    literal,
    new_figure,
    save,
    tiled,
)

if TYPE_CHECKING:
    from keras_classics.analysis.profile import Profile, Row


def filters(kernel: np.ndarray, path: Path) -> None:
    """Draws the filters of a convolution, each scaled by its own largest weight.

    Filters with three input maps (red, green, blue) are drawn in colour; a weight of 0 is mid-grey.
    Other filters are drawn as one image per input map, blue for positive and red for negative
    weights; each row shows one input map, unless there is only one.

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
    grid = tiled(tiles, columns, blank)
    height, width = grid.shape[:2]
    inches = min(10.0, 0.6 * columns)
    figure, ax = new_figure(inches, inches * height / width)
    ax.imshow(grid, cmap="RdBu", vmin=-1, vmax=1, interpolation="nearest")
    ax.set_axis_off()
    save(figure, path)


def activations(maps: Mapping[str, np.ndarray], path: Path) -> None:
    """Draws the feature maps of one image: one panel per layer, its maps side by side.

    All maps of a layer share one scale, from its smallest value (dark) to its largest.

    Args:
        maps: Shape (height, width, maps), by the layer's title.
        path: File to write, PNG or JPEG.
    """
    columns = min(4, len(maps))
    rows = -(-len(maps) // columns)
    figure, axes = new_figure(2.5 * columns, 2.7 * rows, nrows=rows, ncols=columns, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (title, several) in zip(axes.flat, maps.items(), strict=False):
        tiles = np.moveaxis(several, -1, 0) - several.min()
        # The square root keeps weak activations visible beside strong ones.
        grid = np.sqrt(tiled(tiles, int(np.ceil(np.sqrt(len(tiles)))), np.nan))
        ax.imshow(grid, cmap="magma", interpolation="nearest")
        ax.set_title(literal(title), fontsize=9, color=INK)
    save(figure, path)


def receptive_field(image: np.ndarray, sides: Mapping[str, int], path: Path) -> None:
    """Draws the receptive field of the middle position of each layer on an image.

    A receptive field may extend beyond the image, into the padding.

    Args:
        image: uint8, shape (height, width, 3).
        sides: Side of the receptive field in pixels for each layer's name, as
            `profile.receptive_fields` returns it.
        path: File to write, PNG or JPEG.
    """
    height, width = image.shape[:2]
    figure, ax = new_figure(4.2, 2.6)
    ax.imshow(image)
    for number, (name, side) in enumerate(sides.items()):
        middle = np.array([width, height]) / 2 - 0.5
        across, down = middle[:, None] + side / 2 * np.array(
            [[-1, 1, 1, -1, -1], [-1, -1, 1, 1, -1]]
        )
        colour = PALETTE[1:][number % len(PALETTE[1:])]
        ax.plot(across, down, color="white", lw=4)
        ax.plot(across, down, color=colour, lw=2, label=literal(f"{name}: {side}"))
    ax.set_axis_off()
    ax.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
    save(figure, path)


def diagram(profile: "Profile", path: Path) -> None:
    """Draws a network as boxes from left to right, one box for all layers with maps of one size.

    The height of a box is the logarithm of the map's side, its width that of the number of maps.
    The text below names the layers with weights, counts them as the papers do, and gives the shape,
    the trainable parameters and the multiply-adds for one image. A caption says what is counted.

    Args:
        profile: A network's profile, as `describe` returns it.
        path: PNG file to write.
    """
    stages = _stages(profile)
    figure, ax = new_figure(1.15 * len(stages), 2.9)
    for place, rows in enumerate(stages):
        shape = rows[-1].output_shape
        side, maps = (shape[0], shape[-1]) if len(shape) == 3 else (shape[0], 1)
        high, wide = np.log2(side) / 4 + 0.3, np.log2(maps) / 16 + 0.1
        colour = MUTED if place == 0 else ACCENT if len(shape) == 1 else INK
        ax.bar(place, high, wide, bottom=-high / 2, color=colour)
        text = literal(_stage_text(rows))
        ax.text(place, -1.9, text, ha="center", va="top", fontsize=7, color=INK)
    ax.set(xlim=(-0.6, len(stages) - 0.4), ylim=(-3.4, 1.8))
    ax.set_axis_off()
    text = "\n".join(_diagram_caption(profile, len(stages)))
    figure.supxlabel(text, fontsize=7, color=INK, x=0.02, ha="left")
    save(figure, path)


def _diagram_caption(profile: "Profile", stages: int) -> list[str]:
    """Returns the lines of text that explain a diagram, as long as its stages are wide."""
    left_out = sum(row.macs > 0 and not row.counted for row in profile.rows)
    text = f"{profile.depth} layers: the convolutions and dense layers from input to output"
    if left_out:
        text += f", without {left_out} projections on shortcuts, which the paper does not count"
    text += (
        ". Grey: image; blue: feature maps; red: vectors. Height of a box: logarithm of the map's "
        "side; width: of the number of maps. Parameters and MACs (multiply-adds for one image) are "
        "those of all layers."
    )
    return textwrap.wrap(text, 20 * stages)


def _stages(profile: "Profile") -> list[list["Row"]]:
    """Groups the rows of a profile by the size of their maps, without layers that only reshape."""
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
    counted = sum(row.counted for row in rows)
    if counted > 1:
        lines.append(f"{counted} layers")
    lines.append("x".join(map(str, rows[-1].output_shape)))
    if layers:
        lines.append(f"{_short(sum(row.params for row in rows))} parameters")
        lines.append(f"{_short(sum(row.macs for row in rows))} MACs")
    return "\n".join(lines)


def _short(number: int) -> str:
    """Returns a number with three digits and its unit: 37.8 M."""
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " K")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return str(number)
