"""ONNX files in int8, and ONNX files in OpenVINO."""

import importlib.machinery
import json
import sys
import tempfile
import types
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest

import keras_classics as kc
from keras_classics import export
from keras_classics.errors import UserError, VerificationError
from keras_classics.export import measuring, onnx_forms, runtime_process, verify
from keras_classics.export.onnx import runtime
from keras_classics.export.source import GENERATED_IMAGES, Source, generated_images
from keras_classics.image_preprocessing import CanvasPreprocessing
from keras_classics.models.layers import AdaptiveAveragePooling2D, TowerConv2D
from tests.helpers.exports import arguments
from tests.helpers.networks import network, settled

# With `large` they have every kind of layer; the others are slow.
FAST = ("cuda_convnet", "lenet5_1998", "resnet20", "vgg16_first_bn")
# With random weights; 7 bits change its prediction for 2 of the 32 images, and 8 bits would not.
REFUSED = "alexnet_single_tower"
# What the networks have, and ONNX Runtime lacks in 8 bits.
FLOAT = {
    "alexnet": {"LRN", "Softmax"},
    "cuda_convnet": {"LRN", "Softmax"},
    "vgg11_lrn": {"LRN", "Softmax"},
    "caffenet": {"LRN", "Softmax"},
    "lenet5": {"Softmax", "Tanh"},
    "lenet5_1998": {"Mul", "Neg", "ReduceSum", "Softmax", "Sub", "Tanh"},
    "vgg16_first_bn": {"BatchNormalization", "Softmax"},
}
# 500 test images.
SAMPLE = Path(__file__).parents[1] / "golden" / "fashion_mnist_sample.npz"
DIGITS = {"preprocessing": CanvasPreprocessing(), "labels": list("0123456789")}


@pytest.fixture(autouse=True)
def short_timing(monkeypatch):
    monkeypatch.setattr(verify, "LATENCY_RUNS", 1)
    monkeypatch.setattr(verify, "WARM_UP_RUNS", 0)


@pytest.fixture(autouse=True)
def without_openvino(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return kc.lenet5(weights="digits")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model_int8.onnx"


def networks() -> list:
    slow = pytest.mark.slow
    return [n if n in FAST else pytest.param(n, marks=slow) for n in kc.list_models()]


def checked_in_int8(model: keras.Model, path) -> verify.Check:
    """Writes a network; fails if its predictions differ."""
    calibration = generated_images(model.input_shape[1:])
    return onnx_forms.write(Source(model, **arguments(model)), path, "int8", calibration)


def large() -> keras.Model:
    """The layers that only AlexNet's variants have, without their weights."""
    image = keras.Input((20, 24, 3), name="image")
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(image)
    x = TowerConv2D(8, 3, 2, padding="same", activation="relu")(x)
    x = AdaptiveAveragePooling2D((6, 6))(keras.layers.ZeroPadding2D(2)(x))
    return keras.Model(image, keras.layers.Dense(7, "softmax")(keras.layers.Flatten()(x)))


def test_layers_of_large_networks(path):
    checked = checked_in_int8(settled(large()), path)
    assert checked.details["float_operations"] == ["Softmax"]


@pytest.mark.parametrize("name", networks())
def test_every_network(name, path):
    if name == REFUSED:
        with pytest.raises(VerificationError, match="The int8 export disagrees .* same prediction"):
            checked_in_int8(network(name), path)
        return
    checked = checked_in_int8(network(name), path)
    assert checked.bound == export.BOUNDS["int8"]
    assert checked.details["calibration_images"] == GENERATED_IMAGES
    preactivated = name in ("resnet164", "resnet1001")
    others = {"BatchNormalization", "Softmax"} if preactivated else {"Softmax"}
    assert set(checked.details["float_operations"]) == FLOAT.get(name, others)
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} < kinds


@pytest.fixture(scope="module")
def folder(model, few_digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("int8") / "served"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "openvino", None)
        export.export_model(
            model,
            folder,
            images=few_digits.test.images,
            calibration=few_digits.train.images,
            formats=["onnx"],
            quantize=["none", "int8"],
            inputs="uint8",
            **DIGITS,
        )
    return folder


def test_weights_have_seven_bits_and_a_scale_per_channel(folder, model):
    graph = onnx.load(folder / "model_int8.onnx").graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    dequantized = {
        node.input[0]: [constants[name] for name in node.input]
        for node in graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in constants
    }
    kernels = {name: parts for name, parts in dequantized.items() if parts[0].dtype == np.int8}
    layers = [layer for layer in model.layers if hasattr(layer, "kernel")]
    assert len(kernels) == len(layers) == 5
    # Two products of uint8 and such a weight fit into 16 bits, of which the sign is one.
    assert max(np.abs(values.astype(int)).max() for values, *_ in kernels.values()) == 64
    assert 2 * 255 * 64 < 2**15
    for layer in layers[:2]:
        (name,) = (name for name in kernels if name.startswith(f"{layer.name}/kernel"))
        values, scales, zeros = kernels[name]
        kernel = np.asarray(layer.kernel).transpose(3, 2, 0, 1)
        assert not zeros.any()
        np.testing.assert_allclose(scales, np.abs(kernel).max(axis=(1, 2, 3)) / 64, rtol=0.02)
        difference = np.abs(values * scales.reshape(-1, 1, 1, 1) - kernel)
        assert (difference <= 0.5001 * scales.reshape(-1, 1, 1, 1)).all()


def test_the_file_is_this_packages_and_states_what_it_takes(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {path.name for path in folder.iterdir()} == {
        *("README.md", "manifest.json", "model.keras", "model.onnx", "model_int8.onnx")
    }
    whole, int8 = (onnx.load(folder / name) for name in manifest["exports"])
    assert (int8.producer_name, int8.ir_version) == (whole.producer_name, whole.ir_version)
    assert int8.opset_import == whole.opset_import
    assert int8.graph.input == whole.graph.input
    assert int8.graph.output == whole.graph.output
    stated = {p.key: json.loads(p.value) for p in int8.metadata_props}
    own = manifest["exports"]["model_int8.onnx"]
    assert stated == {end: manifest[end] | own[end] for end in ("input", "output")}
    assert stated["input"]["dtype"] == "uint8"
    assert own["openvino"] is None
    assert 4 * (folder / "model_int8.onnx").stat().st_size < 1.3 * (
        (folder / "model.onnx").stat().st_size
    )


def test_pixels_are_normalised_in_float32(folder):
    nodes = onnx.load(folder / "model_int8.onnx").graph.node
    makers = {name: node.op_type for node in nodes for name in node.output}
    normalisation = [node for node in nodes if node.op_type in ("Mul", "Add")]
    assert len(normalisation) == 2
    for node in normalisation:
        assert "DequantizeLinear" not in {makers.get(name) for name in node.input}


def test_files_are_equal_and_leave_nothing_behind(model, few_digits, tmp_path):
    source = Source(model, **DIGITS)
    before = tempfile.gettempdir()
    for name in ("one.onnx", "other.onnx"):
        # What a writer left that was killed.
        (tmp_path / f"{name}.parts" / "old").mkdir(parents=True)
        onnx_forms.write(source, tmp_path / name, "int8", few_digits.train.images)
    assert tempfile.gettempdir() == before
    assert {path.name for path in tmp_path.iterdir()} == {"one.onnx", "other.onnx"}
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "other.onnx").read_bytes()


# Of 360 and of 500 images; 0.5 % is 1 and 2 of them.
def test_accuracy_of_digits(model, digits, path):
    source = Source(model, **DIGITS, images=digits.test.images, image_labels=digits.test.labels)
    agreement = onnx_forms.write(source, path, "int8", digits.train.images).agreement
    assert agreement.images == 360
    assert agreement.accuracy >= agreement.model_accuracy - 0.005


def test_accuracy_of_fashion_mnist(path):
    with np.load(SAMPLE) as sample:
        images, labels = sample["images"], sample["labels"]
    record = kc.find_weights("resnet20/fashion_mnist")
    source = Source(
        kc.resnet20(weights="fashion_mnist"),
        record.preprocessing(),
        record.labels,
        images[100:],
        labels[100:],
    )
    agreement = onnx_forms.write(source, path, "int8", images[:100]).agreement
    assert agreement.accuracy >= agreement.model_accuracy - 0.005


@pytest.mark.parametrize(
    ("formats", "quantize", "message"),
    [
        (["onnx"], ["int8"], "quantize='int8' needs calibration images"),
        (["onnx"], ["none", "float16"], "The quantization float16 is for tflite. Received: "),
        (["saved_model"], ["int8"], "int8 is for tflite and onnx. .* or add tflite"),
        (["tflite", "onnx"], ["float16"], "onnx needs at least one of the quantizations none, int"),
        (["onnx"], ["int7"], "Unknown quantization 'int7'. Did you mean int8"),
    ],
)
def test_quantizations_that_no_format_has(model, formats, quantize, message, tmp_path):
    with pytest.raises(UserError, match=message):
        export.export_model(model, tmp_path / "out", formats=formats, quantize=quantize, **DIGITS)
    assert not list(tmp_path.iterdir())


# OpenVINO.


@pytest.fixture
def openvino(monkeypatch):
    """Puts a function in the place of OpenVINO, which loads a file."""

    def replace(load):
        module = types.ModuleType("openvino")
        module.__spec__ = importlib.machinery.ModuleSpec("openvino", None)
        monkeypatch.setitem(sys.modules, "openvino", module)
        loader = lambda library, path, threads: load(path)  # noqa: E731
        monkeypatch.setitem(runtime_process.LOADERS, "OpenVINO", loader)

    return replace


def export_onnx(model, folder):
    return export.export_model(model, folder, formats=["onnx"], **DIGITS)["exports"]["model.onnx"]


def test_openvino_is_checked_if_it_is_installed(model, openvino, tmp_path):
    openvino(runtime)
    exported = export_onnx(model, tmp_path / "out")
    assert exported["openvino"]["agreement"] == exported["agreement"]
    assert exported["openvino"]["latency"]["threads"] == verify.processors()

    # The benchmark takes the figures of the runtime that it measures.
    path = tmp_path / "out" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["exports"]["model.onnx"]["openvino"]["agreement"]["same_prediction"] = 0.75
    path.write_text(json.dumps(manifest))
    same = [
        measuring.agreement_of(measuring.Form(tmp_path / "out" / "model.onnx", name))[
            "same_prediction"
        ]
        for name in ("ONNX Runtime", "OpenVINO")
    ]
    assert same == [1.0, 0.75]


def test_a_file_that_openvino_answers_otherwise_is_refused(model, openvino, tmp_path):
    openvino(lambda path: lambda images: np.roll(runtime(path)(images), 1, axis=1))
    with pytest.raises(VerificationError, match="model.onnx in OpenVINO disagrees with lenet5"):
        export_onnx(model, tmp_path / "out")

    def fail(path):
        raise RuntimeError("Exception from src/core.cpp:\nno such operation")

    openvino(fail)
    with pytest.raises(VerificationError, match="model.onnx in OpenVINO cannot be run: .*") as said:
        export_onnx(model, tmp_path / "out")
    assert len(str(said.value).splitlines()) == 1
    assert not list(tmp_path.iterdir())
