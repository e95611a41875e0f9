"""Benchmarks of exported networks, and of exporting."""

import statistics
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path

import keras
import numpy as np

from keras_classics import export
from keras_classics.environment import usable_processors
from keras_classics.export.measuring import Form, RuntimeProcess
from keras_classics.export.onnx_int8 import onnx_int8
from keras_classics.export.saved_model import build as build_saved_model
from keras_classics.export.source import Source
from keras_classics.export.tflite import build as build_tflite
from keras_classics.image_preprocessing import ImagePreprocessing
from keras_classics.models import resnet50, vgg16
from keras_classics.timing import in_turns
from reproduce.benchmark import export_cost
from reproduce.benchmark.turns import TURNS, print_rates

# Images that calibrate int8 networks; their accuracy does not matter here.
CALIBRATION_IMAGES = 8

PAIRS = (
    ("resnet50 SavedModel", "keras.applications"),
    ("resnet50 TFLite int8", "resnet50 TFLite float32"),
    ("resnet50 TFLite float32", "resnet50 ONNX"),
    ("resnet50 ONNX int8", "resnet50 ONNX"),
    ("vgg16 TFLite int8", "vgg16 TFLite float32"),
    ("vgg16 TFLite float32", "vgg16 ONNX"),
    ("vgg16 ONNX int8", "vgg16 ONNX"),
)


def benchmark_export() -> None:
    """Compares exported networks with each other and with Keras's, one image at a time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        forms = _exported(resnet50(), folder / "resnet50") | _exported(vgg16(), folder / "vgg16")
        other = keras.applications.ResNet50(weights=None)
        other.export(str(folder / "other"), verbose=False)
        forms["keras.applications"] = Form(folder / "other", "TensorFlow")
        images = folder / "images.npy"
        np.save(images, np.zeros((1, *other.input_shape[1:]), "float32"))
        for pair in PAIRS:
            _compare({name: forms[name] for name in pair}, images)


def benchmark_export_cost() -> None:
    """Compares the cost of exporting VGG-16 with the converters alone."""
    costs = {side: [] for side in export_cost.SIDES}
    for _ in range(TURNS.value):
        for side, measured in costs.items():
            measured.append(export_cost.of_vgg16(side))
    for side, measured in costs.items():
        seconds, memory = (statistics.median(values) for values in zip(*measured, strict=True))
        print(f"{side:<28}{seconds:>10,.1f} s{memory:>10,.2f} GiB")


def _exported(model: keras.Model, folder: Path) -> dict[str, Form]:
    """Exports a network in several formats."""
    folder.mkdir()
    labels = [str(number) for number in range(model.output_shape[-1])]
    source = Source(model, ImagePreprocessing(), labels)
    names = ("saved", "int8.tflite", "float32.tflite", "float32.onnx", "int8.onnx")
    saved, int8, float32, onnx, int8_onnx = (folder / name for name in names)
    calibration = source.inputs[:CALIBRATION_IMAGES]
    build_saved_model(source, saved)
    build_tflite(source, int8, "int8", calibration)
    build_tflite(source, float32)
    export.onnx(source.network, onnx)
    onnx_int8(source.network, int8_onnx, calibration, {})
    forms = {
        "SavedModel": Form(saved, "TensorFlow"),
        "TFLite int8": Form(int8, "LiteRT"),
        "TFLite float32": Form(float32, "LiteRT"),
        "ONNX": Form(onnx, "ONNX Runtime"),
        "ONNX int8": Form(int8_onnx, "ONNX Runtime"),
    }
    return {f"{model.name} {form}": found for form, found in forms.items()}


def _compare(forms: dict[str, Form], images: Path) -> None:
    """Runs forms in turns, each in a process of its own, on one image at a time."""
    with ExitStack() as stack:
        sides = {
            name: stack.enter_context(closing(RuntimeProcess(form, usable_processors(), images)))
            for name, form in forms.items()
        }
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for turn, name in in_turns([*sides], TURNS.value + 1):
            seconds = sides[name].turn(batch=1)["seconds"]
            if turn:
                rates[name].append(1 / statistics.mean(seconds))
    print_rates({name: statistics.median(found) for name, found in rates.items()}, "images/s")
