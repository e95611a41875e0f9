"""One network of each family at full size: all formats, with time, memory and sizes."""

import json

import pytest

# The sides of an image of ImageNet and its 1000 classes, or a digit's 32 pixels and 10 classes.
PROGRAM = """
import json, resource, sys, time

import numpy as np

import keras_classics as kc
from keras_classics import export
from keras_classics.export import verify
from keras_classics.export.source import generated_images
from tests.helpers.networks import settled
from tests.helpers.exports import arguments

name, folder = sys.argv[1:]
verify.LATENCY_RUNS = 3
model = settled(kc.get_model(name))
# Other images than those that are compared.
calibration = generated_images(model.input_shape[1:])[:8, ::-1]
start = time.monotonic()
manifest = export.export_model(
    model,
    folder,
    calibration=calibration,
    formats=export.FORMATS,
    quantize=["none", "float16", "dynamic", "int8"],
    **arguments(model),
)
metadata = {
    "parameters": model.count_params(),
    "seconds": time.monotonic() - start,
    "gibibytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    "manifest": manifest,
}
print(json.dumps(metadata))
"""

EXACT = ("saved_model", "model.tflite", "model.onnx")
# Bytes that a parameter takes.
WIDTHS = {
    "saved_model": 4,
    "model.tflite": 4,
    "model_float16.tflite": 2,
    "model_dynamic.tflite": 1,
    "model_int8.tflite": 1,
    "model.onnx": 4,
    "model_int8.onnx": 1,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lenet5", "alexnet", "vgg16", "resnet50"])
def test_every_format(name, run_python, tmp_path):
    done = run_python("-c", PROGRAM, name, str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    metadata = json.loads(done.stdout.splitlines()[-1])
    exports, parameters = metadata["manifest"]["exports"], metadata["parameters"]
    assert set(exports) == set(WIDTHS)
    for form, width in WIDTHS.items():
        agreement = exports[form]["agreement"]
        assert agreement["images"] == 32
        if form in EXACT:
            assert agreement["max_difference"] <= 1e-4
            assert agreement["same_prediction"] == 1
        size = sum(file["bytes"] for file in exports[form]["files"].values())
        print(f"{name} {form} {size / 1e6:.2f} MB", agreement)
        # Beside the parameters: the graph, and scales and biases that stay wide.
        least, most = 0.99 * width * parameters, 1.03 * width * parameters + 500_000
        assert least <= size <= most
    print(f"{name} {metadata['seconds']:.0f} s, {metadata['gibibytes']:.1f} GiB")
    assert metadata["gibibytes"] < 10
