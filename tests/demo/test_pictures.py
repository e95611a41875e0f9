"""In a browser, the network gets each picture as `keras-classics predict` gives it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import keras_classics as kc
from keras_classics import demo
from keras_classics.data.image_files import decode
from keras_classics.export import export_model, load_exported
from keras_classics.export.exported import Exported
from keras_classics.export.source import preprocessing_of
from keras_classics.image_preprocessing import ImagePreprocessing
from tests.demo.pictures import has_light_edge, write_pictures
from tests.helpers.browser import Browser, needs_browser, served
from tests.helpers.exports import change_manifest, export_of_weights

# What resizing may change, in steps of a pixel: the order of its sums is not TensorFlow's.
RESIZED = 0.01

# Its side is that of one of the pictures, and of the class map's network.
SIDE = 48


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> list[Path]:
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def shapes_export(fashion_export, tmp_path_factory) -> Path:
    """The network of clothes, as if it were one of a folder of pictures."""
    export = tmp_path_factory.mktemp("shapes") / "export"
    shutil.copytree(fashion_export, export)
    change_manifest(export, origin={"trained_on": "folder:gone/shapes"}, drawings=None)
    return export


@pytest.fixture(scope="module")
def pixels_export(tmp_path_factory) -> Path:
    """The network of digits in a file that takes uint8 images."""
    return export_of_weights(tmp_path_factory.mktemp("pixels"), "lenet5", "digits", inputs="uint8")


@pytest.fixture(scope="module")
def photographs_export(tmp_path_factory) -> Path:
    export = tmp_path_factory.mktemp("photographs") / "export"
    preprocessing = ImagePreprocessing(
        SIDE, SIDE, mean=(103.94, 116.78, 123.68), std=(58.4, 57.1, 57.4), bgr=True
    )
    export_model(
        kc.resnet20(input_shape=(SIDE, SIDE, 3), classes=12),
        export,
        preprocessing=preprocessing,
        labels=[f"class {i}" for i in range(12)],
        formats=["tflite"],
    )
    return export


def predict_in_browser(browser: Browser, picture: Path) -> dict:
    """Chooses a picture on the page as a visitor does, and waits for the prediction."""
    browser.run("return import('./app.js').then((page) => { page.shown.prediction = null; })")
    browser.choose("#file", picture)
    browser.wait_for("return import('./app.js').then((page) => page.shown.prediction !== null)")
    return browser.run(
        "return import('./app.js').then(({ shown }) => ({"
        "  probabilities: [...shown.prediction.probabilities],"
        "  input: [...shown.prediction.input.data],"
        "  invert: document.querySelector('#invert').checked,"
        "  turned: !document.querySelector('#turned').hidden,"
        "  offered: !document.querySelector('#invert-row').hidden,"
        "  status: document.querySelector('#status').textContent,"
        "  bars: [...document.querySelectorAll('#classes data')].map((bar) => +bar.value),"
        "}))"
    )


def check_picture(
    browser: Browser, export: Path, loaded: Exported, picture: Path, drawings: bool
) -> None:
    """Compares the page with what `predict` does with the same file."""
    got = predict_in_browser(browser, picture)
    manifest = json.loads((export / "manifest.json").read_text())
    image = decode(tf.constant(picture.read_bytes())).numpy()
    assert got["offered"] == drawings
    assert got["turned"] == picture.name.startswith("orientation")
    assert got["invert"] == (drawings and has_light_edge(image))
    given = 255 - image if got["invert"] else image
    layer = preprocessing_of(manifest["preprocessing"])
    expected = layer(given).numpy()
    step = np.ptp(layer.normalize(np.array([[0.0] * 3, [255.0] * 3], "float32"))) / 255
    as_is = {image.shape[0], image.shape[1], SIDE if "photo" in export.parent.name else 28}
    tolerance = 0 if len(as_is) == 1 else RESIZED * step
    np.testing.assert_allclose(np.float32(got["input"]), expected.ravel(), rtol=0, atol=tolerance)
    encoded = tf.io.encode_png(given).numpy() if got["invert"] else picture.read_bytes()
    (probabilities,) = loaded.predict([encoded])
    np.testing.assert_allclose(got["probabilities"], probabilities, atol=1e-3)
    best = np.sort(got["probabilities"])[-len(got["bars"]) :]
    np.testing.assert_allclose(np.sort(got["bars"]), best, atol=1e-6)
    assert got["status"].startswith(manifest["output"]["labels"][np.argmax(got["probabilities"])])


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("network", ["digits", "fashion", "pixels", "shapes", "photographs"])
def test_the_network_gets_pictures_as_predict_gives_them(
    network, pictures, browser, tmp_path, request
):
    export = request.getfixturevalue(f"{network}_export")
    metadata = demo.write_site(export, tmp_path / "site")
    drawings = network in ("digits", "fashion", "pixels")
    assert bool(metadata["drawing"]) == drawings
    assert len(pictures) == 40
    loaded = load_exported(export / "model.tflite")
    with served(tmp_path / "site") as (address, asked):
        browser.open(address)
        failed = []
        for picture in pictures:
            try:
                check_picture(browser, export, loaded, picture, drawings)
            except AssertionError as error:
                failed.append(f"{picture.name}: {error}")
        assert not failed, "\n".join(failed)
        assert not [line for line in asked if not line.startswith(("200", "304"))]
        elsewhere = [url for url in browser.requests() if not url.startswith(address)]
        assert not elsewhere
        assert not browser.errors()
