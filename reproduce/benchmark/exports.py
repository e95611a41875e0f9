"""Benchmarks of exported networks, and of exporting."""

import statistics
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_classics import export
from keras_classics.export.onnx import runtime as onnx_runtime
from keras_classics.export.saved_model import build as build_saved_model
from keras_classics.export.source import Source
from keras_classics.export.tflite import build as build_tflite
from keras_classics.export.tflite import runtime as tflite_runtime
from keras_classics.export.verify import Run
from keras_classics.image_preprocessing import ImagePreprocessing
from keras_classics.models import resnet50, vgg16
from reproduce.benchmark import export_cost
from reproduce.benchmark.turns import TURNS, Turn, compare

# Images of a turn.
TURN_IMAGES = 5
# Images that calibrate int8 networks; their accuracy does not matter here.
CALIBRATION_IMAGES = 8


def benchmark_export() -> None:
    """Compares exported networks with each other and with Keras's, one image at a time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        forms = _exported(resnet50(), folder / "resnet50") | _exported(vgg16(), folder / "vgg16")
        other = keras.applications.ResNet50(weights=None)
        other.export(str(folder / "other"), verbose=False)
        forms["keras.applications"] = _predicting(_signature(folder / "other"), other)
    for pair in (
        ("resnet50 SavedModel", "keras.applications"),
        ("resnet50 TFLite int8", "resnet50 TFLite float32"),
        ("resnet50 TFLite float32", "resnet50 ONNX"),
        ("vgg16 TFLite int8", "vgg16 TFLite float32"),
        ("vgg16 TFLite float32", "vgg16 ONNX"),
    ):
        compare({name: forms[name] for name in pair}, TURN_IMAGES, "images/s")


def benchmark_export_cost() -> None:
    """Compares the cost of exporting VGG-16 with the converters alone."""
    costs = {side: [] for side in export_cost.SIDES}
    for _ in range(TURNS.value):
        for side, measured in costs.items():
            measured.append(export_cost.of_vgg16(side))
    for side, measured in costs.items():
        seconds, memory = (statistics.median(values) for values in zip(*measured, strict=True))
        print(f"{side:<28}{seconds:>10,.1f} s{memory:>10,.2f} GiB")


def _exported(model: keras.Model, folder: Path) -> dict[str, Turn]:
    """Exports a network in several formats, and loads each in its runtime."""
    folder.mkdir()
    labels = [str(number) for number in range(model.output_shape[-1])]
    source = Source(model, ImagePreprocessing(), labels)
    saved, int8, float32, onnx = (
        folder / name for name in ("saved", "int8.tflite", "float32.tflite", "network.onnx")
    )
    build_saved_model(source, saved)
    build_tflite(source, int8, "int8", source.inputs[:CALIBRATION_IMAGES])
    build_tflite(source, float32)
    export.onnx(source.network, onnx)
    runs = {
        "SavedModel": _signature(saved),
        "TFLite int8": tflite_runtime(int8),
        "TFLite float32": tflite_runtime(float32),
        "ONNX": onnx_runtime(onnx),
    }
    return {f"{model.name} {form}": _predicting(run, model) for form, run in runs.items()}


def _predicting(run: Run, model: keras.Model) -> Turn:
    """Predictions for images, one at a time."""
    image = np.zeros((1, *model.input_shape[1:]), "float32")

    def turn() -> None:
        for _ in range(TURN_IMAGES):
            run(image)

    return turn


def _signature(folder: Path) -> Run:
    """Runs a SavedModel by its signature, as a server does."""
    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    (name,) = serve.structured_input_signature[1]
    return lambda images: serve(**{name: tf.constant(images)})
