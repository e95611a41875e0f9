"""The data that an exported network was trained on, and which data sets are drawings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_classics.data.folders import FOLDER, FOLDER_EXIF
from keras_classics.training import read_result
from keras_classics.weights import list_weights

IMAGENET = "imagenet2012"

# Names of data sets as the site prints them.
NAMES = {
    "digits": "scikit-learn's handwritten digits",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    IMAGENET: "ImageNet",
}


@dataclass(frozen=True)
class Drawings:
    """How the images of a data set are drawn, light on black; the pad frames strokes likewise.

    Attributes:
        subject: What the images show.
        margin: Free space at both ends of the subject's longer side, as a fraction of the side.
        brush: Width of the strokes, in percent of the pad's side.
    """

    subject: str
    margin: float = 0.0
    brush: int = 10


# Networks trained on any other data get a page for pictures: no pad, and nothing is inverted.
DRAWINGS = {
    "digits": Drawings("a digit"),
    "mnist": Drawings("a digit", margin=4 / 28),
    "fashion_mnist": Drawings("a piece of clothing", brush=18),
}


def training_data(manifest: dict[str, Any], run: Path) -> str | None:
    """Returns the name of the data set that an exported network was trained on; None if unknown.

    Args:
        manifest: Content of the export's `manifest.json`.
        run: Run directory that was exported, if it was one.
    """
    origin = manifest.get("origin", {})
    weights = str(origin.get("weights"))
    if f"{manifest['model']}/{weights}" in list_weights():
        return IMAGENET if weights.startswith("imagenet") else weights
    result = run / "result.json"
    if result.is_file():
        return read_result(result)["dataset"]
    return origin.get("dataset")


def printed_name(dataset: str | None) -> str | None:
    """Returns the name of a data set for the site; of a folder, the last part of its path alone."""
    if dataset is not None and dataset.startswith((FOLDER, FOLDER_EXIF)):
        return f"the folder {Path(dataset.partition(':')[2]).name}"
    return NAMES.get(dataset or "", dataset)
