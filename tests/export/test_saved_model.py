"""SavedModels, in TensorFlow."""

import base64
import io
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_classics as kc
from keras_classics import export
from keras_classics.image_preprocessing import CanvasPreprocessing, ImagePreprocessing
from tests.helpers.images import photograph

# Plain TensorFlow: neither Keras nor this package can be imported in that process.
PLAIN_TENSORFLOW = """
import sys
sys.modules["keras"] = sys.modules["keras_classics"] = None
import numpy as np
import tensorflow as tf

folder, image_path = sys.argv[1:]
loaded = tf.saved_model.load(folder)
image = np.load(image_path)
encoded = tf.stack([tf.io.encode_png(image), tf.io.encode_jpeg(image, quality=100)])
served = loaded.signatures["serve_bytes"](encoded=encoded)
images = loaded.signatures["serve_images"](images=image[None])
assert served["probabilities"].shape == (2, 10), served
np.savez(
    image_path + ".npz",
    served=served["probabilities"],
    images=images["probabilities"],
    top_ids=served["top_ids"],
    top_labels=served["top_labels"].numpy().astype(str),
)
"""


def saved(folder, model: keras.Model, preprocessing, labels, images=None):
    path = folder / "saved_model"
    export.saved_model(model, path, preprocessing=preprocessing, labels=labels, images=images)
    return path


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    return kc.lenet5_1998()


@pytest.fixture(scope="module")
def path(model, few_digits, tmp_path_factory):
    return saved(
        tmp_path_factory.mktemp("export"),
        model,
        CanvasPreprocessing(),
        few_digits.class_names,
        few_digits.test.images,
    )


@pytest.fixture(scope="module")
def signatures(path):
    loaded = tf.saved_model.load(str(path))
    # The signatures die with what they were loaded with.
    return dict(loaded.signatures) | {"keep": loaded}


@pytest.mark.parametrize("count", [1, 7])
def test_signatures(signatures, model, few_digits, count):
    images = few_digits.test.images[:count]
    ready = CanvasPreprocessing()(tf.constant(images))
    expected = model(ready).numpy()
    for name, arguments in {
        "serving_default": {"images": ready},
        "serve_images": {"images": tf.constant(images)},
        "serve_bytes": {"encoded": tf.stack([tf.io.encode_png(image) for image in images])},
    }.items():
        served = signatures[name](**arguments)
        np.testing.assert_allclose(served["probabilities"], expected, atol=1e-5)
        order = np.argsort(-expected, axis=1, kind="stable")[:, :5]
        np.testing.assert_array_equal(served["top_ids"], order)
        assert served["top_labels"].numpy().astype(str).tolist() == order.astype(str).tolist()


def test_every_weight_is_stored_once(path, model):
    size = (path / "variables" / "variables.data-00000-of-00001").stat().st_size
    assert 0 <= size - 4 * model.count_params() < 10_000


def test_plain_tensorflow_serves_png_and_jpeg_of_any_size(
    path, model, few_digits, run_python, tmp_path
):
    image = np.repeat(np.repeat(few_digits.test.images[0], 5, axis=0), 5, axis=1)
    np.save(tmp_path / "image.npy", image)
    served = run_python("-c", PLAIN_TENSORFLOW, str(path), str(tmp_path / "image.npy"))
    assert served.returncode == 0, served.stderr
    outputs = np.load(tmp_path / "image.npy.npz")
    expected = model(CanvasPreprocessing()(image[np.newaxis])).numpy()[0]
    np.testing.assert_allclose(outputs["images"][0], expected, atol=1e-5)
    np.testing.assert_allclose(outputs["served"][0], expected, atol=1e-5)
    # JPEG loses a little.
    np.testing.assert_allclose(outputs["served"][1], expected, atol=0.02)
    assert outputs["top_labels"][0, 0] == str(expected.argmax())


def encoded(image: np.ndarray, mode: str, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).convert(mode).save(file, kind)
    return file.getvalue()


IMAGE_KINDS = [("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "JPEG"), ("LA", "PNG"), ("RGBA", "PNG")]


@pytest.fixture(scope="module")
def colour(tmp_path_factory):
    """A network on colour, small, its preprocessing and its signature for files."""
    keras.utils.set_random_seed(0)
    model = kc.get_model("vgg16_mini", classes=3)
    fit = ImagePreprocessing(72, 64, (124, 116, 104), (58, 57, 57))
    path = saved(tmp_path_factory.mktemp("colour"), model, fit, ["cat", "dog", "häßlich"])
    return model, fit, tf.saved_model.load(str(path))


@pytest.mark.slow
def test_files_of_all_kinds_in_one_batch(colour):
    model, fit, loaded = colour
    photo = photograph()
    batch = [encoded(photo[:, : 200 + 50 * i], *kind) for i, kind in enumerate(IMAGE_KINDS)]
    served = loaded.signatures["serve_bytes"](encoded=tf.constant(batch))["probabilities"]
    assert served.shape == (len(batch), 3)
    for file, probabilities in zip(batch, served, strict=True):
        with Image.open(io.BytesIO(file)) as image:
            grey = image.mode in ("L", "LA")
            image = np.asarray(image.convert("L" if grey else "RGB"))
        image = image[..., np.newaxis] if grey else image
        expected = model(fit(image[np.newaxis]))[0]
        # Pillow brings CMYK to RGB by another rule.
        np.testing.assert_allclose(probabilities, expected, atol=1e-3)


def test_files_that_cannot_be_decoded_are_named(colour, signatures):
    _, _, loaded = colour
    good = encoded(photograph(), "RGB", "JPEG")
    png = encoded(photograph(), "RGB", "PNG")
    for batch, numbers in {
        (good, b"no image", png): r"\[1\]",
        (good[:5000],): r"\[0\]",
        (png[:5000], good, b""): r"\[0 2\]",
    }.items():
        for served in (loaded.signatures, signatures):
            with pytest.raises(
                tf.errors.InvalidArgumentError,
                match=f"Not a JPEG, PNG, GIF or BMP file .* counted from 0:. {numbers}",
            ):
                served["serve_bytes"](encoded=tf.constant(list(batch)))


def served_by_rest(loaded, request: str) -> dict:
    """What TensorFlow Serving makes of a request, with the signature that the request names.

    The server itself is not run. Of a signature with one input an instance is its value, and the
    values of all instances are one tensor; a `b64` object stands for bytes. Answers are put
    together again by instance.
    """
    asked = json.loads(request)
    signature = loaded.signatures[asked["signature_name"]]
    (name,) = signature.structured_input_signature[1]
    values = [
        base64.b64decode(value["b64"]) if isinstance(value, dict) else value
        for value in asked["instances"]
    ]
    outputs = signature(**{name: tf.constant(values)})
    rows = {key: value.numpy().tolist() for key, value in outputs.items()}
    return {
        "predictions": [
            dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)
        ]
    }


def test_a_request_to_tensorflow_serving(colour):
    model, fit, loaded = colour
    file = encoded(photograph(), "RGB", "PNG")
    instance = {"b64": base64.b64encode(file).decode()}
    request = json.dumps({"signature_name": "serve_bytes", "instances": [instance, instance]})
    predictions = served_by_rest(loaded, request)["predictions"]
    assert len(predictions) == 2
    expected = model(fit(photograph()[np.newaxis])).numpy()[0]
    np.testing.assert_allclose(predictions[1]["probabilities"], expected, atol=1e-5)
    order = np.argsort(-expected, kind="stable")
    assert predictions[0]["top_ids"] == order.tolist()
    names = np.array(["cat", "dog", "häßlich"])[order]
    assert [label.decode() for label in predictions[0]["top_labels"]] == names.tolist()
