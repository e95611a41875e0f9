"""Pictures of explanations: an image under its map, and a grid of several methods."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from keras_classics.analysis.explain.class_maps import resized
from keras_classics.analysis.plots.drawing import INK, literal, new_figure, save
from keras_classics.errors import UserError, require

# Above this percentile all values of pixels have the same colour: a few are far larger than the
# others.
PERCENTILE = 99.5
# Most methods of a line of a grid.
IN_A_LINE = 7


def heat(values: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
    """Returns an explanation of one image as numbers from 0 to 1 that colours can show.

    Args:
        values: A class map or what occlusion returns, shape (height, width), of which negative
            values become 0; or an attribution of pixels, shape (height, width, channels), of which
            the largest magnitude over the channels counts.
        size: Height and width of the result, by default the map's own.

    Raises:
        UserError: If the values have another shape.
    """
    values = np.asarray(values, "float32")
    if values.ndim not in (2, 3):
        raise UserError(
            "An explanation must be that of one image, of shape (height, width) or (height, width, "
            f"channels). Received: shape {values.shape}. Take one: maps[0]."
        )
    if values.ndim == 3:
        values = np.abs(values).max(axis=-1)
        values = np.minimum(values, np.percentile(values, PERCENTILE))
    values = np.maximum(values, 0)
    if size is not None and values.shape != tuple(size):
        values = resized(values[None], size)[0]
    return values / max(float(values.max()), np.finfo("float32").tiny)


def overlay(
    image: np.ndarray, values: np.ndarray, colours: str = "turbo", opacity: float = 0.5
) -> np.ndarray:
    """Returns an image under the colours of its class map or attribution.

    Args:
        image: uint8, shape (height, width, 1 or 3), what the network sees: after resizing and
            cropping.
        values: The explanation of one image, see `heat`. It is scaled to the image's size.
        colours: Name of one of matplotlib's colour maps.
        opacity: Opacity of the colours, 0 to 1.

    Returns:
        uint8, shape (height, width, 3).

    Raises:
        UserError: If matplotlib is not installed or has no such colour map, or a shape or the
            opacity is wrong.
    """
    colour_maps = require("matplotlib", "train").colormaps
    if colours not in colour_maps:
        raise UserError(f"colours must name a colour map of matplotlib. Received: {colours!r}.")
    if not 0 <= opacity <= 1:
        raise UserError(f"opacity must be 0 to 1. Received: {opacity}.")
    below = in_colour(image)
    above = colour_maps[colours](heat(values, below.shape[:2]))[..., :3] * 255
    return np.rint((1 - opacity) * below + opacity * above).astype("uint8")


def in_colour(image: np.ndarray) -> np.ndarray:
    """Returns an image with three channels.

    Raises:
        UserError: If it is no uint8 image with one or three.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] not in (1, 3):
        raise UserError(
            "An image to draw on must be uint8 of shape (height, width, 1 or 3). Received: "
            f"{image.dtype} of {image.shape}."
        )
    return np.broadcast_to(image, (*image.shape[:2], 3))


def grid(
    image: np.ndarray,
    rows: Mapping[str, Mapping[str, np.ndarray]],
    path: Path,
    colours: str = "turbo",
) -> None:
    """Draws an image, and beside it what several methods say of it, a row for each class.

    Class maps are drawn over the image, attributions of pixels alone in shades of grey.

    Args:
        image: See `overlay`.
        rows: For the name of each class, the explanation by each method's name.
        path: File to write, PNG or JPEG.
        colours: Name of one of matplotlib's colour maps.

    Raises:
        UserError: See `overlay`.
    """
    lines = [
        (class_name if first == 0 else None, list(methods.items())[first : first + IN_A_LINE])
        for class_name, methods in rows.items()
        for first in range(0, len(methods), IN_A_LINE)
    ]
    columns = 1 + max(len(methods) for _, methods in lines)
    size = (1.7 * columns, 1.95 * len(lines))
    figure, axes = new_figure(*size, nrows=len(lines), ncols=columns, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for panels, (class_name, methods) in zip(axes, lines, strict=True):
        if class_name is not None:
            panels[0].imshow(in_colour(image))
            panels[0].set_title(literal(class_name), fontsize=8, color=INK)
        for ax, (method, values) in zip(panels[1:], methods, strict=False):
            ax.set_title(literal(method), fontsize=8, color=INK)
            if values.ndim == 3:
                ax.imshow(heat(values), cmap="gray_r", vmin=0, vmax=1)
            else:
                ax.imshow(overlay(image, values, colours))
    save(figure, Path(path))
