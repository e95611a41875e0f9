"""Sample pictures of a site: the package's, or held-out pictures of the training data."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_classics.data import RecordSplit, load_test
from keras_classics.data.builders import find_builder, tensorflow_datasets
from keras_classics.data.names import OF_IMAGE_FILES, form_of
from keras_classics.data.packaged import is_packaged
from keras_classics.data.parts import VALIDATION_SHARE
from keras_classics.data.splits import AnySplit
from keras_classics.demo.datasets import printed_name
from keras_classics.errors import UserError

# A folder for each data set whose pictures are in the package. Their names are what they show, or
# the numbers of their classes.
PACKAGED = Path(__file__).parent / "samples"

# Where they are from, see README.md in their folder.
CREDITS = {
    "digits": "held-out digits of UCI's handwritten digits, CC BY 4.0",
    "fashion_mnist": "test images of Fashion-MNIST, MIT licence",
    "imagenet": "photographs of scikit-image, CC0",
}

COUNT = 10
# Longer side of a held-out picture on the site, in pixels, at most.
SIDE = 320
# A larger PNG file becomes a JPEG file.
PNG_BYTES = 16_384


def write_samples(dataset: str | None, labels: Sequence[str], folder: Path) -> dict[str, Any]:
    """Writes a few small pictures. Nothing is downloaded.

    Args:
        dataset: Name of the data set that the network was trained on, if known.
        labels: Name of each output.
        folder: Folder to write.

    Returns:
        `pictures`: `file`, the name in the folder, and `label`, what it shows, of each; and
        `credit`: where they are from.
    """
    folder.mkdir()
    pictures, credit = [], None
    if dataset is not None:
        pictures, credit = _copy_packaged(dataset, labels, folder), CREDITS.get(dataset)
        if not pictures:
            pictures = _write_held_out(dataset, labels, folder)
            credit = f"held-out pictures of {printed_name(dataset)}"
    return {"pictures": pictures, "credit": credit if pictures else None}


def _copy_packaged(dataset: str, labels: Sequence[str], folder: Path) -> list[dict[str, str]]:
    paths = sorted((PACKAGED / dataset).glob("*.*"))
    numbered = all(path.stem.isdigit() for path in paths)
    if numbered and len(paths) != len(labels):  # The network has only some of the classes.
        return []
    for path in paths:
        shutil.copyfile(path, folder / path.name)
    return [
        {"file": path.name, "label": labels[int(path.stem)] if numbered else path.stem}
        for path in paths
    ]


def _write_held_out(dataset: str, labels: Sequence[str], folder: Path) -> list[dict[str, str]]:
    if not _is_here(dataset):
        return []
    share = VALIDATION_SHARE if form_of(dataset) in OF_IMAGE_FILES else None
    try:
        split, class_names = load_test(dataset, encoded=True, validation_share=share)
    except UserError:
        return []
    written: list[dict[str, str]] = []
    for index, label in _spread(split, [n for n, name in enumerate(class_names) if name in labels]):
        try:
            ending, encoded = _encoded(split.image(index))
        except (OSError, UserError, tf.errors.OpError):
            continue  # A damaged file is no sample.
        name = f"{len(written)}{ending}"
        (folder / name).write_bytes(encoded)
        written.append({"file": name, "label": "" if label is None else class_names[label]})
    return written


def _is_here(dataset: str) -> bool:
    """Returns whether a data set can be read without a download."""
    if is_packaged(dataset) or form_of(dataset):
        return True
    try:
        return find_builder(tensorflow_datasets(), dataset, None).data_path.exists()
    except UserError:
        return False


def _spread(split: AnySplit, classes: Sequence[int]) -> Iterator[tuple[int, int | None]]:
    """Yields index and label of the first images of each class; the label is None if unknown."""
    if isinstance(split, RecordSplit) or split.multilabel:
        for index in np.linspace(0, len(split) - 1, min(COUNT, len(split)), dtype=int):
            yield int(index), None
        return
    shown = np.linspace(0, len(classes) - 1, min(COUNT, len(classes)), dtype=int)
    for label in np.array(classes)[shown]:
        for index in np.flatnonzero(split.labels == label)[: max(COUNT // len(shown), 1)]:
            yield int(index), int(label)


def _encoded(image: np.ndarray) -> tuple[str, bytes]:
    """Returns the ending and the content of a small file of an image."""
    scale = SIDE / max(image.shape[:2])
    if scale < 1:
        sides = [max(round(side * scale), 1) for side in image.shape[:2]]
        image = np.round(tf.image.resize(image, sides, antialias=True)).astype("uint8")
    png = tf.io.encode_png(image).numpy()
    if len(png) <= PNG_BYTES:
        return ".png", png
    return ".jpg", tf.io.encode_jpeg(image, quality=90).numpy()
