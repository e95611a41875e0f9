"""Folders with a network in several formats."""

import hashlib
import json
import sys

import keras
import numpy as np
import pytest

import keras_classics as kc
from keras_classics import export
from keras_classics.errors import UserError, VerificationError
from keras_classics.export.card import facts_of_export
from keras_classics.image_preprocessing import CanvasPreprocessing
from keras_classics.weights.card import render
from tests.helpers.cards import accuracies, head


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return kc.lenet5(weights="digits")


@pytest.fixture(scope="module")
def common(few_digits) -> dict:
    return {
        "preprocessing": CanvasPreprocessing(),
        "labels": few_digits.class_names,
        "images": few_digits.test.images,
    }


@pytest.fixture(scope="module")
def exported(model, common, few_digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "export"
    manifest = export.export_model(
        model,
        folder,
        image_labels=few_digits.test.labels,
        calibration=few_digits.train.images,
        formats=export.FORMATS,
        quantize=["none", "int8"],
        **common,
    )
    return folder, manifest


def test_the_card_says_what_the_manifest_says(exported):
    folder, manifest = exported
    card = (folder / "README.md").read_text()
    # The images have no data set with a name, and the model says only what its user calls it.
    assert head(card) == {
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "tags": ["keras-classics", "onnx", "saved_model", "tflite"],
    }
    assert "## Citation" not in card
    measured = manifest["exports"]["model_int8.tflite"]["agreement"]["accuracy"]
    assert f"- `model_int8.tflite`: {100 * measured:.2f} % (`40 images, one view`)" in card

    origin = {"network": "lenet5", "weights": "digits", "dataset": "digits", "test_images": 360}
    card = render(facts_of_export({**manifest, "origin": origin}, CanvasPreprocessing()))
    assert head(card)["license"] == "apache-2.0"
    assert "@article{lecun1998gradient" in card
    assert "`40 of 360 images, one view`" in card
    agreements = {n: export["agreement"] for n, export in manifest["exports"].items()}
    expected = {("digits", name): a["accuracy"] for name, a in agreements.items()}
    expected["digits", "model.keras"] = agreements["model.onnx"]["model_accuracy"]
    record = kc.find_weights("lenet5/digits")
    expected["digits", "top-1 accuracy"] = pytest.approx(record.top1 / 100)
    assert accuracies(card) == expected

    origin = {"network": ["lenet5"], "arguments": 1, "dataset": {}, "trained_on": 2, "weights": []}
    card = render(facts_of_export({**manifest, "origin": origin}, CanvasPreprocessing()))
    assert head(card).keys() == {"library_name", "pipeline_tag", "tags"}


def test_manifest(exported):
    folder, manifest = exported
    assert json.loads((folder / "manifest.json").read_text()) == manifest
    assert manifest["model"] == "lenet5"
    assert manifest["output"]["labels"] == list("0123456789")
    assert manifest["input"]["shape"] == [None, 32, 32, 1]
    assert manifest["drawings"] == "light on dark"
    assert manifest["preprocessing"]["background"] == -0.1
    assert manifest["compared_on"] == {"images": 40, "source": "given", "labelled": True}
    assert manifest["machine"]["processors"] >= 1
    assert {"tensorflow", "keras", "ai-edge-litert", "onnx"} <= set(manifest["versions"])
    forms = {name: content["format"] for name, content in manifest["exports"].items()}
    assert forms == {
        "saved_model": "saved_model",
        "model.tflite": "tflite",
        "model_int8.tflite": "tflite",
        "model.onnx": "onnx",
        "model_int8.onnx": "onnx",
    }
    for content in manifest["exports"].values():
        assert content["agreement"]["images"] == 40
        assert content["agreement"]["model_accuracy"] == 0.975
        assert content["agreement"]["accuracy"] == 0.975
        assert content["latency"]["runs"] == 50
    float32, *quantized = (
        manifest["exports"][n] for n in ("model.tflite", "model_int8.tflite", "model_int8.onnx")
    )
    assert float32["quantize"] == "none"
    names = ("max_difference", "same_prediction", "accuracy_loss")
    assert float32["bound"] == dict(zip(names, (1e-4, None, None), strict=True))
    for int8 in quantized:
        assert int8["quantize"] == "int8"
        assert int8["bound"] == dict(zip(names, (None, 0.98, 0.02), strict=True))
        assert int8["calibration_images"] == 96


def test_every_file_is_named_with_its_hash(exported):
    folder, manifest = exported
    named = dict(manifest["keras"]["files"])
    for content in manifest["exports"].values():
        named.update(content["files"])
    there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert there == {*named, "manifest.json", "README.md"}
    for name, entry in named.items():
        content = (folder / name).read_bytes()
        assert entry == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_the_model_itself(exported, model, few_digits):
    folder, _ = exported
    loaded = keras.models.load_model(folder / "model.keras")
    images = CanvasPreprocessing()(few_digits.test.images[:4])
    np.testing.assert_allclose(loaded(images), model(images), atol=1e-6)


def test_images_are_generated_if_none_are_given(model, common, tmp_path):
    manifest = export.export_model(
        model, tmp_path / "export", formats=["tflite"], **{**common, "images": None}
    )
    assert manifest["compared_on"] == {
        "images": 32,
        "source": "generated, smooth patterns",
        "labelled": False,
    }
    assert manifest["exports"]["model.tflite"]["agreement"]["accuracy"] is None


@keras.saving.register_keras_serializable("tests")
class Shifted(CanvasPreprocessing):
    """A preprocessing that makes the export disagree: every call returns other images."""

    calls = 0.0

    def call(self, images):
        Shifted.calls += 1.0
        return super().call(images) + Shifted.calls


@pytest.mark.parametrize(
    "formats", [pytest.param(["saved_model"], marks=pytest.mark.slow), ["saved_model", "tflite"]]
)
def test_a_disagreement_leaves_nothing(model, common, tmp_path, formats, monkeypatch):
    # Far from its images the network answers the same to all.
    monkeypatch.setattr(Shifted, "calls", 0.0)
    with pytest.raises(VerificationError, match="disagrees with lenet5.* Nothing was written"):
        export.export_model(
            model,
            tmp_path / "export",
            formats=formats,
            **{**common, "preprocessing": Shifted()},
        )
    assert not list(tmp_path.iterdir())


def test_wrong_arguments(model, common, tmp_path):
    refused = {
        "Unknown format 'tflight'. Did you mean tflite": {"formats": ["tflight"]},
        "Unknown quantization 'int7'": {"quantize": ["none", "int7"]},
        "Name at least one of the formats .* Received: none": {"formats": []},
        "tflite needs at least one of the quantizations none, .*quantize=. Add": {"quantize": []},
        "needs calibration images": {"quantize": ["none", "int8"]},
        "needs 10 labels, one per class. Received: 2 labels": {"labels": ["a", "b"]},
    }
    for message, arguments in refused.items():
        with pytest.raises(UserError, match=message):
            export.export_model(model, tmp_path / "a", **{**common, **arguments})
    (tmp_path / "there").mkdir()
    with pytest.raises(UserError, match="already exists"):
        export.export_model(model, tmp_path / "there", **common)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_only_an_export_is_replaced(model, common, tmp_path):
    (tmp_path / "mine").write_text("a year of work")
    with pytest.raises(UserError, match="has no manifest.json"):
        export.export_model(model, tmp_path, formats=["tflite"], overwrite=True, **common)
    assert (tmp_path / "mine").read_text() == "a year of work"


@pytest.mark.parametrize(
    ("form", "module"),
    [("tflite", "ai_edge_litert.interpreter"), ("onnx", "onnx"), ("onnx", "onnxruntime")],
)
def test_without_the_extra(form, module, model, common, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=r"pip install 'keras-classics\[export\]'"):
        export.export_model(model, tmp_path / "export", formats=[form], **common)
    assert not list(tmp_path.iterdir())
