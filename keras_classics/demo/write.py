"""Writes the site: its pages, the network, the network's metadata, and the runtime."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import keras

from keras_classics import files
from keras_classics.data.image_size import MAX_PIXELS
from keras_classics.demo.datasets import (
    STROKES,
    Strokes,
    kind_of_drawings,
    printed_name,
    training_data,
)
from keras_classics.demo.layers import ClassMap, first_layer
from keras_classics.demo.runtime import copy_runtime, runtime
from keras_classics.demo.samples import write_samples
from keras_classics.errors import UserError
from keras_classics.export.interface import DARK_ON_LIGHT
from keras_classics.image_preprocessing import PREPROCESSINGS
from keras_classics.models import find_model, list_models
from keras_classics.training.run_directory import run_folder

PAGES = Path(__file__).parent / "site"
NETWORK = "model.tflite"

# Layers whose arithmetic the page repeats.
SUPPORTED = [layer.__name__ for layer in PREPROCESSINGS.values()]

FAMILIES = {
    "alexnet": "AlexNet",
    "caffenet": "CaffeNet",
    "lenet": "LeNet",
    "plain": "Plain",
    "resnet": "ResNet",
    "vgg": "VGG",
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
    resources, and a visitor's drawings and pictures stay in the browser.

    The training data decide what the page offers. A network of drawings, such as MNIST, gets a pad
    to draw on, and a picture of dark strokes on light paper is inverted, or the other way round.
    All other networks get pictures as they are. The samples are held-out pictures of the training
    data, if these are on this machine: publish the site only where these pictures may be.

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
        UserError: If `export` is not an export, the network uses neither `CanvasPreprocessing` nor
            `ImagePreprocessing`, `out` exists, or npm is missing.
    """
    export, out = Path(export), Path(out)
    run = export.parent if run is None else run_folder(run)
    files.refuse_existing(out)
    manifest = _manifest(export)
    model = _model(export, run)
    first, class_map = first_layer(model), ClassMap(model)
    packages = runtime()
    known = dataset or training_data(manifest, run)
    layers = {"first_layer": first.name, "class_map": class_map.layer_name}
    metadata = _metadata(manifest, known) | layers
    with files.atomic_write(out) as aside:
        shutil.copytree(PAGES, aside)
        shutil.copyfile(export / NETWORK, aside / NETWORK)
        _write_tflite(first, _image(model), aside / "first_layer.tflite")
        write_class_map(class_map, aside / "class_map.tflite")
        copy_runtime(packages, aside / "litert")
        metadata["samples"] = write_samples(known, metadata["labels"], aside / "samples")
        metadata["bytes"] = (aside / NETWORK).stat().st_size
        metadata["download"] = _download(aside)
        (aside / "network.json").write_text(json.dumps(metadata, indent=2) + "\n")
    return metadata


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
    if layer not in SUPPORTED:
        raise UserError(
            f"The demo supports networks whose preprocessing is {' or '.join(SUPPORTED)}. "
            f"Received: {manifest['model']} with {layer}. Export the network with one of these."
        )
    return manifest


def _model(export: Path, run: Path) -> keras.Model:
    for path in (export / "model.keras", run / "model.keras"):
        if path.is_file():
            return keras.models.load_model(path, compile=False)
    raise UserError(
        "The demo computes the feature maps of the first layer with model.keras. "
        f"Received: no such file in {export} or {run}. Name the run that was exported: "
        "run=RUN_DIR."
    )


def _metadata(manifest: dict[str, Any], dataset: str | None) -> dict[str, Any]:
    model = manifest["model"]
    return {
        "title": title(model),
        "paper": find_model(model).paper if model in list_models() else None,
        "dataset": printed_name(dataset),
        "input_shape": manifest["input"]["shape"][1:],
        "labels": manifest["output"]["labels"],
        "preprocessing": manifest["preprocessing"],
        "max_pixels": manifest.get("max_pixels", MAX_PIXELS),
        "upright": manifest.get("exif_orientation") == "applied",
        "pixels": manifest["exports"][NETWORK].get("input", {}).get("dtype") == "uint8",
        "drawing": _drawing(manifest, dataset),
    }


def _drawing(manifest: dict[str, Any], dataset: str | None) -> dict[str, Any] | None:
    """Returns how the pad draws for a network of drawings; None for all others."""
    kind = kind_of_drawings(manifest, dataset)
    if kind is None:
        return None
    strokes, images = STROKES.get(dataset or "", Strokes()), manifest["preprocessing"]
    side = images["resize"] if "resize" in images else images["size"] - 2 * images["border"]
    return {
        "subject": strokes.subject,
        "dark_on_light": kind == DARK_ON_LIGHT,
        "side": side,
        "margin": round(strokes.margin * side),
        "brush": strokes.brush,
    }


def title(model: str) -> str:
    """Returns the name of a network as people write it: `lenet5_1998` is LeNet-5 (1998)."""
    match = re.fullmatch(rf"({'|'.join(FAMILIES)})(\d*)(?:_(.+))?", model)
    if match is None:
        return model
    family, number, variant = match.groups()
    name = FAMILIES[family] + (f"-{number}" if number else "")
    return name + (f" ({variant})" if variant else "")


def _download(site: Path) -> int:
    """Returns how many bytes a browser loads: of the runtime, one of two builds."""
    wasm = "litert/wasm/litert_wasm_internal.wasm"
    return sum(path.stat().st_size for path in [*site.glob("*.tflite"), site / wasm])


def write_class_map(class_map: ClassMap, path: Path) -> None:
    """Writes for LiteRT how a network's class map is computed from one image and a label."""
    label = keras.InputSpec(shape=(1,), dtype="int32", name="label")
    _write_tflite(class_map, (_image(class_map.network), label), path)


def _image(model: keras.Model) -> keras.InputSpec:
    return keras.InputSpec(shape=(1, *model.input_shape[1:]), dtype="float32", name="image")


def _write_tflite(model: keras.Model, takes: Any, path: Path) -> None:
    """Writes a network for LiteRT."""
    model.export(path, format="litert", verbose=False, input_signature=[takes])
