"""Files of weights are named: the network, its arguments, and what the file leaves open."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.weights.formats import checkpoints
from keras_classics.weights.formats.state_dicts import Entry, flattened
from keras_classics.weights.metadata import ENTRY, metadata_of
from keras_classics.weights.records import OWN
from keras_classics.weights.stored import in_memory
from tests.helpers import caffe_files, sparse_files, strangers
from tests.helpers.checkpoint_forms import FORMS
from tests.helpers.weight_files import write

# Networks and arguments, and what is found where the file does not say it.
Case = tuple[str, dict, Callable[[Path, keras.Model], Path]]

SMALL = {"input_shape": (32, 32, 3)}


def in_safetensors(path: Path, model: keras.Model) -> Path:
    return sparse_files.safetensors(path / "file.safetensors", sparse_files.of_torch(model))


def in_bfloat16(path: Path, model: keras.Model) -> Path:
    shapes = sparse_files.of_torch(model)
    return sparse_files.safetensors(path / "file.safetensors", shapes, "BF16")


def with_metadata(path: Path, model: keras.Model) -> Path:
    metadata = {ENTRY: metadata_of(model).to_text()}
    shapes = sparse_files.of_torch(model)
    return sparse_files.safetensors(path / "file.safetensors", shapes, "F32", metadata)


def wrapped(path: Path, model: keras.Model) -> Path:
    shapes = {f"module.backbone.{n}": s for n, s in sparse_files.of_torch(model).items()}
    shapes |= {"module.head.queue": (128, 100)}
    return sparse_files.safetensors(path / "file.safetensors", shapes, "F16")


def with_projector(path: Path, model: keras.Model) -> Path:
    """A trunk with the head of self-supervised training."""
    shapes = sparse_files.of_torch(model) | strangers.dense("fc.0", 2048, 2048)
    shapes |= strangers.dense("fc.2", 128, 2048)
    shapes = {f"module.encoder_q.{name}": shape for name, shape in shapes.items()}
    return sparse_files.safetensors(path / "file.safetensors", shapes)


def in_timm(path: Path, model: keras.Model) -> Path:
    """timm's VGG, whose dense layers are convolutions."""
    shapes = sparse_files.of_torch(model)
    for ours, theirs in (("0", "pre_logits.fc1"), ("3", "pre_logits.fc2"), ("6", "head.fc")):
        units, inputs = shapes.pop(f"classifier.{ours}.weight")
        side = 7 if inputs % 49 == 0 and ours == "0" else 1
        kernel = (units, inputs // side**2, side, side) if ours != "6" else (units, inputs)
        shapes[f"{theirs}.weight"] = kernel
        shapes[f"{theirs}.bias"] = shapes.pop(f"classifier.{ours}.bias")
    return sparse_files.safetensors(path / "file.safetensors", shapes)


def in_keras_3(path: Path, model: keras.Model) -> Path:
    return sparse_files.numbered(path / "file.weights.h5", model)


def in_keras_3_with_metadata(path: Path, model: keras.Model) -> Path:
    return sparse_files.numbered(path / "file.weights.h5", model, metadata=True)


def in_keras_2(path: Path, model: keras.Model) -> Path:
    return sparse_files.named(path / "file.h5", sparse_files.of_keras(model))


def in_keras_applications(path: Path, model: keras.Model) -> Path:
    shapes = sparse_files.of_keras(model)
    biased = {}
    for name, shape in shapes.items():
        biased[name] = shape
        if name.endswith("_conv/kernel"):
            biased[name.replace("kernel", "bias")] = shape[-1:]
    return sparse_files.named(path / "file.h5", biased)


def saved(path: Path, model: keras.Model) -> Path:
    return write(model, path / "file.keras")


def inside(path: Path, model: keras.Model) -> Path:
    """A backbone in a saved network."""
    image = keras.Input((32, 32, 3))
    x = keras.layers.GlobalAveragePooling2D()(model(image))
    whole = keras.Model(image, keras.layers.Dense(5, name="own")(x))
    whole.save(path / "file.keras")
    return path / "file.keras"


def checkpoint(path: Path, model: keras.Model) -> Path:
    import tensorflow as tf

    return Path(f"{tf.train.Checkpoint(model=model).write(str(path / 'ckpt-1'))}.index")


# Quick cases, of small networks. Their arguments are those that are found, too.
QUICK: list[Case] = [
    ("resnet20", {}, with_metadata),
    ("plain20", {}, in_keras_3_with_metadata),
    ("resnet20", {"shortcut": "B", "classes": 7}, in_bfloat16),
    ("resnet20", {"include_top": False}, inside),
    ("lenet5", {"input_shape": (28, 28, 1)}, in_keras_3),
    ("lenet5_1998", {}, saved),
    ("cuda_convnet", {"hidden": (64,)}, in_keras_2),
    ("vgg16_mini", {"batch_norm": "first", "classes": 3}, in_keras_3_with_metadata),
    ("vgg16_mini", {"filters": (8, 8, 16, 32, 64), "hidden": (16,)}, wrapped),
]

# Networks of full size: only names and shapes are written.
FULL: list[Case] = [
    ("resnet20", {"version": "v2", "include_top": False}, in_keras_2),
    ("resnet18", {}, in_safetensors),
    ("resnet18", {"include_top": False}, wrapped),
    ("resnet34", {"classes": 365}, in_keras_3),
    ("resnet34", {"shortcut": "C"}, in_keras_2),
    ("plain34", {}, in_keras_3_with_metadata),
    ("resnet50", {"version": "v1.5"}, in_safetensors),
    ("resnet50", {"version": "v1.5", "input_shape": (224, 224, 12)}, in_safetensors),
    ("resnet50", {}, in_keras_applications),
    ("resnet50", {"version": "v2_keras"}, in_keras_2),
    ("resnet50", {"version": "v2"}, in_keras_3),
    ("resnet50", {"version": "v1.5"}, with_metadata),
    ("resnet50", {"version": "v1_caffe"}, in_keras_3_with_metadata),
    ("resnet50", {"shortcut": "A"}, in_keras_3_with_metadata),
    ("resnet101", {"version": "v1.5", "classes": 21}, wrapped),
    ("resnet50", {"include_top": False, "version": "v1.5"}, with_projector),
    ("resnet152", {"version": "v2_keras", "include_top": False}, in_keras_2),
    ("resnet56", {"bottleneck": True, "shortcut": "B"}, in_safetensors),
    ("resnet110", {"version": "v2"}, in_keras_2),
    ("resnet164", {}, in_keras_2),
    ("alexnet", {"lrn": "code"}, in_keras_3_with_metadata),
    ("caffenet", {}, in_keras_3_with_metadata),
    ("alexnet_owt", {"classes": 10}, in_safetensors),
    ("alexnet_slim", {}, in_keras_2),
    ("alexnet_single_tower", {}, in_keras_3),
    ("vgg9", {}, in_safetensors),
    ("vgg11", {}, in_timm),
    ("vgg11_lrn", {}, in_keras_3_with_metadata),
    ("vgg13", {"input_shape": (64, 64, 3)}, in_safetensors),
    ("vgg13_bn", {}, in_safetensors),
    ("vgg16", {"include_top": False}, in_keras_2),
    ("vgg16", {}, in_bfloat16),
    ("vgg16_c", {"classes": 2}, in_keras_3),
    ("vgg16_first_bn", {}, in_keras_2),
    ("vgg19", {}, in_keras_2),
    ("vgg19_bn", {"include_top": False}, wrapped),
]
IDS = [f"{name}-{number}" for number, (name, _, _) in enumerate([*QUICK, *FULL])]


@pytest.mark.parametrize(
    ("name", "arguments", "written"),
    [*QUICK, *(pytest.param(*case, marks=pytest.mark.slow) for case in FULL)],
    ids=IDS,
)
def test_a_file_is_named(name, arguments, written, tmp_path):
    model = zeros(name, arguments)
    found = kc.identify(written(tmp_path, model))
    assert (found.network, dict(found.arguments)) == (name, arguments)


def zeros(name: str, arguments: dict) -> keras.Model:
    cheap = {} if name.startswith("lenet") else {"kernel_initializer": "zeros"}
    return kc.get_model(name, **arguments, **cheap)


def test_what_is_found_loads_the_file(tmp_path):
    model = kc.vgg16_mini(batch_norm="all", classes=4)
    path = write(model, tmp_path / "file.weights.h5")
    found = kc.identify(path)
    again = kc.get_model(found.network, weights=path, **found.arguments)
    for was, now in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


@pytest.fixture(scope="module")
def states() -> tuple[dict, dict]:
    """The tensors of a network, and a second set, as a training program has them."""
    model = kc.resnet20(shortcut="B", kernel_initializer="zeros")
    shapes = sparse_files.of_torch(model)
    return tuple(
        {
            name: np.full(shape, value, "float32")
            for name, shape in {**shapes, "bn1.num_batches_tracked": ()}.items()
        }
        for value in (0, 1)
    )


def entry(name: str, value, home: str) -> Entry:
    if isinstance(value, np.ndarray):
        return Entry(value.shape, home, lambda: in_memory({name: value})[name])
    return Entry(None, home, lambda: None)


QUICK_FORMS = ("teacher and student", "transformers")


@pytest.mark.parametrize(
    "form", [f if f in QUICK_FORMS else pytest.param(f, marks=pytest.mark.slow) for f in FORMS]
)
def test_a_wrapped_network_is_named(form, states, tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pth.tar"
    path.write_bytes(b"PK\3\4")

    @contextlib.contextmanager
    def entries(path, model):
        content = FORMS[form](*states)
        yield {name: entry(name, value, home) for name, home, value in flattened(content)}

    monkeypatch.setattr(checkpoints, "entries_of", entries)
    found = kc.identify(path)
    assert found.network == "resnet20"
    assert dict(found.arguments) in ({"shortcut": "B"}, {"shortcut": "B", "include_top": False})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layers", "network", "arguments"),
    [
        (caffe_files.alexnet(), "alexnet", {"lrn": "caffe"}),
        (caffe_files.alexnet(pool_first=True, classes=20), "caffenet", {"classes": 20}),
        (
            caffe_files.vgg(filters=(4, 8, 8, 16, 16), hidden=32),
            "vgg16",
            {"filters": (4, 8, 8, 16, 16), "hidden": (32, 32)},
        ),
        (caffe_files.resnet(), "resnet50", {"version": "v1_caffe"}),
    ],
    ids=["alexnet", "caffenet", "vgg16", "resnet50"],
)
def test_a_file_of_caffe_is_named(layers, network, arguments, tmp_path):
    found = kc.identify(caffe_files.write(tmp_path / "net.caffemodel", layers))
    assert (found.network, dict(found.arguments)) == (network, arguments)
    assert found.library == "Caffe"


def test_shapes_leave_open_what_only_metadata_say(tmp_path):
    model = kc.resnet20(kernel_initializer="zeros")
    found = kc.identify(in_safetensors(tmp_path, model))
    assert found.also == ("plain20",)
    assert found.open["shortcut"] == ["A", "none"]
    assert {"epsilon", "channels", "scale"} < set(found.open)
    found = kc.identify(with_metadata(tmp_path, model))
    assert found.also == ()
    assert set(found.open) == {"channels", "scale"}


def test_known_weights_are_found_by_their_hash():
    found = kc.identify(OWN / "resnet20_fashion_mnist.weights.h5")
    assert (found.record, found.open) == ("resnet20/fashion_mnist", {})
    assert found.preprocessing["kind"] == "canvas"
    assert found.class_names[-1] == "Ankle boot"


# Those of which it takes seconds to say in which tensor they differ.
SLOW = ("another VGG", "a wide VGG")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in strangers.STRANGERS],
)
def test_a_stranger_is_refused_by_name(name, tmp_path):
    shapes, what = strangers.STRANGERS[name]
    path = sparse_files.safetensors(tmp_path / "file.safetensors", shapes)
    with pytest.raises(UserError, match=what) as refusal:
        kc.identify(path)
    message = str(refusal.value)
    assert message.startswith(f"{path} is none of the networks here")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"nothing", "neither its content nor its ending"), (b"\x1f\x8bx", "compressed by gzip")],
)
def test_other_files_are_refused(content, message, tmp_path):
    path = tmp_path / "file.txt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        kc.identify(path)
    with pytest.raises(UserError, match="takes an existing file"):
        kc.identify(tmp_path / "missing.pth")


@pytest.mark.parametrize("filters", [0, 1, 1 << 30])
def test_impossible_sizes_are_refused(filters, tmp_path):
    shapes = strangers.conv("features.0", filters, 3, 3) | strangers.dense("classifier.0", 0, 5)
    path = sparse_files.safetensors(tmp_path / "file.safetensors", shapes)
    with pytest.raises(UserError, match="is none of the networks here"):
        kc.identify(path)


def test_no_values_are_read(tmp_path):
    # 550 GB of holes.
    shapes = {**strangers.resnet((2, 2, 2, 2), False), "fc.weight": (1_000_000_000, 137)}
    path = sparse_files.safetensors(tmp_path / "file.safetensors", shapes)
    with pytest.raises(UserError, match="nearest to resnet18, but its last layers differ"):
        kc.identify(path)
