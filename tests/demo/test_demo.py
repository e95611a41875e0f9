"""The demo site: its files, and its predictions in a browser."""

import json
import shutil
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

import keras_classics as kc
from keras_classics import demo
from keras_classics.demo import runtime, write
from keras_classics.errors import UserError
from keras_classics.export import export_model
from keras_classics.image_preprocessing import CanvasPreprocessing, ImagePreprocessing
from keras_classics.weights import find_weights
from tests.helpers.browser import CHROMEDRIVER, CHROMIUM, Browser, addresses, served
from tests.helpers.images import photograph
from tests.helpers.programs import assert_one_line
from tests.helpers.runs import RESULT

HERE = Path(__file__).parent
FASHION = HERE.parent / "golden" / "fashion_mnist_sample.npz"
PLAIN_TEXT = {".html", ".css", ".js", ".json"}

needs_node = pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
needs_browser = pytest.mark.skipif(
    not (CHROMIUM and CHROMEDRIVER and shutil.which("npm")),
    reason="chromium, chromium-driver or npm is not installed",
)


def exported(folder: Path, name: str, weights: str) -> Path:
    record = find_weights(f"{name}/{weights}")
    model = kc.get_model(name, weights=weights)
    export_model(
        model,
        folder,
        preprocessing=record.preprocessing(),
        labels=record.labels,
        formats=["tflite"],
    )
    if not (folder / "model.keras").exists():
        model.save(folder / "model.keras")
    return folder


@pytest.fixture(scope="module")
def digits_export(tmp_path_factory) -> Path:
    return exported(tmp_path_factory.mktemp("digits") / "export", "lenet5", "digits")


@pytest.fixture(scope="module")
def fashion_export(tmp_path_factory) -> Path:
    return exported(tmp_path_factory.mktemp("fashion") / "export", "resnet20", "fashion_mnist")


@pytest.fixture
def packages(tmp_path, monkeypatch) -> Path:
    """A fake `node_modules` folder in place of the one that npm installs."""
    folder = tmp_path / "node_modules"
    for name in runtime.FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    monkeypatch.setattr(write, "runtime", lambda: folder)
    return folder


def litert(path: Path, image: np.ndarray) -> np.ndarray:
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).copy()


def test_site_files_and_metadata(digits_export, packages, tmp_path):
    site = tmp_path / "site"
    metadata = demo.write_site(digits_export, site, dataset="digits")
    assert json.loads((site / "network.json").read_text()) == metadata
    assert metadata["title"] == "LeNet-5"
    assert metadata["labels"] == list("0123456789")
    assert metadata["bytes"] == (site / "model.tflite").stat().st_size
    assert metadata["dataset"] == "scikit-learn's handwritten digits"
    assert metadata["drawing"] == {"side": 28, "margin": 0, "brush": 10}
    assert (site / "model.tflite").read_bytes() == (digits_export / "model.tflite").read_bytes()
    own = {path.name for path in write.PAGES.iterdir()}
    vendored = {f"litert/{name}" for name in runtime.FILES.values()}
    there = {str(p.relative_to(site)) for p in site.rglob("*") if p.is_file()}
    assert there == own | vendored | {"model.tflite", "first_layer.tflite", "network.json"}


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
    first = write.first_layer(kc.get_model(name, **arguments))
    assert first.name.startswith(last)


@pytest.mark.parametrize(
    ("model", "title"),
    [("lenet5_1998", "LeNet-5 (1998)"), ("resnet20", "ResNet-20"), ("my_net", "my_net")],
)
def test_title(model, title):
    assert write.title(model) == title


def test_the_model_and_data_set_may_come_from_the_run(digits_export, packages, tmp_path):
    export, run = tmp_path / "export", tmp_path / "run"
    shutil.copytree(digits_export, export)
    run.mkdir()
    shutil.move(export / "model.keras", run)
    with pytest.raises(UserError, match="Name the run that was exported: --run"):
        demo.write_site(export, tmp_path / "site")
    (run / "result.json").write_text(json.dumps({**RESULT, "dataset": "mnist"}))
    metadata = demo.write_site(export, tmp_path / "site", run=run)
    assert metadata["dataset"] == "MNIST"
    assert metadata["drawing"]["margin"] == 4


def test_wrong_exports_are_refused(digits_export, packages, tmp_path):
    with pytest.raises(UserError, match="has no manifest.json. Export the network"):
        demo.write_site(tmp_path, tmp_path / "site")
    export = tmp_path / "export"
    shutil.copytree(digits_export, export)
    manifest = json.loads((export / "manifest.json").read_text())
    manifest["preprocessing"] = {"layer": ImagePreprocessing.__name__}
    (export / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="Received: lenet5 with ImagePreprocessing"):
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


@needs_node
@pytest.mark.parametrize("shape", [(28, 28, 1), (8, 8, 1), (56, 21, 3), (5, 100, 3), (90, 61, 3)])
@pytest.mark.parametrize("channels", [1, 3])
def test_javascript_prepares_as_python_does(shape, channels):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype="uint8")
    np.testing.assert_allclose(
        in_javascript(image, channels), in_python(image, channels), atol=1e-4
    )


@needs_node
@pytest.mark.parametrize("channels", [1, 3])
def test_javascript_prepares_a_photograph(channels):
    image = photograph()
    np.testing.assert_allclose(
        in_javascript(image, channels), in_python(image, channels), atol=1e-4
    )


def check_prepared(image: np.ndarray, channels: int) -> None:
    expected = in_python(image, channels)
    np.testing.assert_allclose(in_javascript(image, channels), expected, atol=1e-4)


def in_python(image: np.ndarray, channels: int) -> np.ndarray:
    return CanvasPreprocessing(channels=channels)(image[np.newaxis]).numpy()[0]


def in_javascript(image: np.ndarray, channels: int) -> np.ndarray:
    height, width, _ = image.shape
    colours = np.broadcast_to(image, (height, width, 3))
    payload = {"width": width, "height": height, "channels": 3, "data": colours.ravel().tolist()}
    settings = CanvasPreprocessing(channels=channels).get_config()
    done = subprocess.run(
        ["node", str(HERE / "prepare.mjs")],
        input=json.dumps({"image": payload, "settings": settings}),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return np.reshape(json.loads(done.stdout), (32, 32, channels))


# In a browser, with the real runtime.


@pytest.fixture(scope="module")
def browser():
    window = Browser()
    yield window
    window.close()


def predict_in_browser(browser: Browser, image: Path) -> dict:
    """Chooses an image on the page as a visitor does, and waits for the prediction."""
    browser.run("return import('./app.js').then((page) => { page.shown.prediction = null; })")
    browser.choose("#file", image)
    browser.wait_for("return import('./app.js').then((page) => page.shown.prediction !== null)")
    return browser.run(
        "return import('./app.js').then(({ shown }) => ({"
        "  probabilities: [...shown.prediction.probabilities],"
        "  input: [...shown.prediction.input.data],"
        "  maps: [...shown.prediction.maps.data],"
        "  invert: document.querySelector('#invert').checked,"
        "  status: document.querySelector('#status').textContent,"
        "  bars: [...document.querySelectorAll('#classes data')].map((bar) => +bar.value),"
        "}))"
    )


def check_prediction(browser, site: Path, image: np.ndarray, folder: Path) -> None:
    """Compares the page's prediction for an image with LiteRT's in Python."""
    path = folder / "image.png"
    Image.fromarray(image.squeeze()).save(path)
    got = predict_in_browser(browser, path)
    assert got["invert"] == (image.mean() > 127)
    metadata = json.loads((site / "network.json").read_text())
    ready = in_python(255 - image if got["invert"] else image, metadata["input_shape"][-1])
    np.testing.assert_allclose(got["input"], ready.ravel(), atol=1e-4)
    expected = litert(site / "model.tflite", ready[np.newaxis])[0]
    np.testing.assert_allclose(got["probabilities"], expected, atol=1e-3)
    np.testing.assert_allclose(got["bars"], got["probabilities"], atol=1e-6)
    maps = litert(site / "first_layer.tflite", ready[np.newaxis])
    np.testing.assert_allclose(got["maps"], maps.ravel(), atol=1e-3)
    assert got["status"].startswith(metadata["labels"][expected.argmax()])


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("network", ["digits", "fashion"])
def test_the_browser_predicts_as_python_does(network, browser, few_digits, tmp_path, request):
    site = tmp_path / "site"
    demo.write_site(request.getfixturevalue(f"{network}_export"), site)
    small = few_digits.test.images if network == "digits" else np.load(FASHION)["images"]
    with served(site) as (address, asked):
        browser.open(address)
        for image in [*small[:5], 255 - small[5], photograph()]:
            check_prediction(browser, site, image, tmp_path)
        assert not [line for line in asked if not line.startswith(("200", "304"))]
        elsewhere = [url for url in browser.requests() if not url.startswith(address)]
        assert not elsewhere


@needs_browser
@pytest.mark.slow
def test_drawing_a_digit(browser, digits_export, tmp_path):
    site = tmp_path / "site"
    demo.write_site(digits_export, site, dataset="digits")
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
