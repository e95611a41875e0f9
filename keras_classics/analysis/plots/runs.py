"""Plots of one training run: its curves and its predictions."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from keras_classics.analysis.plots.drawing import (
    ACCENT,
    INK,
    MUTED,
    literal,
    new_figure,
    save,
)

# Most classes whose names a confusion matrix shows.
MOST_NAMED = 60
# Most classes whose numbers of images it shows.
MOST_NUMBERED = 20


def curves(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draws training and test loss and error over the epochs.

    Args:
        history: Rows of `history.csv`.
        path: PNG file to write.
    """
    figure, (loss, error) = new_figure(8, 3.2, ncols=2)
    epochs = [row["epoch"] for row in history]
    for part, colour, marker in (("train", MUTED, "s"), ("test", ACCENT, "o")):
        style = {"color": colour, "marker": marker, "markersize": 2.5, "label": part}
        loss.plot(epochs, [row[f"{part}_loss"] for row in history], **style)
        error.plot(epochs, [100 * (1 - row[f"{part}_accuracy"]) for row in history], **style)
    loss.set(xlabel="epoch", ylabel="loss", ylim=(0, None))
    error.set(xlabel="epoch", ylabel="error, %", ylim=(0, None))
    error.legend(frameon=False)
    figure.supxlabel(
        "train: mean over the epoch's steps, with any augmentation and dropout; test: after it",
        fontsize=8,
        color=INK,
    )
    save(figure, path)


def confusion(counts: np.ndarray, class_names: Sequence[str], path: Path) -> None:
    """Draws a confusion matrix: rows are labels, columns predictions, values counts of images.

    Args:
        counts: Shape (classes, classes).
        class_names: Name of each class.
        path: PNG file to write.
    """
    classes = len(class_names)
    # With more classes the names would be illegible; each class still gets a few pixels.
    named = classes <= MOST_NAMED
    side = max(4.0, 0.45 * min(classes, MOST_NAMED) + 1.5)
    figure, ax = new_figure(side + 0.5, side)
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # The square root keeps rare confusions visible beside the diagonal.
    ax.imshow(np.sqrt(fractions), cmap="Blues", vmin=0, vmax=1)
    if classes <= MOST_NUMBERED:
        for row, column in zip(*np.nonzero(counts), strict=True):
            colour = "white" if fractions[row, column] > 0.4 else INK
            label = str(counts[row, column])
            ax.text(column, row, label, ha="center", va="center", color=colour, fontsize=8)
    if named:
        names = [literal(name) for name in class_names]
        ax.set_xticks(range(classes), names, rotation=60, ha="right")
        ax.set_yticks(range(classes), names)
    ax.set(xlabel="prediction", ylabel="label")
    numbers = "numbers: images; " if classes <= MOST_NUMBERED else ""
    ax.set_title(f"{numbers}shade: fraction of the label's images", fontsize=8, color=INK)
    save(figure, path)


def mistakes(
    image_of: Callable[[int], np.ndarray],
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    path: Path,
    count: int = 24,
) -> None:
    """Draws the most confident wrong predictions, each with its label and its prediction.

    Args:
        image_of: Returns the image at an index, uint8, shape (height, width, channels).
        labels: Shape (images,).
        probabilities: Shape (images, classes).
        class_names: Name of each class.
        path: PNG file to write.
        count: Largest number of images to draw.
    """
    predictions = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predictions != labels)
    worst = wrong[np.argsort(-probabilities.max(axis=1)[wrong], kind="stable")][:count]
    titles = [f"{class_names[labels[i]]}\npredicted {class_names[predictions[i]]}" for i in worst]
    image_grid([image_of(i) for i in worst], titles or ["no mistakes"], path)


def image_grid(
    images: Sequence[np.ndarray], titles: Sequence[str], path: Path, columns: int = 8
) -> None:
    """Draws images in rows, each below its title.

    Args:
        images: uint8, each of shape (height, width, 1 or 3). Grey images are drawn inverted: 255
            is black.
        titles: One title per image.
        path: File to write: PNG, or JPEG, which is far smaller for photographs.
        columns: Images per row.
    """
    rows = max(1, -(-len(images) // columns))
    size = (1.25 * columns, 1.55 * rows + 0.1)
    figure, axes = new_figure(*size, nrows=rows, ncols=columns, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, title in zip(axes.flat, titles, strict=False):
        ax.set_title(literal(title), fontsize=7, color=INK)
    for ax, image in zip(axes.flat, images, strict=False):
        ax.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray_r", vmin=0, vmax=255)
    save(figure, path)
