"""torchvision's names and layouts, on narrow networks; its outputs stand in test_parity.py."""

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.weights.assign import assign, extract, values_for
from keras_classics.weights.formats import checkpoints, safetensors_files, torchvision

NARROW = {"input_shape": (64, 64, 3), "classes": 3, "filters": (2, 2, 3, 3, 3), "hidden": (4, 5)}


def names_of(modules: dict[str, str]) -> set[str]:
    """Names of the tensors of modules: a convolution or dense layer, or a normalisation."""
    parts = {
        "conv": ["weight"],
        "dense": ["weight", "bias"],
        "norm": ["weight", "bias", "running_mean", "running_var"],
    }
    return {f"{name}.{part}" for name, kind in modules.items() for part in parts[kind]}


def test_names_of_resnet18():
    modules = {"conv1": "conv", "bn1": "norm", "fc": "dense"}
    for stage in (1, 2, 3, 4):
        for unit in (0, 1):
            for number in (1, 2):
                modules[f"layer{stage}.{unit}.conv{number}"] = "conv"
                modules[f"layer{stage}.{unit}.bn{number}"] = "norm"
        if stage > 1:
            modules[f"layer{stage}.0.downsample.0"] = "conv"
            modules[f"layer{stage}.0.downsample.1"] = "norm"
    assert set(torchvision.slots(kc.resnet18(classes=3))) == names_of(modules)


# Places in torchvision's nn.Sequential.
@pytest.mark.parametrize(
    ("name", "convolutions", "norms", "dense"),
    [
        ("vgg11", (0, 3, 6, 8, 11, 13, 16, 18), (), (0, 3, 6)),
        ("vgg11_bn", (0, 4, 8, 11, 15, 18, 22, 25), (1, 5, 9, 12, 16, 19, 23, 26), (0, 3, 6)),
        ("alexnet_owt", (0, 3, 6, 8, 10), (), (1, 4, 6)),
    ],
)
def test_names_of_numbered_modules(name, convolutions, norms, dense):
    narrow = {"classes": 3} if name == "alexnet_owt" else NARROW
    modules = {f"features.{i}": "dense" for i in convolutions}
    modules |= {f"features.{i}": "norm" for i in norms}
    modules |= {f"classifier.{i}": "dense" for i in dense}
    assert set(torchvision.slots(kc.get_model(name, **narrow))) == names_of(modules)


def test_layouts():
    model = kc.vgg11(**NARROW)
    draw = np.random.default_rng(0)
    model.set_weights([draw.normal(size=w.shape) for w in model.get_weights()])
    found = extract(torchvision.slots(model))
    kernel = model.get_layer("block3_conv1").kernel.numpy()
    assert found["features.6.weight"].shape == (3, 2, 3, 3)
    assert found["features.6.weight"][2, 1, 0, 2] == kernel[0, 2, 1, 2]
    # The map before fc1 is 2x2x3: torch flattens channel by channel.
    first = model.get_layer("fc1").kernel.numpy()
    weight = found["classifier.0.weight"]
    assert weight.shape == (4, 12)
    for row, column, channel in np.ndindex(2, 2, 3):
        np.testing.assert_array_equal(
            weight[:, 4 * channel + 2 * row + column], first[6 * row + 3 * column + channel]
        )
    np.testing.assert_array_equal(
        found["classifier.3.weight"], model.get_layer("fc2").kernel.numpy().T
    )
    np.testing.assert_array_equal(
        found["classifier.6.bias"], model.get_layer("predictions").bias.numpy()
    )


def test_there_and_back_gives_the_same_bits(tmp_path):
    source, target = kc.vgg11(**NARROW), kc.vgg11(**NARROW)
    path = tmp_path / "vgg11.safetensors"
    torchvision.write(source, path)
    tensors = {**load_file(path), "features.1.num_batches_tracked": np.array([3])}
    save_file(tensors, path)
    slots = torchvision.slots(target)
    with checkpoints.opened(path, target) as found:
        assert "features.1.num_batches_tracked" not in found.tensors
        assign(values_for(found.tensors, slots), slots)
    for one, other in zip(source.get_weights(), target.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_torchvision_does_not_have():
    model = kc.resnet20()
    extra = keras.layers.Dense(2, name="extra")(model.output)
    model = keras.Model(model.input, extra, name="resnet20")
    with pytest.raises(UserError, match="no layer that corresponds to extra of resnet20"):
        torchvision.slots(model)


def test_a_damaged_file(tmp_path):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(b"12345678{")
    with (
        pytest.raises(UserError, match="not an intact safetensors file"),
        safetensors_files.opened(path),
    ):
        pass


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        ("resnet18", {"version": "v1", "shortcut": "B"}),
        ("resnet34", {"version": "v1", "shortcut": "B"}),
        ("resnet50", {"version": "v1.5", "shortcut": "B"}),
        ("resnet101", {"version": "v1.5", "shortcut": "B"}),
        ("resnet152", {"version": "v1.5", "shortcut": "B"}),
        ("vgg16", {"batch_norm": None}),
        ("vgg16_bn", {"batch_norm": "all", "batch_norm_after": "conv"}),
        ("alexnet_owt", {"lrn": None}),
    ],
)
def test_arguments_of_the_builders(model, arguments):
    assert torchvision.builder_arguments(model) == arguments


def test_constants_of_torch():
    # torch.nn.BatchNorm2d: eps=1e-5, and momentum=0.1, which is the new value's share.
    assert (torchvision.EPSILON, torchvision.MOMENTUM) == (1e-5, 1 - 0.1)
