"""The cards of converted files."""

import keras
import pytest

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.export import onnx
from keras_classics.models import conversion, conversion_proof
from keras_classics.models.citations import BIBTEX, citation
from keras_classics.models.conversion import convert_weights
from keras_classics.models.registry import all_models
from keras_classics.weights.formats import hdf5, torchvision
from tests.helpers.cards import accuracies, head

RECORD = kc.find_weights("resnet20/fashion_mnist")


def test_known_weights_are_known_by_their_hash(tmp_path):
    convert_weights(RECORD.fetch(), "resnet20", tmp_path / "a.weights.h5")
    card = (tmp_path / "a.weights.h5.md").read_text()
    said = head(card)
    assert said["license"] == "apache-2.0"
    assert said["datasets"] == ["fashion_mnist"]
    assert said["tags"] == ["keras-classics", "resnet20"]
    (value,) = accuracies(card).values()
    assert value == pytest.approx(RECORD.top1 / 100, abs=1e-9)
    for text in (RECORD.origin, RECORD.protocol, "Ankle boot", "CanvasPreprocessing", "@inproc"):
        assert text in card


def test_no_accuracy_without_the_top_or_of_another_network(monkeypatch, tmp_path):
    hdf5.write(kc.resnet20(include_top=False), tmp_path / "trunk.weights.h5", None)
    monkeypatch.setattr(conversion, "record_of_file", lambda file, networks: RECORD)
    for source, task, arguments in [
        (tmp_path / "trunk.weights.h5", "image-feature-extraction", {"include_top": False}),
        (RECORD.fetch(), "image-classification", {"version": "v1.5"}),
    ]:
        convert_weights(source, "resnet20", tmp_path / f"{task}.weights.h5", **arguments)
        card = (tmp_path / f"{task}.weights.h5.md").read_text()
        said = head(card)
        assert said["pipeline_tag"] == task
        assert said["license"] == "apache-2.0"
        assert "model-index" not in said
        assert "## Results" not in card
        assert ("Ankle boot" in card) == (task == "image-classification")


def test_of_a_file_of_unknown_origin_nothing_is_claimed(tmp_path):
    small = {"filters": (4,) * 5, "hidden": (8, 8), "classes": 3, "input_shape": (32, 32, 3)}
    torchvision.write(kc.vgg11(**small), tmp_path / "mine.safetensors", None)
    target = tmp_path / "back.safetensors"
    convert_weights(tmp_path / "mine.safetensors", "vgg11", target, "torchvision", **small)
    card = (tmp_path / "back.safetensors.md").read_text()
    assert head(card) == {
        "library_name": "torchvision",
        "pipeline_tag": "image-classification",
        "tags": ["keras-classics", "vgg11"],
    }
    assert "mine.safetensors" in card
    for title in ("licence", "## Results", "## Preprocessing", "## Classes"):
        assert title not in card


def test_every_network_has_its_paper():
    assert {entry.paper for entry in all_models()} <= BIBTEX.keys()
    for paper, text in BIBTEX.items():
        authors, _, title = paper.rpartition(", ")[0].partition(": ")
        assert f"{{{title}}}" in text.replace("{ImageNet}", "ImageNet")
        assert all(f"{author}, " in text for author in authors.split(", "))
    assert "Identity Mappings" in citation("resnet50", {"version": "v2_keras"})
    assert "Deep Residual" in citation("resnet50", {"version": "v1.5"})


# The proof.


@pytest.fixture(scope="module")
def in_onnx(tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "lenet5.onnx"
    onnx(kc.lenet5(weights="digits"), path)
    return path


def test_outputs_are_compared_in_the_library_of_the_file(in_onnx, tmp_path):
    target = tmp_path / "a.weights.h5"
    converted = convert_weights(in_onnx, "lenet5", target)
    (proof,) = converted.proof
    assert proof.library.startswith("ONNX Runtime 1.")
    assert proof.difference < 1e-5
    assert str(proof) in (tmp_path / "a.weights.h5.md").read_text()


def test_other_outputs_leave_no_file(in_onnx, tmp_path, monkeypatch):
    def other(*arguments):
        answers, ours = onnxruntime(*arguments)
        return lambda image: answers(image) + 0.01, ours

    onnxruntime = conversion_proof._onnxruntime
    monkeypatch.setattr(conversion_proof, "_onnxruntime", other)
    with pytest.raises(UserError, match="must equal those of ONNX Runtime"):
        convert_weights(in_onnx, "lenet5", tmp_path / "a.weights.h5")
    assert not list(tmp_path.iterdir())


def test_what_is_not_installed_is_not_compared(in_onnx, tmp_path, monkeypatch):
    def require(module, extra):
        raise UserError(f"The module {module} is needed")

    monkeypatch.setattr(conversion_proof, "require", require)
    converted = convert_weights(in_onnx, "lenet5", tmp_path / "a.weights.h5")
    said = "not compared with ONNX Runtime: onnxruntime is missing"
    assert list(map(str, converted.proof)) == [said]
    assert said in (tmp_path / "a.weights.h5.md").read_text()


@pytest.mark.slow
def test_a_file_of_keras_applications_is_compared_there(tmp_path):
    theirs = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    theirs.save(tmp_path / "theirs.h5")
    converted = convert_weights(
        tmp_path / "theirs.h5", "vgg16", tmp_path / "a.weights.h5", include_top=False
    )
    (proof,) = converted.proof
    assert proof.library.startswith("keras.applications 3.")
    assert proof.difference < 1e-5
