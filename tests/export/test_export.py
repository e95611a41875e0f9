"""Exports, each in its own runtime."""

import hashlib
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import keras_classics as kc
from keras_classics import export
from keras_classics.errors import UserError, VerificationError
from keras_classics.images import CanvasPreprocessing

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


@pytest.fixture(scope="module", params=["lenet5", "lenet5_1998"])
def model(request) -> keras.Model:
    keras.utils.set_random_seed(0)
    return kc.get_model(request.param)


@pytest.fixture(scope="module")
def exported(model, few_digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "export"
    manifest = export.export_model(
        model,
        folder,
        preprocessing=CanvasPreprocessing(),
        labels=few_digits.class_names,
        images=few_digits.test.images,
    )
    return folder, manifest


def test_manifest(exported, model):
    folder, manifest = exported
    assert json.loads((folder / "manifest.json").read_text()) == manifest
    assert manifest["model"] == model.name
    assert manifest["labels"] == list("0123456789")
    assert manifest["input_shape"] == [32, 32, 1]
    assert manifest["preprocessing"]["background"] == -0.1
    assert set(manifest["exports"]) == {"saved_model", "model.tflite"}
    named = {}
    for content in manifest["exports"].values():
        assert content["agreement"]["images"] == 40
        assert content["agreement"]["max_difference"] <= 1e-4
        assert content["agreement"]["same_prediction"] == 1
        named.update(content["files"])
    there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert there == {*named, "manifest.json"}
    for name, about in named.items():
        content = (folder / name).read_bytes()
        assert about == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_signatures(exported, model, few_digits):
    folder, _ = exported
    loaded = tf.saved_model.load(str(folder / "saved_model"))
    images = few_digits.test.images[:7]
    ready = CanvasPreprocessing()(tf.constant(images))
    expected = model(ready).numpy()
    for name, arguments in {
        "serving_default": {"images": ready},
        "serve_images": {"images": tf.constant(images)},
        "serve_bytes": {"encoded": tf.stack([tf.io.encode_png(image) for image in images])},
    }.items():
        served = loaded.signatures[name](**arguments)
        np.testing.assert_allclose(served["probabilities"], expected, atol=1e-5)
        order = np.argsort(-expected, axis=1, kind="stable")[:, :5]
        np.testing.assert_array_equal(served["top_ids"], order)
        assert served["top_labels"].numpy().astype(str).tolist() == order.astype(str).tolist()


def test_plain_tensorflow_serves_png_and_jpeg_of_any_size(
    exported, model, few_digits, run_python, tmp_path
):
    folder, _ = exported
    image = np.repeat(np.repeat(few_digits.test.images[0], 5, axis=0), 5, axis=1)
    np.save(tmp_path / "image.npy", image)
    served = run_python(
        "-c", PLAIN_TENSORFLOW, str(folder / "saved_model"), str(tmp_path / "image.npy")
    )
    assert served.returncode == 0, served.stderr
    answer = np.load(tmp_path / "image.npy.npz")
    expected = model(CanvasPreprocessing()(image[np.newaxis])).numpy()[0]
    np.testing.assert_allclose(answer["images"][0], expected, atol=1e-5)
    np.testing.assert_allclose(answer["served"][0], expected, atol=1e-5)
    # JPEG loses a little.
    np.testing.assert_allclose(answer["served"][1], expected, atol=0.02)
    assert answer["top_labels"][0, 0] == str(expected.argmax())


def test_tflite_in_litert(exported, model, few_digits):
    folder, _ = exported
    interpreter = Interpreter(str(folder / "model.tflite"))
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert source["shape"].tolist() == [1, 32, 32, 1]
    assert source["dtype"] == np.float32
    image = CanvasPreprocessing()(few_digits.test.images[:1]).numpy()
    interpreter.set_tensor(source["index"], image)
    interpreter.invoke()
    got = interpreter.get_tensor(target["index"])
    np.testing.assert_allclose(got, model(image), atol=1e-5)
    operations = {operation["op_name"] for operation in interpreter._get_ops_details()}
    assert not {name for name in operations if name.startswith(("Flex", "CUSTOM"))}


class Shifted(CanvasPreprocessing):
    """A preprocessing that the exported network disagrees about: each call gives other images."""

    calls = 0.0

    def call(self, images):
        Shifted.calls += 1.0
        return super().call(images) + Shifted.calls


@pytest.mark.parametrize("formats", [["saved_model"], ["saved_model", "tflite"]])
def test_a_disagreement_leaves_nothing(model, few_digits, tmp_path, formats):
    with pytest.raises(VerificationError, match="disagrees with lenet5.* Nothing was left"):
        export.export_model(
            model,
            tmp_path / "export",
            preprocessing=Shifted(),
            labels=few_digits.class_names,
            images=few_digits.test.images,
            formats=formats,
        )
    assert not list(tmp_path.iterdir())


def test_wrong_arguments(model, few_digits, tmp_path):
    arguments = {
        "preprocessing": CanvasPreprocessing(),
        "labels": few_digits.class_names,
        "images": few_digits.test.images,
    }
    with pytest.raises(UserError, match="Unknown format 'tflight'. Did you mean tflite"):
        export.export_model(model, tmp_path / "a", formats=["tflight"], **arguments)
    with pytest.raises(UserError, match="has 10 classes. Received: 2 labels"):
        export.export_model(model, tmp_path / "a", **{**arguments, "labels": ["a", "b"]})
    with pytest.raises(UserError, match="Unknown quantization 'int7'"):
        export.tflite(
            model,
            tmp_path / "a.tflite",
            preprocessing=CanvasPreprocessing(),
            images=few_digits.test.images,
            quantize="int7",
        )
    (tmp_path / "there").mkdir()
    with pytest.raises(UserError, match="there already"):
        export.export_model(model, tmp_path / "there", **arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
