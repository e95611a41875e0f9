"""ONNX files in ONNX Runtime."""

import sys
from collections import Counter
from math import prod

import keras
import numpy as np
import onnx as library
import onnxruntime
import pytest
from keras import layers

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.export.fold import fold_batch_norm
from keras_classics.export.onnx import OPSET, onnx, runtime
from keras_classics.models import find_model
from keras_classics.models import layers as own
from keras_classics.models.builder import scores_and_probabilities
from tests.helpers.networks import assert_near, every_network, images, network

# Rounding along a hundred layers takes a third of it.
TOLERANCE = 1e-4


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def session_of(path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def assert_same_outputs(path, model: keras.Model, *batches: np.ndarray) -> None:
    """Writes a model, and compares its outputs in ONNX Runtime with Keras's."""
    onnx(model, path)
    session = session_of(path)
    for x in batches:
        got = session.run(model.output_names, {"image": x})
        for one, expected in zip(got, keras.tree.flatten(model(x)), strict=True):
            assert one.shape == expected.shape
            assert_near(one, expected, TOLERANCE)


@pytest.mark.parametrize("name", every_network())
def test_every_network(name, path):
    model = scores_and_probabilities(network(name))
    assert_same_outputs(path, model, images(model, 1), images(model, 3))


def test_inputs_and_outputs_of_a_file(path):
    model = network("vgg16_bn")
    onnx(model, path)
    proto = library.load(path)
    assert [(o.domain, o.version) for o in proto.opset_import] == [("", OPSET)]
    assert proto.ir_version == 8
    assert proto.graph.name == "vgg16_bn"
    (source,), (target,) = session_of(path).get_inputs(), session_of(path).get_outputs()
    assert (source.name, source.type) == ("image", "tensor(float)")
    assert source.shape == ["batch", *model.input_shape[1:]]
    assert (target.name, target.type) == ("probabilities", "tensor(float)")
    assert target.shape == ["batch", 7]


def test_every_weight_is_stored_once_and_maps_are_not_turned(path):
    model = network("vgg16_bn")
    onnx(model, path)
    graph = library.load(path).graph
    assert sum(prod(tensor.dims) for tensor in graph.initializer) == model.count_params()
    kinds = Counter(node.op_type for node in graph.node)
    assert kinds["Transpose"] == 1
    assert kinds["Conv"] == kinds["BatchNormalization"] == 13
    assert path.stat().st_size < 4 * model.count_params() + 20_000


@pytest.mark.parametrize("opset", [13, 15, 18, 21])
@pytest.mark.parametrize("name", ["lenet5_1998", "resnet20", "vgg11_lrn"])
def test_other_versions_of_the_operators(name, opset, path):
    model = network(name)
    onnx(model, path, opset=opset)
    assert library.load(path).opset_import[0].version == opset
    x = images(model, 2)
    assert_near(runtime(path)(x), model(x), TOLERANCE)


# Together they have every layer that a network without top has.
@pytest.mark.parametrize(
    "name", ["lenet5", "lenet5_1998", "alexnet", "vgg11_lrn", "vgg16_first_bn", "resnet20"]
)
def test_images_of_any_size(name, path):
    channels = find_model(name).input_shape[-1]
    model = network(name, include_top=False, input_shape=(None, None, channels))
    assert_same_outputs(path, model, images(model, 2, 71, 96), images(model, 1, 80, 67))
    (target,) = session_of(path).get_outputs()
    name = model.layers[-1].name
    assert target.name == name
    assert target.shape == ["batch", f"{name}_height", f"{name}_width", model.output_shape[-1]]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("resnet20", {"input_shape": (None, None, 3)}),
        ("resnet18", {"version": "v2", "shortcut": "A"}),
        pytest.param("resnet18", {"shortcut": "C"}, marks=pytest.mark.slow),
        ("resnet50", {"version": "v1.5", "shortcut": "A"}),
        pytest.param("resnet50", {"version": "v2_keras"}, marks=pytest.mark.slow),
        ("plain20", {"version": "v2"}),
        ("vgg11", {"batch_norm": ("block1_conv1", "block4_conv2"), "input_shape": (64, 33, 1)}),
        ("lenet5_1998", {"classifier_activation": None}),
        ("lenet5", {"classifier_activation": "sigmoid"}),
        ("vgg13", {"include_top": False, "pooling": "avg"}),
        ("alexnet_owt", {"include_top": False, "pooling": "max"}),
    ],
)
def test_variants(name, arguments, path):
    model = network(name, **arguments)
    assert_same_outputs(path, model, images(model, 2))


def flat(*steps: layers.Layer):
    """Layers after a flattened map."""

    def build(x):
        x = layers.Flatten()(x)
        for step in steps:
            x = step(x)
        return x

    return build


def windows() -> dict:
    """Layers with "same" padding: even, odd and none, equal or different on the two axes."""
    sizes = [(1, 2), (2, 1), (2, 3), (3, 2), (4, 3), (5, 2), ((3, 2), (1, 2))]
    return {
        f"{kind} {size} {strides}": build(size, strides)
        for size, strides in sizes
        for kind, build in {
            "conv": lambda size, strides: layers.Conv2D(3, size, strides, padding="same"),
            "max": lambda size, strides: layers.MaxPooling2D(size, strides, padding="same"),
            "mean": lambda size, strides: layers.AveragePooling2D(size, strides, padding="same"),
        }.items()
    }


LRN = {"n": 3, "k": 1, "alpha": 1e-4, "beta": 0.6}
CASES = {
    **windows(),
    "dilated": layers.Conv2D(3, 3, padding="same", dilation_rate=(2, 1), activation="tanh"),
    "towers": own.TowerConv2D(6, 3, 2, padding="valid", activation=own.scaled_tanh),
    "table": own.TableConv2D([[1, 0, 1]] * 2 + [[0, 1, 1]] * 2, 3, activation="relu"),
    "subsampling": own.TrainableSubsampling(coefficient_initializer="normal"),
    "padded": layers.ZeroPadding2D(((1, 2), (0, 3))),
    "lrn": own.LocalResponseNormalization(**LRN),
    "lrn over n": own.LocalResponseNormalization(**LRN, divide_alpha_by_n=True),
    "shortcut": own.IdentityShortcut(7, 3),
    "wider shortcut": own.IdentityShortcut(7, 1),
    "strided shortcut": own.IdentityShortcut(4, 2),
    "adaptive": own.AdaptiveAveragePooling2D((3, 12)),
    "adaptive width": own.AdaptiveAveragePooling2D((9, 5)),
    "normalization": layers.BatchNormalization(scale=False, center=False),
    "mean of all": layers.GlobalAveragePooling2D(keepdims=True),
    "greatest of all": layers.GlobalMaxPooling2D(),
    "softmax of maps": layers.Activation("softmax"),
    "sum": lambda x: layers.Add()([x, x, layers.Activation("relu")(x)]),
    "flat": flat(),
    "flat, activated": flat(layers.Activation("relu")),
    "flat, normalized": flat(layers.BatchNormalization(moving_mean_initializer="normal")),
    "flat, dense": flat(layers.Dropout(0.5), layers.Dense(5), layers.Flatten(), layers.Dense(2)),
    "flat, summed": lambda x: layers.Add()([layers.Flatten()(x), layers.Flatten()(x)]),
    "flat, dense twice": lambda x: layers.Add()([layers.Dense(2)(flat()(x)) for _ in range(2)]),
    "flat, distances": flat(own.EuclideanRBF(np.eye(3, 9 * 10 * 4))),
}


@pytest.mark.parametrize("case", CASES)
def test_one_layer(case, path):
    image = keras.Input((9, 10, 4), name="image")
    model = keras.Model(image, CASES[case](image))
    # Small enough not to saturate, for LRN large enough to be normalised.
    scale = 128 if "lrn" in case else 1
    assert_same_outputs(path, model, images(model, 3) * scale / 128)


def test_a_strided_window_on_images_of_any_size(path):
    image = keras.Input((None, None, 3), name="image")
    model = keras.Model(image, layers.Conv2D(4, 5, 2, padding="same")(image))
    assert_same_outputs(path, model, images(model, 1, 8, 9), images(model, 2, 7, 10))


def test_after_folding(path):
    model = network("resnet20", version="v2")
    onnx(fold_batch_norm(model), path)
    kinds = Counter(node.op_type for node in library.load(path).graph.node)
    assert kinds["BatchNormalization"] == 9
    x = images(model, 2)
    assert_near(runtime(path)(x), model(x), TOLERANCE)


def test_mixed_precision_is_written_in_float32(path):
    model = network("resnet20")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = network("resnet20")
    finally:
        keras.config.set_dtype_policy(before)
    mixed.set_weights(model.get_weights())
    onnx(mixed, path)
    x = images(model, 2)
    assert_near(runtime(path)(x), model(x), TOLERANCE)


class Halved(layers.Conv2D):
    """A subclass of a supported layer that computes something else."""

    def call(self, inputs):
        return super().call(inputs) / 2


def test_unsupported_layers_and_arguments(path, tmp_path):
    image = keras.Input((9, 10, 4), name="image")
    refused = {
        "Received: odd, a Halved": Halved(2, 3, name="odd"),
        "Received: odd, a UpSampling2D": layers.UpSampling2D(name="odd"),
        "Received: gelu, of odd": layers.Conv2D(2, 3, activation="gelu", name="odd"),
    }
    for message, layer in refused.items():
        with pytest.raises(UserError, match=message):
            onnx(keras.Model(image, layer(image)), path)
    model = kc.lenet5()
    for opset in (12, 99):
        with pytest.raises(UserError, match=f"opset must be from 13 to .*Received: {opset}"):
            onnx(model, path, opset=opset)
    assert not list(tmp_path.iterdir())
    path.write_text("mine")
    with pytest.raises(UserError, match="already exists"):
        onnx(model, path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("module", "call"), [("onnx", lambda path: onnx(kc.lenet5(), path)), ("onnxruntime", runtime)]
)
def test_without_the_extra(module, call, path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=r"pip install 'keras-classics\[export\]'"):
        call(path)


FULL_SIZE = """
import sys, time
from pathlib import Path
import numpy as np
import keras_classics as kc
from keras_classics.export.onnx import onnx, runtime

name, path = sys.argv[1:]
model = kc.get_model(name)
start = time.monotonic()
onnx(model, path)
seconds = time.monotonic() - start
status = Path("/proc/self/status").read_text()
(peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
images = np.random.default_rng(0).normal(0, 50, (1, *model.input_shape[1:])).astype("float32")
difference = np.abs(runtime(path)(images) - np.asarray(model(images))).max()
print(seconds, int(peak) / 2**20, difference)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg16", "resnet152"])
def test_full_size_in_little_time_and_memory(name, path, run_python):
    done = run_python("-c", FULL_SIZE, name, str(path))
    assert done.returncode == 0, done.stderr
    seconds, gibibytes, difference = map(float, done.stdout.split()[-3:])
    assert seconds < 60
    assert gibibytes < 6
    assert difference < TOLERANCE
