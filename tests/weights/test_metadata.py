"""What files say beside their tensors: which network they are of, and that they are intact."""

import dataclasses
import inspect
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.models import find_model
from keras_classics.models.alexnet import ACTIVATIONS, LRN
from keras_classics.models.builder import CommonArguments
from keras_classics.models.conversion import convert_weights
from keras_classics.models.residual import SHORTCUTS
from keras_classics.models.resnet import VERSIONS
from keras_classics.models.unseen import UNSEEN
from keras_classics.weights import load_weights
from keras_classics.weights.assign import named_slots
from keras_classics.weights.computation import difference, of_model
from keras_classics.weights.formats import hdf5, torchvision
from keras_classics.weights.metadata import from_text, metadata_of
from tests.helpers.golden import fill
from tests.helpers.weight_files import assert_refused

# A network of each family, and two sets of arguments with which its tensors have the same shapes.
TWINS = {
    "resnet50": ({}, {"version": "v1.5"}),
    "resnet20": ({}, {"shortcut": "none"}),
    "vgg16_mini": ({"batch_norm": "all"}, {"batch_norm": "all", "batch_norm_after": "conv"}),
    "resnet18": ({"shortcut": "A"}, {"shortcut": "none"}),
    "cuda_convnet": ({}, {"overlapping": False, "activation": "tanh"}),
}
SMALL = {"resnet50": (32, 32, 3), "resnet18": (32, 32, 3)}


def built(name: str, **arguments) -> keras.Model:
    sides = {"input_shape": SMALL[name]} if name in SMALL else {}
    return kc.get_model(name, classes=3, **sides, **arguments)


def write(model: keras.Model, path: Path, arguments: dict | None) -> Path:
    """Writes weights with what the file says of them: as Keras saves a model, or as we do."""
    if path.suffix == ".keras":
        model.save(path)
    elif path.suffix == ".h5":
        hdf5.write(model, path, metadata_of(model, arguments))
    else:
        torchvision.write(model, path, metadata_of(model, arguments))
    return path


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        pytest.param("resnet50", ".weights.h5", marks=pytest.mark.slow),
        ("resnet20", ".weights.h5"),
        ("vgg16_mini", ".keras"),
        ("resnet18", ".safetensors"),
        ("cuda_convnet", ".keras"),
        ("cuda_convnet", ".weights.h5"),
    ],
)
def test_a_file_decides_what_its_shapes_do_not_show(name, ending, tmp_path, caplog):
    default, other = TWINS[name]
    trained = built(name, **other)
    fill(trained)
    path = write(trained, tmp_path / f"a{ending}", other)
    given = {k: v for k, v in other.items() if k not in UNSEEN}
    model = built(name, weights=path, **given)
    images = np.random.default_rng(0).uniform(-2, 2, (2, *trained.input_shape[1:]))
    np.testing.assert_array_equal(model(images), trained(images))
    assert not caplog.text
    # The same tensors do not load into the network's other form, by arguments or as a model.
    defaults = inspect.signature(find_model(name).builder).parameters
    unlike = {k: default.get(k, defaults[k].default) for k in other if k in UNSEEN}
    with pytest.raises(UserError, match="its layer .* has .*, but the network's has"):
        built(name, weights=path, **{**given, **unlike})
    assert_refused(built(name, **default), path, "Build the network with the arguments")


# By argument: its values. Those of these networks are all tried, except sizes, which shapes show.
VALUES = {
    "version": VERSIONS,
    "shortcut": SHORTCUTS,
    "bottleneck": (True, False),
    "zero_init_residual": (True, False),
    "batch_norm": (None, "all", "first"),
    "batch_norm_after": ("conv", "activation"),
    "stacked": (True, False),
    "lrn": (None, *LRN),
    "towers": (1, 2),
    "activation": ACTIVATIONS,
    "overlapping": (True, False),
    "dropout": (0.0, 0.5),
}
SIZES = {"filters", "hidden", "bias_init", "kernel_initializer"}


@pytest.mark.parametrize(
    ("name", "tried"),
    [
        pytest.param("resnet50", {"version"}, marks=pytest.mark.slow),
        ("resnet20", VALUES.keys() - {"version", "bottleneck"}),
        ("vgg16_mini", VALUES.keys()),
        ("cuda_convnet", VALUES.keys()),
    ],
)
def test_every_argument_that_shapes_do_not_show_is_known(name, tried):
    default, _ = TWINS[name]
    parameters = inspect.signature(find_model(name).builder).parameters
    own = [p for p in parameters if p not in CommonArguments.__annotations__]
    assert set(own) <= VALUES.keys() | SIZES
    first = built(name, **default)
    shapes = {n: slot.shape for n, slot in named_slots(first).items()}
    for argument in tried & set(own):
        for value in VALUES[argument]:
            try:
                second = built(name, **{**default, argument: value})
            except UserError:
                continue
            if {n: slot.shape for n, slot in named_slots(second).items()} != shapes:
                continue
            if difference(of_model(first), of_model(second)):
                assert value in UNSEEN[argument], (argument, value)
                assert difference(of_model(second), of_model(first))


def test_a_plain_network_takes_no_residual_ones_weights(tmp_path, caplog):
    kc.resnet20().save(tmp_path / "a.keras")
    assert_refused(kc.plain20(), tmp_path / "a.keras", "its layer .* has inputs")
    with pytest.raises(UserError, match="has inputs"):
        kc.plain20(weights=tmp_path / "a.keras")
    # One that says nothing: a line tells what was assumed.
    kc.resnet20().save_weights(tmp_path / "a.weights.h5")
    kc.plain20(weights=tmp_path / "a.weights.h5")
    assert "a.weights.h5 does not say which shortcut the weights of plain20 need" in caplog.text
    assert "shortcut='none' is assumed" in caplog.text


def test_other_tops_and_what_stands_before_the_network_do_not_matter(tmp_path):
    network = kc.resnet20(classes=7)
    fill(network)
    network.save(tmp_path / "a.keras")
    image = keras.Input((32, 32, 3))
    for arguments in (
        {"include_top": False, "pooling": "avg"},
        {"classes": 3},
        {"input_tensor": keras.layers.Rescaling(1 / 255)(image)},
        {"classifier_activation": None},
    ):
        model = kc.resnet20(**{"classes": 7, "weights": tmp_path / "a.keras", **arguments})
        kernel = model.get_layer("conv4_block3_2_conv").kernel
        np.testing.assert_array_equal(kernel, network.get_layer("conv4_block3_2_conv").kernel)


def test_a_sigmoid_head_stays_one(tmp_path):
    kc.lenet5(classifier_activation="sigmoid").save(tmp_path / "a.keras")
    model = kc.lenet5(weights=tmp_path / "a.keras")
    assert model.layers[-1].activation is keras.activations.sigmoid


@pytest.mark.slow
def test_networks_of_others_are_held_to_their_strides(tmp_path):
    theirs = keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3), classes=3)
    theirs.save(tmp_path / "a.keras")
    built("resnet50", weights=tmp_path / "a.keras")
    with pytest.raises(UserError, match="conv3_block1_1_conv has strides"):
        built("resnet50", weights=tmp_path / "a.keras", version="v1.5")


def test_conversion_hands_on_what_a_file_says(tmp_path):
    network = kc.lenet5()
    layer, names = kc.preprocessing("lenet5/digits"), [str(i) for i in range(10)]
    hdf5.write(network, tmp_path / "a.weights.h5", metadata_of(network, {}, layer, names))
    convert_weights(tmp_path / "a.weights.h5", "lenet5", tmp_path / "b.weights.h5")
    said = hdf5.read_metadata(tmp_path / "b.weights.h5")
    assert said.make_preprocessing().get_config().items() >= {"background": -0.1}.items()
    assert said.class_names == names
    # Keras itself reads the file as before.
    again = kc.lenet5()
    again.load_weights(tmp_path / "b.weights.h5")
    for one, other in zip(network.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def flipped(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


@pytest.mark.parametrize("ending", [".weights.h5", ".safetensors"])
def test_a_flipped_bit_is_found(ending, tmp_path):
    network = kc.vgg11(filters=(4, 4, 4, 4, 4), hidden=(8, 8), classes=3, input_shape=(32, 32, 3))
    written = write(network, tmp_path / f"a{ending}", {})
    content, draw = written.read_bytes(), np.random.default_rng(0)
    before = network.get_weights()
    refused = 0
    for bit in draw.integers(0, 8 * len(content), 60):
        written.write_bytes(content)
        flipped(written, int(bit))
        try:
            load_weights(network, written)
        except UserError:
            refused += 1
        # Where it loads, the bit was in none of the values.
        for was, now in zip(before, network.get_weights(), strict=True):
            np.testing.assert_array_equal(was, now)
    assert refused  # Much of so small a file is padding.
    # One in the values of the first kernel.
    place = content.index(np.ascontiguousarray(stored(before[0], ending)).tobytes())
    written.write_bytes(content)
    flipped(written, 8 * (place + 5) + 3)
    assert_refused(network, written, "is damaged: its checksum is wrong")


def stored(kernel: np.ndarray, ending: str) -> np.ndarray:
    return kernel.transpose(3, 2, 0, 1) if ending == ".safetensors" else kernel


@pytest.mark.parametrize(
    "change",
    [
        {"computation": []},
        {"computation": {"conv": 5}},
        {"arguments": {"classes": 10**9}},
        {"arguments": 5},
        {"preprocessing": {"kind": "none"}},
        {"preprocessing": {}},
        {"class_names": [5]},
        {"class_names": 5},
        {"checksums": []},
    ],
)
def test_an_entry_of_another_kind(change):
    text = dataclasses.replace(metadata_of(kc.lenet5()), **change).to_text()
    with pytest.raises(UserError, match="^its entry 'keras_classics' is damaged"):
        from_text(text)
