"""The demo site: its files, and its predictions in a browser."""

import json
import shutil
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import keras_classics as kc
from keras_classics import demo
from keras_classics.analysis import explain
from keras_classics.demo import layers, runtime, write
from keras_classics.errors import UserError
from keras_classics.image_preprocessing import CanvasPreprocessing, ImagePreprocessing
from tests.helpers.browser import addresses, needs_browser, served
from tests.helpers.exports import change_manifest
from tests.helpers.images import photograph
from tests.helpers.programs import assert_one_line
from tests.helpers.runs import RESULT

HERE = Path(__file__).parent
FASHION = HERE.parent / "golden" / "fashion_mnist_sample.npz"
PLAIN_TEXT = {".html", ".css", ".js", ".json"}

needs_node = pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")


@pytest.fixture
def packages(tmp_path, monkeypatch) -> Path:
    """A fake `node_modules` folder in place of the one that npm installs."""
    folder = tmp_path / "node_modules"
    for name in runtime.FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    monkeypatch.setattr(write, "runtime", lambda: folder)
    return folder


def litert(path: Path, *inputs: np.ndarray) -> np.ndarray:
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    for details, values in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(details["index"], values)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).copy()


def test_site_files_and_metadata(digits_export, packages, tmp_path):
    site = tmp_path / "site"
    metadata = demo.write_site(digits_export, site)
    assert json.loads((site / "network.json").read_text()) == metadata
    assert metadata["title"] == "LeNet-5"
    assert metadata["labels"] == list("0123456789")
    assert metadata["bytes"] == (site / "model.tflite").stat().st_size
    assert metadata["dataset"] == "scikit-learn's handwritten digits"
    pad = {"dark_on_light": False, "side": 28, "margin": 0, "brush": 10}
    assert metadata["drawing"] == {"subject": "a digit", **pad}
    assert (metadata["first_layer"], metadata["class_map"]) == ("c1", "s4")
    assert [one["label"] for one in metadata["samples"]["pictures"]] == list("0123456789")
    assert (site / "model.tflite").read_bytes() == (digits_export / "model.tflite").read_bytes()
    own = {path.name for path in write.PAGES.iterdir()}
    vendored = {f"litert/{name}" for name in runtime.FILES.values()}
    there = {str(p.relative_to(site)) for p in site.rglob("*") if p.is_file()}
    samples = {f"samples/{digit}.png" for digit in range(10)}
    written = {"model.tflite", "first_layer.tflite", "class_map.tflite", "network.json"}
    assert there == own | vendored | samples | written


def test_the_pages_name_no_other_host():
    pages = [path for path in write.PAGES.iterdir() if path.suffix in PLAIN_TEXT]
    assert {path.name for path in pages} >= {"index.html", "style.css", "app.js"}
    assert not [address for page in pages for address in addresses(page.read_text())]
    for name in runtime.PACKAGES:
        assert not addresses((Path(runtime.__file__).parent / name).read_text())


def test_first_layer_file_matches_keras(digits_export, packages, tmp_path):
    demo.write_site(digits_export, tmp_path / "site")
    image = np.random.default_rng(0).uniform(-0.1, 1.175, (1, 32, 32, 1)).astype("float32")
    model = keras.models.load_model(digits_export / "model.keras", compile=False)
    expected = keras.Model(model.input, model.get_layer("c1").output)(image)
    got = litert(tmp_path / "site" / "first_layer.tflite", image)
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "last"), [("lenet5_1998", "c1"), ("resnet20", "conv1_relu"), ("vgg9", "block1_conv1")]
)
def test_first_layer_ends_with_its_activation(name, last):
    arguments = {"input_shape": (32, 32, 3)} if name == "vgg9" else {}
    first = layers.first_layer(kc.get_model(name, **arguments))
    assert first.name.startswith(last)


def test_class_map_adds_up_to_the_score():
    model = kc.resnet20(classes=3)
    image = noise(2, 32, 32, 3).astype("float32") / 255
    bias = next(one.bias for one in model.layers if isinstance(one, keras.layers.Dense)).numpy()
    maps = layers.ClassMap(model)
    labels = [np.full(2, label) for label in range(3)]
    added = [maps((image, one)).numpy().sum((1, 2, 3)) + bias[one] for one in labels]
    np.testing.assert_allclose(keras.ops.softmax(np.transpose(added)), model(image), atol=1e-5)


def test_class_map_of_a_nested_network_with_dropout():
    backbone = kc.resnet20(include_top=False, pooling="avg")
    model = keras.Sequential(
        [keras.Input((32, 32, 3)), backbone, keras.layers.Dropout(0.5), keras.layers.Dense(3)]
    )
    maps = layers.ClassMap(model)((np.zeros((2, 32, 32, 3), "float32"), np.array([0, 2])))
    assert maps.shape == (2, 8, 8, 1)


@pytest.mark.parametrize(
    "name", ["lenet5_1998", pytest.param("vgg16_mini", marks=pytest.mark.slow)]
)
def test_class_map_file_is_hires_cam(name, tmp_path):
    model = kc.get_model(name)
    image = np.random.default_rng(0).uniform(0, 1, (1, *model.input_shape[1:])).astype("float32")
    write.write_class_map(layers.ClassMap(model), tmp_path / "map.tflite")
    for label in (0, 5):
        expected = explain.hires_cam(model, image, label)
        got = litert(tmp_path / "map.tflite", image, np.int32([label]))[..., 0]
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("model", "title"),
    [
        ("lenet5_1998", "LeNet-5 (1998)"),
        ("resnet20", "ResNet-20"),
        ("alexnet", "AlexNet"),
        ("alexnet_owt", "AlexNet (owt)"),
        ("my_net", "my_net"),
    ],
)
def test_title(model, title):
    assert write.title(model) == title


def test_the_model_and_data_set_may_come_from_the_run(digits_export, packages, tmp_path):
    export, run = tmp_path / "export", tmp_path / "run"
    shutil.copytree(digits_export, export)
    run.mkdir()
    shutil.move(export / "model.keras", run)
    with pytest.raises(UserError, match="Name the run that was exported: run=RUN_DIR"):
        demo.write_site(export, tmp_path / "site")
    change_manifest(export, origin={})
    (run / "result.json").write_text(json.dumps({**RESULT, "dataset": "mnist"}))
    metadata = demo.write_site(export, tmp_path / "site", run=run)
    assert metadata["dataset"] == "MNIST"
    assert metadata["drawing"]["margin"] == 4


def test_wrong_exports_are_refused(digits_export, packages, tmp_path):
    with pytest.raises(UserError, match="has no manifest.json. Export the network"):
        demo.write_site(tmp_path, tmp_path / "site")
    export = tmp_path / "export"
    shutil.copytree(digits_export, export)
    change_manifest(export, preprocessing={"layer": "Rescaling", "scale": 0.1})
    with pytest.raises(UserError, match="Received: lenet5 with Rescaling"):
        demo.write_site(export, tmp_path / "site")
    with pytest.raises(UserError, match="already exists"):
        demo.write_site(digits_export, export)
    assert not (tmp_path / "site").exists()


def test_a_missing_npm_is_an_error_with_the_way_out(digits_export, monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="npm is not installed. Install Node.js"):
        demo.write_site(digits_export, tmp_path / "site")
    assert not list(tmp_path.rglob("package.json"))


def test_the_error_of_npm_is_passed_on(digits_export, monkeypatch, tmp_path):
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error code ENOTFOUND' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(shutil, "which", lambda name: str(npm))
    with pytest.raises(UserError, match="Received: code ENOTFOUND. Try again with an internet"):
        demo.write_site(digits_export, tmp_path / "site")
    assert not list(tmp_path.rglob("package.json"))


def test_the_command_prints_one_line_for_a_wrong_export(run_program, tmp_path):
    command = ("-m", "keras_classics.cli", "demo", f"--export={tmp_path}", f"--out={tmp_path}/a")
    assert_one_line(run_program(*command), 2, "The demo needs an exported network.")


# The page's arithmetic, in Node.

CANVAS = [CanvasPreprocessing(channels=channels) for channels in (1, 3)]
IMAGE = [
    ImagePreprocessing(48, 48, mean=(123.68, 116.78, 103.94), std=(58.4, 57.1, 57.4)),
    ImagePreprocessing(40, 32, mean=(103.94, 116.78, 123.68), bgr=True),
    ImagePreprocessing(40, 38, mean=(127.5,) * 3, interpolation="bicubic"),
    ImagePreprocessing(8, 8, mean=np.arange(192.0).reshape(8, 8, 3).tolist()),
]
SHAPES = [(28, 28, 1), (8, 8, 1), (56, 21, 3), (5, 100, 3), (90, 61, 3), (1, 1, 3), (3, 400, 3)]

# Of these, grey in double precision is another integer than TensorFlow's.
HARD_TO_GREY = [(0, 112, 186), (48, 144, 192), (83, 69, 180), (119, 198, 113), (152, 103, 253)]


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype="uint8")


@needs_node
def test_javascript_prepares_as_python_does():
    images = [*(noise(*shape) for shape in SHAPES), photograph()[:200, 100:400]]
    cases = [(image, layer) for image in images for layer in (*CANVAS, *IMAGE)]
    for (image, layer), got in zip(cases, in_javascript(cases), strict=True):
        black, white = (layer(np.full_like(image, value)).numpy() for value in (0, 255))
        tolerance = 4e-5 * np.abs(white - black).max()
        np.testing.assert_allclose(got["input"], in_python(image, layer), atol=tolerance)


@needs_node
def test_javascript_gives_the_same_bits_where_nothing_is_resized():
    colours = np.resize(np.array(HARD_TO_GREY, "uint8"), (28, 28, 3))
    images = [(noise(28, 28, 3), CANVAS), (noise(28, 28, 1), CANVAS), (colours, CANVAS)]
    images += [(noise(layer.crop, layer.crop, 3), [layer]) for layer in (IMAGE[0], IMAGE[3])]
    cases = [(image, layer) for image, layers in images for layer in layers]
    for (image, layer), got in zip(cases, in_javascript(cases), strict=True):
        np.testing.assert_array_equal(np.float32(got["input"]), in_python(image, layer))


@needs_node
def test_only_dark_strokes_on_light_paper_have_a_light_edge():
    clothes = np.load(FASHION)["images"]
    assert (clothes.mean(axis=(1, 2, 3)) > 127).any()
    dark = [*clothes, photograph()[150:], np.zeros((1, 1, 3), "uint8")]
    light = [255 - clothes[0], np.full((1, 3, 3), 255, "uint8")]
    found = in_javascript([(image, CANVAS[0]) for image in [*dark, *light]])
    assert [result["light"] for result in found] == [False] * len(dark) + [True] * len(light)


def in_python(image: np.ndarray, layer: keras.layers.Layer) -> np.ndarray:
    return layer(image).numpy().ravel()


def in_javascript(cases: list[tuple[np.ndarray, keras.layers.Layer]]) -> list[dict]:
    """Prepares images by the page's code, all in one process."""
    done = subprocess.run(
        ["node", str(HERE / "prepare.mjs")],
        input=json.dumps([as_json(*case) for case in cases]),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def as_json(image: np.ndarray, layer: keras.layers.Layer) -> dict:
    height, width, _ = image.shape
    colours = np.broadcast_to(image, (height, width, 3))
    payload = {"width": width, "height": height, "channels": 3, "data": colours.ravel().tolist()}
    return {"image": payload, "settings": {"layer": type(layer).__name__, **layer.get_config()}}


# In a browser, with the real runtime.


@needs_browser
@pytest.mark.slow
def test_drawing_a_digit(browser, digits_export, tmp_path):
    site = tmp_path / "site"
    demo.write_site(digits_export, site)
    status = "return document.querySelector('#status').textContent"
    with served(site) as (address, _):
        browser.open(address)
        browser.draw("#pad", [[(0.6, 0.1), (0.6, 0.6), (0.6, 0.9)]])
        browser.wait_for(f"{status}.startsWith('1, ')")
        assert browser.run("return document.querySelectorAll('#maps canvas').length") == 6
        (tmp_path / "words.png").write_text("no image")
        browser.choose("#file", tmp_path / "words.png")
        browser.wait_for(f"{status}.includes('words.png is not an image')")
        browser.run("document.querySelector('#clear').click()")
        browser.wait_for(f"{status} === 'Nothing drawn yet.'")
        browser.run("document.querySelector('#samples button:nth-child(1)').click()")
        browser.wait_for(f"{status}.startsWith('0, ')")


@needs_browser
@pytest.mark.slow
def test_drawing_for_a_network_of_dark_strokes_on_light_paper(browser, digits_export, tmp_path):
    export = tmp_path / "export"
    shutil.copytree(digits_export, export)
    change_manifest(export, drawings="dark on light")
    demo.write_site(export, tmp_path / "site")
    with served(tmp_path / "site") as (address, _):
        browser.open(address)
        browser.draw("#pad", [[(0.3, 0.2), (0.7, 0.6)]])
        shown = "import('./app.js').then(({ shown }) => "
        browser.wait_for(f"return {shown}shown.prediction !== null)")
        seen = browser.run(f"return {shown}[...shown.prediction.seen.data])")
        box = np.reshape(seen, (32, 32))[2:-2, 2:-2]
        assert box[0, -1] == 255
        assert box[14, 14] < 10
