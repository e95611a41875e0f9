"""Writes the site: its pages, the network, the network's metadata, and the runtime."""

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_classics import files
from keras_classics.analysis.nested import flat
from keras_classics.demo.runtime import copy_runtime, runtime
from keras_classics.errors import UserError
from keras_classics.models import find_model, list_models
from keras_classics.models.layers import TableConv2D
from keras_classics.training import read_result
from keras_classics.training.run_directory import run_folder

PAGES = Path(__file__).parent / "site"
NETWORK = "model.tflite"
FIRST_LAYER = "first_layer.tflite"

# Layers that may follow a convolution and belong to it.
ENDINGS = (keras.layers.BatchNormalization, keras.layers.Activation, keras.layers.ReLU)


@dataclass(frozen=True)
class DatasetStyle:
    """How the images of a data set look; drawings are framed in the same way.

    Attributes:
        name: Name of the data set as the site prints it.
        subject: What the images show.
        margin: Free pixels at both ends of the subject's longer side, at the network's resolution.
        brush: Width of the strokes, in percent of the pad's side.
    """

    name: str | None
    subject: str = "something"
    margin: int = 0
    brush: int = 10


DATASET_STYLES = {
    "digits": DatasetStyle("scikit-learn's handwritten digits", "a digit"),
    "mnist": DatasetStyle("MNIST", "a digit", margin=4),
    "fashion_mnist": DatasetStyle("Fashion-MNIST", "a piece of clothing", brush=18),
}


def write_site(
    export: str | os.PathLike,
    out: str | os.PathLike,
    *,
    run: str | os.PathLike | None = None,
    dataset: str | None = None,
) -> dict[str, Any]:
    """Writes a static site with an exported network; if that fails, it writes nothing.

    Any web server can serve it, such as `python -m http.server`. The site loads no external
    resources, and a visitor's drawings stay in the browser.

    Args:
        export: Folder that `export_model` wrote, with `manifest.json`, `model.tflite` and
            `model.keras`.
        out: Folder to write; it must not exist yet.
        run: Run directory that was exported, by default the parent of `export`. `model.keras` and
            the name of the training data in `result.json` are read from here if `export` lacks
            them.
        dataset: Name of the training data, if neither folder contains it.

    Returns:
        The network's metadata, the content of the site's `network.json`.

    Raises:
        UserError: If `export` is not an export, the network does not use `CanvasPreprocessing`,
            `out` exists, or npm is missing.
    """
    export, out = Path(export), Path(out)
    run = export.parent if run is None else run_folder(run)
    files.refuse_existing(out)
    manifest = _manifest(export)
    first = first_layer(_model(export, run))
    packages = runtime()
    metadata = _metadata(manifest, export, dataset or _dataset(manifest, run), first)
    with files.atomic_write(out) as aside:
        shutil.copytree(PAGES, aside)
        shutil.copyfile(export / NETWORK, aside / NETWORK)
        _write_tflite(first, aside / FIRST_LAYER)
        copy_runtime(packages, aside / "litert")
        (aside / "network.json").write_text(json.dumps(metadata, indent=2) + "\n")
    return metadata


def first_layer(model: keras.Model) -> keras.Model:
    """Returns a network up to its first convolution and the normalisation and activation after it.

    Args:
        model: A network with a convolution.

    Raises:
        UserError: If the network has no convolution.
    """
    model = flat(model)
    layers = iter(model.layers)
    last = next((layer for layer in layers if _is_convolution(layer)), None)
    if last is None:
        raise UserError(f"The demo shows the maps of the first convolution. {model.name} has none.")
    for layer in layers:
        if not isinstance(layer, ENDINGS):
            break
        last = layer
    return keras.Model(model.input, last.output, name=last.name)


def _is_convolution(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.Conv2D | TableConv2D)


def _manifest(export: Path) -> dict[str, Any]:
    path = export / "manifest.json"
    for needed in (path, export / NETWORK):
        if not needed.is_file():
            raise UserError(
                f"The demo needs an exported network. Received: {export}, which has no "
                f"{needed.name}. Export the network with the format tflite."
            )
    manifest = json.loads(path.read_text())
    layer = manifest["preprocessing"]["layer"]
    if layer != "CanvasPreprocessing":
        raise UserError(
            "The demo supports networks whose preprocessing is CanvasPreprocessing. "
            f"Received: {manifest['model']} with {layer}. Use LeNet-5 or a network trained on "
            "Fashion-MNIST."
        )
    return manifest


def _model(export: Path, run: Path) -> keras.Model:
    for path in (export / "model.keras", run / "model.keras"):
        if path.is_file():
            return keras.models.load_model(path, compile=False)
    raise UserError(
        "The demo computes the feature maps of the first layer with model.keras. "
        f"Received: no such file in {export} or {run}. Name the run that was exported: "
        "--run=RUN_DIR."
    )


def _dataset(manifest: dict[str, Any], run: Path) -> str | None:
    """Returns the name of the training data, or None if it is unknown."""
    result = run / "result.json"
    if "dataset" not in manifest and result.is_file():
        return read_result(result)["dataset"]
    return manifest.get("dataset")


def _metadata(
    manifest: dict[str, Any], export: Path, dataset: str | None, first: keras.Model
) -> dict[str, Any]:
    model, images = manifest["model"], manifest["preprocessing"]
    style = DATASET_STYLES.get(dataset or "", DatasetStyle(dataset))
    box = images["size"] - 2 * images["border"]
    return {
        "title": title(model),
        "paper": find_model(model).paper if model in list_models() else None,
        "dataset": style.name,
        "subject": style.subject,
        "bytes": (export / NETWORK).stat().st_size,
        "input_shape": manifest["input_shape"],
        "labels": manifest["labels"],
        "preprocessing": images,
        "drawing": {"side": box, "margin": style.margin, "brush": style.brush},
        "first_layer": first.name,
    }


def title(model: str) -> str:
    """Returns the name of a network as people write it: `lenet5_1998` is LeNet-5 (1998)."""
    match = re.fullmatch(r"(lenet|resnet|plain|vgg)(\d+)(?:_(.+))?", model)
    if match is None:
        return model
    family, number, variant = match.groups()
    name = {"lenet": "LeNet", "resnet": "ResNet", "plain": "Plain", "vgg": "VGG"}[family]
    return f"{name}-{number}" + (f" ({variant})" if variant else "")


def _write_tflite(model: keras.Model, path: Path) -> None:
    """Writes a network for LiteRT with a batch size of 1."""
    image = keras.InputSpec(shape=(1, *model.input_shape[1:]), dtype="float32", name="image")
    model.export(path, format="litert", verbose=False, input_signature=[image])
