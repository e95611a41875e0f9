"""The site: its own pages, the network, what they must know of it, and the runtime."""

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from keras_classics import files
from keras_classics.demo.runtime import copy_runtime, runtime
from keras_classics.errors import UserError
from keras_classics.models import find_model, list_models
from keras_classics.models.layers import TableConv2D

PAGES = Path(__file__).parent / "site"
NETWORK = "model.tflite"
FIRST_LAYER = "first_layer.tflite"

# Layers that end a convolution.
ENDINGS = (keras.layers.BatchNormalization, keras.layers.Activation, keras.layers.ReLU)


@dataclass(frozen=True)
class Shown:
    """What pictures of a data set are like: a drawing is framed as they are.

    Attributes:
        name: The data set's name in words.
        subject: What they show.
        margin: Pixels that stay free around it on the longer side, in the network's box.
        brush: Width of its strokes, in hundredths of the pad's side.
    """

    name: str | None
    subject: str = "something"
    margin: int = 0
    brush: int = 10


SHOWN = {
    "digits": Shown("scikit-learn's handwritten digits", "a digit"),
    "mnist": Shown("MNIST", "a digit", margin=4),
    "fashion_mnist": Shown("Fashion-MNIST", "a piece of clothing", brush=18),
}


def write_site(
    export: str | os.PathLike,
    out: str | os.PathLike,
    *,
    run: str | os.PathLike | None = None,
    dataset: str | None = None,
) -> dict[str, Any]:
    """Writes a static site with an exported network, whole or not at all.

    Any web server can serve it, such as `python -m http.server`. It takes nothing from elsewhere,
    and what a visitor draws stays in the browser.

    Args:
        export: Folder with `manifest.json` and `model.tflite`, as `export_model` writes it, and
            `model.keras`.
        out: Folder to write; it must not be there yet.
        run: Run directory that was exported, by default the folder around `export`: it may hold
            `model.keras` and `result.json`, which says what the network was trained on.
        dataset: What the network was trained on, where nothing there says it.

    Returns:
        What the site knows of the network, the content of its `network.json`.

    Raises:
        UserError: A folder is not what it should be, the network takes no `CanvasPreprocessing`,
            `out` is there, or npm is missing.
    """
    export, out = Path(export), Path(out)
    run = export.parent if run is None else Path(run)
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
    """Returns a network up to its first convolution, with the normalisation and activation on it.

    Args:
        model: A network that begins with a convolution. It shares its layers with the result.

    Raises:
        UserError: There is no convolution in it.
    """
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
                f"The demo takes an exported network. {export} is none: there is no {needed.name}. "
                "Export with the format tflite."
            )
    manifest = json.loads(path.read_text())
    layer = manifest["preprocessing"]["layer"]
    if layer != "CanvasPreprocessing":
        raise UserError(
            "The demo takes networks whose images are centred on a canvas, CanvasPreprocessing. "
            f"Received: {manifest['model']} with {layer}. LeNet-5 and the networks of "
            "Fashion-MNIST have it."
        )
    return manifest


def _model(export: Path, run: Path) -> keras.Model:
    for path in (export / "model.keras", run / "model.keras"):
        if path.is_file():
            return keras.models.load_model(path, compile=False)
    raise UserError(
        "The maps of the first layer are taken from model.keras, which is not in "
        f"{export} or {run}. Name the run that was exported: --run=RUN_DIR."
    )


def _dataset(manifest: dict[str, Any], run: Path) -> str | None:
    """Name of the data set that a network was trained on, as far as is known."""
    result = run / "result.json"
    if "dataset" not in manifest and result.is_file():
        return json.loads(result.read_text())["dataset"]
    return manifest.get("dataset")


def _metadata(
    manifest: dict[str, Any], export: Path, dataset: str | None, first: keras.Model
) -> dict[str, Any]:
    model, images = manifest["model"], manifest["preprocessing"]
    shown = SHOWN.get(dataset, Shown(dataset))
    box = images["size"] - 2 * images["border"]
    return {
        "title": title(model),
        "paper": find_model(model).paper if model in list_models() else None,
        "dataset": shown.name,
        "subject": shown.subject,
        "bytes": (export / NETWORK).stat().st_size,
        "input_shape": manifest["input_shape"],
        "labels": manifest["labels"],
        "preprocessing": images,
        "drawing": {"side": box, "margin": shown.margin, "brush": shown.brush},
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
    """Writes a network for LiteRT, one image at a time."""
    image = keras.InputSpec(shape=(1, *model.input_shape[1:]), dtype="float32", name="image")
    model.export(path, format="litert", verbose=False, input_signature=[image])
