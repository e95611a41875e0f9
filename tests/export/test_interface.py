"""Exports used with what they state alone: the code of docs/export.md, in three runtimes."""

import json
import re
import zipfile

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from PIL import Image

import keras_classics as kc
from keras_classics import export
from keras_classics.errors import UserError
from keras_classics.export import verify
from keras_classics.export.exported import of_network
from keras_classics.export.interface import drawings, input_block, pixel_block
from keras_classics.image_preprocessing import CanvasPreprocessing, ImagePreprocessing
from keras_classics.weights import find_weights, list_weights
from tests.helpers.images import photograph
from tests.helpers.programs import ROOT

PAGE = (ROOT / "docs" / "export.md").read_text()
SECTION = PAGE.split("## Use an export without this package\n")[1].split("\n## ")[0]
FIRST, *RUNTIMES = re.findall(r"^```python slow\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
FILES = {"model.onnx": 0, "model.tflite": 1, "saved_model": 2}

SMALL = {"resize": 26, "crop": 22}
LAYERS = {
    "caffe": ImagePreprocessing(**SMALL, mean=(103.939, 116.779, 123.68), bgr=True),
    "torch": ImagePreprocessing(**SMALL, mean=(123.7, 116.3, 103.5), std=(58.4, 57.1, 57.4)),
    "signed": ImagePreprocessing(**SMALL, mean=(127.5,) * 3, std=(127.5,) * 3),
    "mean image": ImagePreprocessing(
        **SMALL, mean=np.random.default_rng(0).uniform(90, 130, (22, 22, 3)).tolist()
    ),
    "colour canvas": CanvasPreprocessing(size=22, border=1, channels=3),
}


def test_the_code_imports_nothing_of_this_package():
    assert "keras_classics" not in SECTION
    assert len(RUNTIMES) == 4
    assert all(len(code.splitlines()) <= 10 for code in RUNTIMES)


def pictures() -> list[np.ndarray]:
    """Parts of a photograph with odd and even sides, of other shapes and smaller than a network."""
    whole = photograph()
    sides = [(300, 401), (301, 200), (64, 64), (33, 70), (17, 16)]
    return [whole[50 : 50 + height, 60 : 60 + width] for height, width in sides]


def known_layers() -> dict[str, keras.layers.Layer]:
    """Every preprocessing of known weights once, and others."""
    records = [find_weights(name).preprocessing() for name in list_weights()]
    every = {json.dumps({**r.get_config(), "name": ""}): r for r in records}
    assert len(every) >= 5
    return every | LAYERS


@pytest.fixture(scope="module")
def prepared():
    """The function of the page."""
    code = FIRST[FIRST.index("def prepared") :]
    namespace = {"np": np, "Image": Image}
    exec(code, namespace)
    return namespace["prepared"]


@pytest.mark.parametrize("layer", known_layers().values(), ids=lambda layer: layer.name)
def test_what_the_manifest_states_is_what_the_layer_does(layer, prepared, tmp_path):
    for number, picture in enumerate(pictures()):
        path = tmp_path / f"{number}.png"
        path.write_bytes(tf.io.encode_png(picture).numpy())
        expected = layer(picture).numpy()
        takes = json.loads(json.dumps(input_block(layer, expected.shape, "image")))
        low, high = takes["range"]
        assert low - 1e-4 <= expected.min() <= expected.max() <= high + 1e-4
        got = prepared(path, takes)
        assert got.shape == (1, *takes["shape"][1:])
        assert got.dtype == np.float32
        # Pillow rounds to whole pixels twice, and once for grey.
        assert np.abs(got[0] - expected).max() <= 3.1 * max(takes["scale"])
        pixels = prepared(path, takes | pixel_block(expected.shape[-1]))
        assert pixels.dtype == np.uint8


def coloured(layer: keras.layers.Layer) -> keras.Model:
    """A small network that tells colours and places apart."""
    image = keras.Input((22, 22, 3), name="image")
    low, high = input_block(layer, (22, 22, 3), "image")["range"]
    x = keras.layers.AveragePooling2D(5)(image)
    kernel = keras.initializers.RandomNormal(stddev=4 / (high - low), seed=0)
    end = keras.layers.Dense(5, "softmax", kernel_initializer=kernel, name="scores")
    return keras.Model(image, end(keras.layers.Flatten()(x)), name="coloured")


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Exports a network in all formats, each once."""
    made = {}

    def exported(kind: str, inputs: str):
        if (kind, inputs) not in made:
            folder = tmp_path_factory.mktemp("made") / "served"
            if kind == "digits":
                model, layer = kc.lenet5(weights="digits"), kc.preprocessing("lenet5/digits")
                labels, images = list("0123456789"), None
            else:
                layer, labels = LAYERS[kind], list("abcde")
                model = coloured(layer)
                images = np.stack([photograph()[i : i + 30, 9 * i : 9 * i + 30] for i in range(24)])
            export.export_model(
                model,
                folder,
                preprocessing=layer,
                labels=labels,
                images=images,
                formats=export.FORMATS,
                inputs=inputs,
            )
            made[kind, inputs] = folder
        return made[kind, inputs]

    return exported


@pytest.fixture(autouse=True)
def short_timing(monkeypatch):
    monkeypatch.setattr(verify, "LATENCY_RUNS", 1)
    monkeypatch.setattr(verify, "WARM_UP_RUNS", 1)


# With each type of inputs one network that is exported in seconds; the others are slow.
QUICK = {"float32": "digits", "uint8": "caffe"}
EVERY = [
    pytest.param(kind, inputs, marks=[] if QUICK[inputs] == kind else pytest.mark.slow)
    for kind in ("digits", *LAYERS)
    for inputs in export.INPUTS
]


@pytest.mark.parametrize("kind", LAYERS)
def test_images_are_prepared_to_the_bits_of_their_layer(kind):
    prepare = of_network(kc.lenet5(), LAYERS[kind], ("a",), upright=False).prepare
    for image in (photograph(), *pictures()[:2]):
        encoded = tf.io.encode_png(image).numpy()
        expected = LAYERS[kind](tf.constant(image)[tf.newaxis]).numpy()
        np.testing.assert_array_equal(prepare(encoded), expected)


@pytest.mark.parametrize(("kind", "inputs"), EVERY)
def test_three_runtimes_answer_as_predict_does(
    kind, inputs, make, few_digits, tmp_path, monkeypatch, capsys
):
    folder = make(kind, inputs)
    images = few_digits.test.images[:3] if kind == "digits" else pictures()[:3]
    encoded = [tf.io.encode_png(image).numpy() for image in images]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "served").symlink_to(folder)
    namespace: dict = {}
    exec(FIRST, namespace)
    for name, number in FILES.items():
        expected = export.load_exported(folder / name).predict(encoded)
        for one, answer in zip(encoded, expected, strict=True):
            (tmp_path / "digit.png").write_bytes(one)
            exec(RUNTIMES[number], namespace)
            label, probability = capsys.readouterr().out.split()
            assert label == namespace["returns"]["labels"][answer.argmax()]
            # Pillow's resized pixels are whole numbers.
            np.testing.assert_allclose(namespace["probabilities"][0], answer, atol=0.03)
            assert float(probability) == pytest.approx(answer.max(), abs=0.03)
    exec(RUNTIMES[3], namespace)
    assert namespace["answer"]["top_labels"][0, 0].numpy().decode() == label


@pytest.mark.parametrize("inputs", export.INPUTS)
def test_files_state_what_the_manifest_states(make, inputs):
    folder = make(QUICK[inputs], inputs)
    manifest = json.loads((folder / "manifest.json").read_text())

    def stated(name: str) -> dict:
        return {end: manifest[end] | manifest["exports"][name][end] for end in ("input", "output")}

    assert stated("model.onnx")["input"]["dtype"] == inputs
    assert stated("saved_model")["input"]["dtype"] == "float32"
    properties = onnx.load(folder / "model.onnx").metadata_props
    assert {p.key: json.loads(p.value) for p in properties} == stated("model.onnx")
    with zipfile.ZipFile(folder / "model.tflite") as archive:
        metadata = json.loads(archive.read("metadata.json"))
    assert {end: metadata[end] for end in ("input", "output")} == stated("model.tflite")
    loaded = tf.saved_model.load(str(folder / "saved_model")).signatures
    signatures = manifest["exports"]["saved_model"]["signatures"]
    assert set(signatures) == set(loaded)
    for name, signature in signatures.items():
        assert set(signature["outputs"]) == set(loaded[name].structured_outputs)
        taken = signature["input"]
        (spec,) = loaded[name].structured_input_signature[1].values()
        assert (spec.name, spec.dtype.name) == (taken["name"], taken["dtype"])
        assert spec.shape.as_list() == taken["shape"]


def test_pixels_need_a_known_normalisation(tmp_path):
    layer = keras.Sequential([keras.layers.Resizing(22, 22), keras.layers.Rescaling(1 / 255)])
    given = {"preprocessing": layer, "labels": list("abcde")}
    with pytest.raises(UserError, match="uint8 inputs need CanvasPreprocessing or Image"):
        export.export_model(coloured(LAYERS["torch"]), tmp_path / "a", inputs="uint8", **given)
    with pytest.raises(UserError, match="a SavedModel takes uint8 images in any case"):
        export.export_model(
            coloured(LAYERS["torch"]),
            tmp_path / "a",
            inputs="uint8",
            formats=["saved_model"],
            **given,
        )
    with pytest.raises(UserError, match="Unknown type of inputs 'uint16'"):
        export.export_model(coloured(LAYERS["torch"]), tmp_path / "a", inputs="uint16", **given)
    assert not list(tmp_path.iterdir())


def test_drawings(few_digits):
    digits = few_digits.test.images
    assert drawings(digits) == "light on dark"
    assert drawings(255 - digits) == "dark on light"
    # Wide drawings, with bars of padding.
    wide = np.pad(255 - digits, [(0, 0), (4, 4), (0, 0), (0, 0)])
    assert drawings(wide) == "dark on light"
    photographs = np.stack([photograph()[i : i + 30, 9 * i : 9 * i + 30] for i in range(24)])
    for images in (photographs, photographs[..., :1], np.full((9, 8, 8, 3), 128, "uint8")):
        assert drawings(images) is None
