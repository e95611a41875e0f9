"""The data that an exported network was trained on, and how drawings among them are drawn."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_classics.data.names import form_of, path_of
from keras_classics.export.interface import LIGHT_ON_DARK
from keras_classics.training import read_result

# Names of data sets as the site prints them.
NAMES = {
    "digits": "scikit-learn's handwritten digits",
    "mnist": "MNIST",
    "mnist_5000": "5,000 digits of MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "imagenet": "ImageNet",
    "imagenet2012": "ImageNet",
}


@dataclass(frozen=True)
class Strokes:
    """How a data set is drawn; the pad frames strokes likewise.

    Attributes:
        subject: What the images show.
        margin: Free space at both ends of the subject's longer side, as a fraction of the side.
        brush: Width of the strokes, in percent of the pad's side.
    """

    subject: str = "something"
    margin: float = 0.0
    brush: int = 10


STROKES = {
    "digits": Strokes("a digit"),
    "mnist": Strokes("a digit", margin=4 / 28),
    "mnist_5000": Strokes("a digit", margin=4 / 28),
    "fashion_mnist": Strokes("a piece of clothing", brush=18),
}


def training_data(manifest: dict[str, Any], run: Path) -> str | None:
    """Returns the name of the data set that an exported network was trained on; None if unknown.

    Args:
        manifest: Content of the export's `manifest.json`.
        run: Run directory that was exported, if it was one.
    """
    known = manifest.get("origin", {}).get("trained_on")
    result = run / "result.json"
    return read_result(result)["dataset"] if known is None and result.is_file() else known


def kind_of_drawings(manifest: dict[str, Any], dataset: str | None) -> str | None:
    """Returns how the training images are drawn, or None if they are no drawings.

    The export says it, from its images; without these, the data set does.
    """
    return manifest.get("drawings") or (LIGHT_ON_DARK if dataset in STROKES else None)


def printed_name(dataset: str | None) -> str | None:
    """Returns the name of a data set for the site; of a path, its last part alone."""
    if dataset is not None and (form := form_of(dataset)):
        return f"the {form} {Path(path_of(dataset)).name}"
    return NAMES.get(dataset or "", dataset)
