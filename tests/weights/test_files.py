"""Files of weights: every tensor is loaded exactly once, or the model does not change."""

import pickle
import shutil
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.models.conversion import convert_weights
from keras_classics.weights import load_weights
from keras_classics.weights.assign import extract, named_slots
from keras_classics.weights.formats import torchvision
from keras_classics.weights.metadata import metadata_of
from tests.helpers.golden import fill
from tests.helpers.weight_files import assert_refused, write, write_named

ENDINGS = (".weights.h5", ".keras", ".h5", ".safetensors")

# By the ending: a tensor of a convolution, as the file names it, and how a message does.
TENSORS = {
    ".weights.h5": ("layers/conv2d_5/vars/0", "conv2_block3_1_conv/kernel"),
    ".keras": ("layers/conv2d_5/vars/0", "conv2_block3_1_conv/kernel"),
    ".h5": (
        "conv2_block3_1_conv/conv2_block3_1_conv/kernel:0",
        "conv2_block3_1_conv/kernel",
    ),
    ".safetensors": ("layer1.2.conv1.weight", "layer1.2.conv1.weight"),
}


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return kc.resnet20(name="target")


@pytest.fixture(scope="module")
def source() -> keras.Model:
    source = kc.resnet20()
    fill(source)
    return source


@pytest.fixture(scope="module")
def written_files(source, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("written")
    return {ending: write(source, folder / f"a{ending}") for ending in ENDINGS}


@pytest.fixture(params=ENDINGS)
def file(request, written_files, tmp_path) -> Path:
    return Path(shutil.copy(written_files[request.param], tmp_path))


def ending_of(path: Path) -> str:
    return next(ending for ending in ENDINGS if path.name.endswith(ending))


def edit(path: Path, change) -> str:
    """Changes the tensors of a file with `change(tensors, name)`; returns the name in messages."""
    name, shown = TENSORS[ending_of(path)]
    if path.suffix == ".safetensors":
        tensors = load_file(path)
        change(tensors, name)
        save_file(tensors, path)
    elif path.suffix == ".keras":
        inner = path.with_name("model.weights.h5")
        with zipfile.ZipFile(path) as archive:
            contents = {n: archive.read(n) for n in archive.namelist()}
        inner.write_bytes(contents["model.weights.h5"])
        with h5py.File(inner, "r+") as tensors:
            change(tensors, name)
        contents["model.weights.h5"] = inner.read_bytes()
        with zipfile.ZipFile(path, "w") as archive:
            for member, content in contents.items():
                archive.writestr(member, content)
    else:
        with h5py.File(path, "r+") as tensors:
            change(_Named(tensors) if ending_of(path) == ".h5" else tensors, name)
    return shown


class _Named:
    """Tensors of a file with lists of its weights' names; updates the lists too."""

    def __init__(self, file: h5py.File):
        self.file = file

    def __getitem__(self, name):
        return self.file[name]

    def __delitem__(self, name):
        del self.file[name]
        self._list(name, lambda names, weight: [n for n in names if n != weight])

    def __setitem__(self, name, array):
        self.file[name] = array
        self._list(name, lambda names, weight: [*names, weight])

    def _list(self, name, change):
        layer, weight = name.split("/", 1)
        attributes = self.file[layer].attrs
        names = [
            str(name, "utf-8") if isinstance(name, bytes) else name
            for name in attributes["weight_names"]
        ]
        attributes["weight_names"] = [name.encode() for name in change(names, weight)]


def test_all_weights_are_loaded(model, source, file):
    fill(model)
    for variable in model.weights:
        variable.assign(0 * variable)
    load_weights(model, file)
    for found, expected in zip(model.weights, source.weights, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_missing_tensor(model, file):
    def remove(tensors, name):
        del tensors[name]

    shown = edit(file, remove)
    assert_refused(model, file, f"it lacks the tensor '{shown}'|truncated or damaged")


def test_an_extra_tensor(model, file):
    def add(tensors, name):
        other = name.replace("conv2d_5", "conv2d_99").replace("kernel", "gamma")
        tensors[other.replace("weight", "width")] = np.zeros(3, "float32")

    edit(file, add)
    extra = "layers/conv2d_99/vars/0|conv2_block3_1_conv/gamma|layer1.2.conv1.width"
    assert_refused(model, file, f"the network has no tensor '({extra})'")


def test_a_tensor_of_another_shape(model, file):
    def reshape(tensors, name):
        array = np.array(tensors[name])[..., :2]
        del tensors[name]
        tensors[name] = np.ascontiguousarray(array)

    shown = edit(file, reshape)
    assert_refused(model, file, rf"its tensor '{shown}' has the shape \(\d+, \d+, \d+, \d+\), but")


def test_a_renamed_tensor(model, file):
    def rename(tensors, name):
        array = np.array(tensors[name])
        del tensors[name]
        tensors[name.replace("kernel", "colonel").replace("/0", "/7").replace("weight", "wait")] = (
            array
        )

    shown = edit(file, rename)
    assert_refused(model, file, f"it lacks the tensor '{shown}', and the network has no '.*'")


def test_a_tensor_of_integers(model, file):
    def replace(tensors, name):
        array = np.array(tensors[name]).astype("int32")
        del tensors[name]
        tensors[name] = array

    shown = edit(file, replace)
    assert_refused(model, file, f"its tensor '{shown}' is of type int32")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ending=st.sampled_from(ENDINGS), share=st.floats(0, 1, exclude_max=True))
def test_a_truncated_file(model, written_files, tmp_path, ending, share):
    content = written_files[ending].read_bytes()
    path = tmp_path / f"short{ending}"
    path.write_bytes(content[: int(share * len(content))])
    assert_refused(model, path, "not an intact|truncated or damaged")


@pytest.mark.parametrize("content", ["text", "pickle", "nothing"])
def test_another_kind_of_file(model, file, content, tmp_path):
    class Harm:
        def __reduce__(self):
            return (open, (str(tmp_path / "was_run"), "w"))

    contents = {"text": b"weights, or so it says\n", "pickle": pickle.dumps(Harm()), "nothing": b""}
    file.write_bytes(contents[content])
    assert_refused(model, file, "a plain pickle" if content == "pickle" else "not an intact")
    assert not (tmp_path / "was_run").exists()


def test_an_archive_with_a_path_out_of_it(model, written_files, tmp_path):
    path = Path(shutil.copy(written_files[".keras"], tmp_path))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../outside", "")
    assert_refused(model, path, r"leads out of it, '\.\./outside'")
    assert not (tmp_path.parent / "outside").exists()


def test_hdf5_without_weights(model, tmp_path):
    h5py.File(tmp_path / "a.h5", "w").close()
    assert_refused(model, tmp_path / "a.h5", "without Keras weights")


def test_neither_a_file_nor_a_name(tmp_path):
    with pytest.raises(UserError, match=r"lenet5 has no weights 'imagenet'. Use digits, or fash"):
        kc.lenet5(weights="imagenet")
    with pytest.raises(
        UserError, match=r"vgg9 has no weights 'x'. Use hf://.*, or a file that ends"
    ):
        kc.vgg9(weights="x")
    with pytest.raises(UserError, match="must name an existing file"):
        kc.lenet5(weights=str(tmp_path / "none.weights.h5"))
    (tmp_path / "weights.npz").write_bytes(b"")
    with pytest.raises(UserError, match=r"a file that ends in \.weights\.h5, \.keras"):
        kc.lenet5(weights=tmp_path / "weights.npz")


def test_a_file_of_torch_without_torch(model, monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    (tmp_path / "a.pth").write_bytes(b"")
    assert_refused(model, tmp_path / "a.pth", r"pip install 'keras-classics\[torch\]'")


def test_another_number_of_classes_keeps_the_last_layer_initial(file, source, caplog):
    model = kc.resnet20(classes=3)
    before = [np.array(v) for v in model.get_layer("predictions").weights]
    load_weights(model, file)
    after = model.get_layer("predictions").weights
    for was, now in zip(before, after, strict=True):
        np.testing.assert_array_equal(was, now)
    backbone = [v for v in model.weights if "predictions" not in v.path]
    for found, expected in zip(backbone, source.weights, strict=False):
        np.testing.assert_array_equal(found, expected)
    assert "the model has 3 classes and the file 10" in caplog.text
    with pytest.raises(UserError, match="has the shape"):
        load_weights(model, file, strict=True)


def test_a_last_layer_of_two_numbers_of_classes_is_damaged(model, written_files, tmp_path):
    path = Path(shutil.copy(written_files[".safetensors"], tmp_path))
    tensors = load_file(path)
    save_file({**tensors, "fc.bias": tensors["fc.bias"][1:]}, path)
    assert_refused(model, path, r"'fc.bias' has the shape \(9,\)")


def test_without_top_its_weights_are_not_loaded(file, source, caplog):
    model = kc.resnet20(include_top=False, weights=file, input_shape=(48, 40, 3))
    for found, expected in zip(model.weights, source.weights, strict=False):
        np.testing.assert_array_equal(found, expected)
    assert "the top's 2 tensors are not loaded" in caplog.text


@pytest.mark.parametrize("name", ["vgg11", "alexnet_owt"])
def test_dense_layers_at_other_sizes(name, tmp_path):
    narrow = {"filters": (2, 3, 4, 5, 5), "hidden": (6, 7)} if name == "vgg11" else {}
    path = tmp_path / "a.safetensors"
    model = kc.get_model(name, input_shape=(64, 64, 3), **narrow)
    torchvision.write(model, path)
    features = kc.get_model(
        name, include_top=False, weights=path, input_shape=(96, 80, 3), **narrow
    )
    np.testing.assert_array_equal(features.weights[0], model.weights[0])
    if name == "vgg11":
        with pytest.raises(UserError, match=r"classifier.0.weight' has the shape \(6, 20\)"):
            kc.get_model(name, weights=path, input_shape=(96, 96, 3), **narrow)


@pytest.fixture(scope="module")
def keras_resnet50() -> keras.Model:
    network = keras.applications.ResNet50(weights=None, input_shape=(33, 47, 3), classes=5)
    fill(network)
    return network


@pytest.mark.parametrize(
    "form", [pytest.param("save_weights", marks=pytest.mark.slow), "published", "save"]
)
def test_keras_applications_in_all_its_files(keras_resnet50, form, tmp_path):
    path = tmp_path / ("a.weights.h5" if form == "save_weights" else "a.h5")
    if form == "save_weights":
        keras_resnet50.save_weights(path)
    elif form == "save":
        keras_resnet50.save(path)
    else:
        tensors = {
            f"{layer.name.replace('predictions', 'probs')}/{variable.name}": np.array(variable)
            for layer in keras_resnet50.layers
            for variable in layer.weights
        }
        write_named(tensors, path)
    model = kc.resnet50(weights=path, input_shape=(33, 47, 3), classes=5)
    images = np.random.default_rng(0).normal(size=(2, 33, 47, 3)).astype("float32")
    np.testing.assert_allclose(model(images), keras_resnet50(images), atol=1e-5)


def test_keras_applications_with_a_bias_missing(keras_resnet50, tmp_path):
    path = tmp_path / "a.weights.h5"
    keras_resnet50.save_weights(path)
    with h5py.File(path, "r+") as file:
        del file["layers/conv2d_7/vars/1"]
    model = kc.resnet50(input_shape=(33, 47, 3), classes=5)
    assert_refused(model, path, "it lacks the tensor 'conv2_block2_3_conv/bias'")


def test_the_names_of_keras_applications_first_files(tmp_path):
    """VGG's variables are named block1_conv1_W_1 and block1_conv1_b_1."""
    narrow = {"filters": (2, 3, 4, 5, 5), "hidden": (6, 7), "input_shape": (32, 32, 3)}
    source = kc.vgg16(**narrow)
    path = tmp_path / "a.h5"
    tensors = extract(named_slots(source))
    write_named(tensors, path)
    with h5py.File(path, "r+") as file:
        for layer in {name.split("/")[0] for name in tensors}:
            group = file[layer]
            for old, new in (("kernel:0", "W_1:0"), ("bias:0", "b_1:0")):
                group[f"{layer}_{new}"] = group[f"{layer}/{old}"][()]
            group.attrs["weight_names"] = [f"{layer}_{n}".encode() for n in ("W_1:0", "b_1:0")]
            del group[layer]
    model = kc.vgg16(weights=path, **narrow)
    for found, expected in zip(model.weights, source.weights, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_file_of_resnet50v2_decides_the_version(tmp_path):
    network = keras.applications.ResNet50V2(weights=None, input_shape=(33, 47, 3), classes=5)
    fill(network)
    tensors = {
        f"{layer.name.replace('predictions', 'probs')}/{variable.name}": np.array(variable)
        for layer in network.layers
        for variable in layer.weights
    }
    write_named(tensors, tmp_path / "a.h5")
    model = kc.resnet50(weights=tmp_path / "a.h5", input_shape=(33, 47, 3), classes=5)
    images = np.random.default_rng(0).normal(size=(2, 33, 47, 3)).astype("float32")
    np.testing.assert_allclose(model(images), network(images), atol=1e-5)


def test_a_file_of_torch_decides_the_place_of_the_stride(tmp_path, caplog):
    path = tmp_path / "a.safetensors"
    torchvision.write(kc.resnet50(classes=2, input_shape=(32, 32, 3)), path)
    save_file(load_file(path), path)  # As torchvision writes it, without this package's entry.

    def stride(**arguments) -> tuple[int, int]:
        caplog.clear()
        model = kc.resnet50(weights=path, classes=2, input_shape=(32, 32, 3), **arguments)
        return tuple(model.get_layer(f"conv3_block1_{i}_conv").strides[0] for i in (1, 2))

    assert stride() == (1, 2)
    assert "a.safetensors does not say which version the weights of resnet50 need" in caplog.text
    assert "version='v1.5' is assumed" in caplog.text
    # The file does not say what it was trained as, so what is asked for counts.
    assert stride(version="v1") == (2, 1)
    assert not caplog.text


def test_converting_there_and_back_gives_the_same_bits(source, written_files, tmp_path):
    small = {"classes": 7, "input_shape": (32, 32, 3)}
    first = tmp_path / "first.safetensors"
    resnet18 = kc.resnet18(**small)
    torchvision.write(resnet18, first, metadata_of(resnet18, {}))
    convert_weights(first, "resnet18", tmp_path / "a.weights.h5", **small)
    back = tmp_path / "back.safetensors"
    convert_weights(tmp_path / "a.weights.h5", "resnet18", back, "torchvision", **small)
    assert first.read_bytes() == back.read_bytes()


def test_conversions_that_are_refused(written_files, tmp_path):
    target = tmp_path / "a.safetensors"
    with pytest.raises(UserError, match="torchvision has no resnet20"):
        convert_weights(written_files[".keras"], "resnet20", target, "torchvision")
    with pytest.raises(UserError, match=r"must end in \.weights\.h5"):
        convert_weights(written_files[".keras"], "resnet20", target)
    with pytest.raises(UserError, match="already exists"):
        convert_weights(
            written_files[".keras"], "resnet20", shutil.copy(written_files[".weights.h5"], tmp_path)
        )
    with pytest.raises(UserError, match="its tensor 'predictions/kernel' has the shape"):
        convert_weights(written_files[".keras"], "resnet20", tmp_path / "b.weights.h5", classes=3)
    assert not (tmp_path / "b.weights.h5").exists()
    with pytest.raises(UserError, match="corresponds to conv2_block1_preact_bn"):
        torchvision.slots(kc.resnet50(version="v2_keras", input_shape=(32, 32, 3), classes=2))
