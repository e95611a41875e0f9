"""Caffe's files: outputs equal to OpenCV's importer, and what must not load."""

import dataclasses
import json
import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.image_preprocessing import ImagePreprocessing
from keras_classics.models.conversion import convert_weights
from keras_classics.weights import caffe_mean, load_weights
from keras_classics.weights.download import MIRROR
from keras_classics.weights.formats.caffe_files import read_layers
from keras_classics.weights.formats.caffe_graph import builder_arguments, network_of
from tests.helpers import caffe_files, forked
from tests.helpers.stored_outputs import assert_near
from tests.helpers.weight_files import assert_refused

GOLDENS = json.loads(caffe_files.PATH.read_text())

# The others, of 100 to 550 MB, take their time; ResNet-50 is as large as it was published.
QUICK = ("resnet50", "small alexnet", "small caffenet", "narrow vgg16", "narrow vgg11_bn")


def scores(model: keras.Model) -> np.ndarray:
    """A network's scores for the image of Caffe's network."""
    image = caffe_files.image(model.input_shape[1]).transpose(0, 2, 3, 1)
    return model(image, training=False).numpy()[0]


@pytest.mark.parametrize(
    "case", [c if c in QUICK else pytest.param(c, marks=pytest.mark.slow) for c in GOLDENS]
)
def test_outputs_equal_those_of_opencv(case, tmp_path):
    name, arguments, layers, side = caffe_files.CASES[case]
    # The first generation has no BatchNorm; the published CaffeNet is of the second.
    generations = {
        "resnet50": (False,),
        "narrow vgg11_bn": (False,),
        "small alexnet": (True,),
        "small caffenet": (False,),
    }
    for first in generations.get(case, (False, True)):
        path = caffe_files.write(tmp_path / "a.caffemodel", layers, first)
        model = kc.get_model(
            name,
            weights=path,
            classifier_activation=None,
            kernel_initializer="zeros",
            input_shape=(side, side, 3),
            **arguments,
        )
        assert_near(scores(model), GOLDENS[case])


@pytest.mark.slow
@pytest.mark.parametrize("form", ["packed", "unpacked"])
def test_vgg16_takes_little_more_memory_than_its_file(form, tmp_path):
    _, _, layers, _ = caffe_files.CASES["vgg16"]
    path = caffe_files.write(tmp_path / "a.caffemodel", layers, first=True, form=form)
    model = kc.vgg16(kernel_initializer="zeros")
    size = sum(variable.numpy().nbytes for variable in model.weights)

    def work():
        load_weights(model, path)
        yield bool((model.get_layer("predictions").kernel.numpy() != 0).any())

    outcome = forked.run(work, timeout=600)
    assert not outcome.ended
    ((loaded, growth),) = outcome.yielded
    print(f"{form}: {growth / 1e6:,.0f} MB beyond the model, {growth / size:.2f} of its size")
    assert loaded
    assert growth < 1.2 * size


NARROW = caffe_files.CASES["narrow vgg16"]
NORMALIZED = caffe_files.CASES["narrow vgg11_bn"]


def build(case: tuple, path: Path | None = None, **arguments) -> keras.Model:
    name, own, _, side = case
    given = {"input_shape": (side, side, 3), "kernel_initializer": "zeros", **own, **arguments}
    return kc.get_model(name, weights=path, **given)


@pytest.fixture(scope="module")
def narrow() -> keras.Model:
    return build(NARROW)


def assert_same(model: keras.Model, other: keras.Model) -> None:
    for value, expected in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize("form", ["unpacked", "double", "parts"])
def test_other_forms_of_a_blob_have_the_same_values(form, narrow, tmp_path):
    path = caffe_files.write(tmp_path / "a.caffemodel", NARROW[2], True, "packed")
    expected = build(NARROW, path)
    load_weights(narrow, caffe_files.write(tmp_path / "b.caffemodel", NARROW[2], True, form))
    assert_same(narrow, expected)


@pytest.mark.parametrize("first", [False, True])
def test_a_snapshot_of_training_is_the_network_alone(first, narrow, tmp_path, caplog):
    expected = build(NARROW, caffe_files.write(tmp_path / "a.caffemodel", NARROW[2]))
    layers = caffe_files.as_trained(NARROW[2])
    load_weights(narrow, caffe_files.write(tmp_path / "b.caffemodel", layers, first))
    assert_same(narrow, expected)
    assert not caplog.text


def test_content_decides_and_not_the_ending(narrow, tmp_path):
    expected = build(NARROW, caffe_files.write(tmp_path / "a.caffemodel", NARROW[2]))
    for name in ("A.CAFFEMODEL", "a.bin", "snapshot_iter_1000"):
        load_weights(narrow, caffe_files.write(tmp_path / name, NARROW[2]))
        assert_same(narrow, expected)


def renamed(layers: list, **names: str) -> list:
    return [dataclasses.replace(x, name=names.get(x.name, x.name)) for x in layers]


def test_the_last_dense_layer_is_the_classifier_whatever_its_name(tmp_path, caplog):
    layers = renamed(NARROW[2], fc8="fc8_flickr")
    path = caffe_files.write(tmp_path / "a.caffemodel", layers)
    own = {k: v for k, v in NARROW[1].items() if k != "classes"}
    model = kc.vgg16(weights=path, input_shape=(64, 64, 3), **own)
    values = caffe_files.blobs(next(x for x in layers if x.name == "fc8_flickr"))
    np.testing.assert_array_equal(model.get_layer("predictions").kernel, values[0].T)
    fresh = build(NARROW, path, classes=4)
    assert "the model has 4 classes and the file 9" in caplog.text
    assert not fresh.get_layer("predictions").kernel.numpy().any()
    features = build(NARROW, path, include_top=False)
    assert "the model has no top" in caplog.text
    assert_same(features, build(NARROW, path, include_top=False))


def norm(name: str, kind: str) -> str:
    return f"{name}/{kind}"


def test_batch_normalisation_without_scale_and_with_a_factor_of_zero(tmp_path):
    layers = [x for x in NORMALIZED[2] if x.name != norm("conv1_1", "scale")]
    first, second = (norm(f"conv{block}_1", "bn") for block in (1, 2))
    drawn = {x.name: caffe_files.blobs(x) for x in layers if x.name in (first, second)}
    drawn[second] = [*drawn[second][:2], np.zeros(1, "float32")]
    layers = [
        dataclasses.replace(x, settings={"eps": 1e-3}) if x.name == first else x for x in layers
    ]
    model = build(NORMALIZED, caffe_files.write(tmp_path / "a.caffemodel", layers, values=drawn))
    mean, variance, factor = drawn[first]
    layer = model.get_layer("block1_conv1_bn")
    np.testing.assert_allclose(layer.moving_mean, mean / factor, rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, variance / factor + 1e-3 - 1e-5, rtol=1e-6)
    assert (layer.gamma.numpy() == 1).all()
    assert not layer.beta.numpy().any()
    zeroed = model.get_layer("block2_conv1_bn")
    assert not zeroed.moving_mean.numpy().any()
    assert not zeroed.moving_variance.numpy().any()


def test_a_file_decides_what_shapes_do_not_show(tmp_path, caplog):
    """CaffeNet's normalisation, and where the authors' ResNet pools and strides."""
    _, own, layers, side = caffe_files.CASES["small caffenet"]
    path = caffe_files.write(tmp_path / "a.caffemodel", layers)
    alike = {**own, "input_shape": (side, side, 3), "kernel_initializer": "zeros"}
    with pytest.raises(UserError, match="its layer 'pool1' .* stands where the network has norm1"):
        kc.alexnet(weights=path, **alike)
    with pytest.raises(UserError, match="'norm1' has alpha 0.0001, but the network's .* 0.0005"):
        kc.caffenet(weights=path, lrn="paper", **alike)
    with pytest.raises(UserError, match="'norm1' has k 1, but the network's norm1 has 2"):
        kc.caffenet(weights=path, lrn="code", **alike)
    with pytest.raises(UserError, match="its layer 'norm1' .LRN. stands where .* pool2"):
        kc.caffenet(weights=path, lrn=None, **alike)
    with pytest.raises(UserError, match="'conv2' has group 2, but the network's conv2 has 1"):
        kc.caffenet(weights=path, towers=1, **alike)
    assert not caplog.text


def test_strides_and_pooling_decide_the_version():
    def arguments(layers: list) -> dict:
        return builder_arguments(network_of(parsed(layers)))

    def parsed(layers: list) -> list:
        with tempfile.TemporaryDirectory() as folder:
            empty = [
                dataclasses.replace(x, shapes=tuple((1,) * len(s) for s in x.shapes))
                for x in layers
            ]
            return read_layers(caffe_files.write(Path(folder) / "a", empty))

    theirs = caffe_files.resnet()
    assert arguments(theirs)["version"] == "v1_caffe"
    padded = [
        dataclasses.replace(x, settings={**x.settings, "pad": 1}) if x.name == "pool1" else x
        for x in theirs
    ]
    assert arguments(padded)["version"] == "v1"
    moved = [
        dataclasses.replace(x, settings={**x.settings, "stride": 2})
        if x.name == "res3a_branch2b"
        else x
        for x in padded
    ]
    assert arguments(moved)["version"] == "v1.5"
    assert arguments(NARROW[2]) == {"lrn": None}


def test_a_conversion_says_what_the_file_decided(tmp_path):
    path = caffe_files.write(tmp_path / "a.caffemodel", NARROW[2])
    convert_weights(
        path, "vgg16", tmp_path / "a.weights.h5", **{**NARROW[1], "input_shape": (64, 64, 3)}
    )
    assert_same(build(NARROW, tmp_path / "a.weights.h5"), build(NARROW, path))


def changed(name: str, **changes) -> list:
    """The narrow network with another layer of a name."""
    return [dataclasses.replace(x, **changes) if x.name == name else x for x in NARROW[2]]


def layer_of(name: str) -> caffe_files.Layer:
    return next(x for x in NARROW[2] if x.name == name)


DENSE, CONV = layer_of("fc7"), layer_of("conv2_1")
REFUSED = {
    "no place for its layer 'inception_3a/1x1' .Convolution": renamed(
        NARROW[2], conv3_1="inception_3a/1x1"
    ),
    "no place for its layer 'conv2_1' .Deconvolution": changed(
        "conv2_1", type="Deconvolution", settings={}
    ),
    "no place for its layer 'relu2_1' .Concat": changed("relu2_1", type="Concat", settings={}),
    "has a slope for negative values": changed("relu2_1", settings={"negative_slope": 0.1}),
    "it has 2 layers with weights of the name 'conv2_1'": renamed(NARROW[2], conv2_2="conv2_1"),
    "it lacks the tensor 'block2_conv2/kernel'": [x for x in NARROW[2] if x.name != "conv2_2"],
    "'conv2_1' .* must have weights and perhaps biases. Received: 3": changed(
        "conv2_1", shapes=(*CONV.shapes, (1,))
    ),
    "its tensor 'conv2_1 .weights.' has the shape": changed("conv2_1", shapes=((6, 5, 3, 3), (6,))),
    "a blob of its layer 'conv2_1' must have the shape .out, in, height": changed(
        "conv2_1", shapes=((6, 54), (6,))
    ),
    "has stride 2, but the network's block2_conv1 has 1": changed(
        "conv2_1", settings={**CONV.settings, "stride": 2}
    ),
    "has pad 0, but the network's block2_conv1 has 1": changed(
        "conv2_1", settings={**CONV.settings, "pad": 0}
    ),
    "must not have transposed weights": changed("fc7", settings={"transpose": 1}),
    "'pool2' has method 1, but the network's": changed(
        "pool2", settings={"pool": 1, "kernel_size": 2, "stride": 2}
    ),
    "'pool2' has kernel 3, but the network's": changed(
        "pool2", settings={"pool": 0, "kernel_size": 3, "stride": 2}
    ),
    "'bn' .BatchNorm. must follow a convolution, before its ReLU": [
        *NARROW[2],
        caffe_files.Layer("bn", "BatchNorm", ("fc8",), ("fc8",), shapes=((9,), (9,), (1,))),
    ],
    "it has 1 additions, but the network has 0": [
        *NARROW[2],
        caffe_files.Layer("sum", "Eltwise", ("fc8", "fc8"), ("sum",)),
    ],
    "the network has no tensor 'conv3_4 .weights.'": [
        *(x for x in NARROW[2] if x.name != "pool3"),
        dataclasses.replace(layer_of("conv3_3"), name="conv3_4", bottoms=("conv3_3",)),
    ],
    "it pools or normalises 4 times, but the network 5": [
        x for x in NARROW[2] if x.name != "pool5"
    ],
    "it has no layers": [],
}


@pytest.mark.parametrize("message", REFUSED)
def test_other_networks_are_refused_by_what_does_not_fit(message, narrow, tmp_path):
    path = caffe_files.write(tmp_path / "a.caffemodel", REFUSED[message])
    assert_refused(narrow, path, message)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("layer", ["conv2_1", norm("conv2_1", "bn"), norm("conv2_1", "scale")])
def test_values_that_are_not_finite_are_refused(layer, value, tmp_path):
    (found,) = (x for x in NORMALIZED[2] if x.name == layer)
    for number, array in enumerate(caffe_files.blobs(found)):
        values = caffe_files.blobs(found)
        values[number] = np.full_like(array, value)
        path = caffe_files.write(tmp_path / "a.caffemodel", NORMALIZED[2], values={layer: values})
        with pytest.raises(UserError, match=f"{layer}.* must be finite"):
            build(NORMALIZED, path)


def test_what_is_not_a_file_of_weights_is_told_in_one_line(narrow, tmp_path):
    text = tmp_path / "deploy.prototxt"
    text.write_text(caffe_files.prototxt(NARROW[2], 64))
    with pytest.raises(UserError, match="has no weights. Name the .caffemodel beside it"):
        load_weights(narrow, text)
    with pytest.raises(UserError, match="has no weights. Name the .caffemodel beside it"):
        kc.vgg16(weights=str(text))
    old = tmp_path / "old.caffemodel"
    field_of = caffe_files.field_of
    old.write_bytes(field_of(2, field_of(1, field_of(1, "conv1") + field_of(2, "conv"))))
    assert_refused(narrow, old, "Caffe's first format, of 2013. Convert it with .*upgrade_net")
    many = tmp_path / "many.caffemodel"
    many.write_bytes(field_of(1, "") * 600_000)
    assert_refused(narrow, many, "it has more than 500,000 fields")
    whole = caffe_files.write(tmp_path / "a.caffemodel", NARROW[2])
    with pytest.raises(UserError, match="a file of Caffe has one network, and no 'conv1'"):
        load_weights(narrow, f"{whole}#conv1")


def test_a_record_without_a_hash(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv(MIRROR, raising=False)
    record = kc.find_weights("vgg16/places205")
    assert record.file.digest is None
    cached = tmp_path / "models" / record.file.name
    cached.parent.mkdir()
    caffe_files.write(cached, caffe_files.vgg((2, 2, 3, 3, 3), (4, 6, 8, 8, 8), 12, 64, 205))
    own = {k: v for k, v in NARROW[1].items() if k != "classes"}
    model = kc.vgg16(weights="places205", input_shape=(64, 64, 3), **own)
    # The record, not the paper, says how many classes there are.
    assert model.output_shape == (None, 205)
    assert not caplog.text
    packed = kc.find_weights("vgg16/vgg_face").file
    with pytest.raises(UserError, match="published inside https://.*tar.gz. Download and unpack"):
        packed.fetch()


# Mean images.


def test_a_mean_image_is_subtracted(tmp_path):
    mean = np.random.default_rng(0).uniform(90, 130, (3, 12, 14)).astype("float32")
    np.save(tmp_path / "mean.npy", mean)
    for name, legacy in (("old", True), ("new", False)):
        blob = caffe_files.blob_of(mean, legacy)
        (tmp_path / f"{name}.binaryproto").write_bytes(blob)
    image = np.random.default_rng(1).integers(0, 256, (1, 10, 10, 3), dtype="uint8")
    expected = image[..., ::-1] - mean[:, 1:11, 2:12].transpose(1, 2, 0)
    for name in ("mean.npy", "old.binaryproto", "new.binaryproto"):
        layer = ImagePreprocessing(10, 10, caffe_mean(tmp_path / name, crop=10), bgr=True)
        np.testing.assert_allclose(layer(image), expected, atol=1e-4)
        colour = caffe_mean(tmp_path / name)
        np.testing.assert_allclose(colour, mean.mean(axis=(1, 2)), rtol=1e-6)


def test_what_is_no_mean_image_is_told_in_one_line(tmp_path):
    path = tmp_path / "mean.binaryproto"
    for content, message in (
        (b"", "it is empty"),
        (b"\x00", "is no mean image of Caffe"),
        (caffe_files.blob_of(np.zeros((3, 8, 8), "float32"))[:-1], "longer than what it is in"),
        (caffe_files.blob_of(np.zeros((8, 8), "float32")), "must have the shape .3, height"),
        (caffe_files.blob_of(np.full((3, 8, 8), np.nan, "float32")), "finite values"),
        (caffe_files.blob_of(np.zeros((3, 8, 8), "float32")), "at least as large as the crop"),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match=message) as failure:
            caffe_mean(path, crop=9)
        assert str(failure.value).isprintable()
    for content in (b"text", b"\x93NUMPY\x01\x00"):
        (tmp_path / "mean.npy").write_bytes(content)
        with pytest.raises(UserError, match="is no mean image of Caffe"):
            caffe_mean(tmp_path / "mean.npy")
    with pytest.raises(UserError, match="is no mean image of Caffe"):
        caffe_mean(tmp_path / "none.binaryproto")
