"""Sample pictures of the site."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_classics.demo import samples
from keras_classics.demo.datasets import kind_of_drawings, printed_name, training_data
from keras_classics.weights import find_weights
from tests.helpers.runs import RESULT

CLASSES = ("circle", "square")


@pytest.fixture
def shapes(tmp_path):
    """A folder of two classes; one of its files is damaged."""
    noise = np.random.default_rng(0).integers(0, 256, (30, 900, 3), dtype="uint8")
    for name in CLASSES:
        folder = tmp_path / "shapes" / "validation" / name
        folder.mkdir(parents=True)
        for number in range(7):
            exif = Image.Exif()
            exif[0x010E] = "where it was taken"
            Image.fromarray(noise[:, : 20 + 400 * number]).save(
                folder / f"{number}.jpg", exif=exif, quality=95
            )
    (folder / "0.jpg").write_bytes(b"damaged")
    return tmp_path / "shapes"


def test_samples_of_a_folder_are_small_and_say_nothing_of_the_camera(shapes, tmp_path):
    got = samples.write_samples(f"folder:{shapes}", CLASSES, tmp_path / "out")
    assert got["credit"] == "held-out pictures of the folder shapes"
    assert [one["label"] for one in got["pictures"]] == ["circle"] * 5 + ["square"] * 4
    for one in got["pictures"]:
        content = (tmp_path / "out" / one["file"]).read_bytes()
        assert b"where it was taken" not in content
        assert max(tf.io.decode_image(content).shape) <= samples.SIDE
        assert len(content) < 40_000


@pytest.mark.parametrize("dataset", [None, "folder:/not/here", "cifar10"])
def test_no_samples_are_downloaded(dataset, tmp_path, monkeypatch):
    unprepared = SimpleNamespace(data_path=tmp_path / "not here")
    monkeypatch.setattr(samples, "find_builder", lambda *_: unprepared)
    monkeypatch.setattr(samples, "tensorflow_datasets", lambda: None)
    got = samples.write_samples(dataset, CLASSES, tmp_path / "out")
    assert got == {"pictures": [], "credit": None}


@pytest.mark.parametrize("name", ["lenet5/digits", "resnet20/fashion_mnist"])
def test_packaged_samples_are_one_of_each_class(name, tmp_path):
    labels = find_weights(name).labels
    got = samples.write_samples(name.partition("/")[2], labels, tmp_path / "out")
    assert [one["label"] for one in got["pictures"]] == list(labels)


def test_a_network_of_some_classes_gets_samples_of_these(tmp_path):
    got = samples.write_samples("digits", ["3", "7"], tmp_path / "out")
    assert [one["label"] for one in got["pictures"]] == ["3"] * 5 + ["7"] * 5


def test_packaged_samples_have_a_credit_and_a_licence():
    folders = {path.name for path in samples.PACKAGED.iterdir() if path.is_dir()}
    assert folders == set(samples.CREDITS)
    readme = (samples.PACKAGED / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in folders)
    assert sum(path.stat().st_size for path in samples.PACKAGED.rglob("*.*")) < 64_000


@pytest.mark.parametrize(
    ("manifest", "dataset", "kind"),
    [
        ({"drawings": "light on dark"}, "folder:letters", "light on dark"),
        ({"drawings": "dark on light"}, None, "dark on light"),
        ({"drawings": None}, "folder:shapes", None),
        ({"drawings": None}, "imagenet", None),
        ({}, None, None),
        ({}, "mnist", "light on dark"),
    ],
)
def test_the_export_or_the_data_set_says_whether_there_are_drawings(manifest, dataset, kind):
    assert kind_of_drawings(manifest, dataset) == kind


def test_the_training_data_of_an_export_or_of_its_run(tmp_path):
    assert training_data({"origin": {}}, tmp_path) is None
    (tmp_path / "result.json").write_text(json.dumps({**RESULT, "dataset": "folder:a/b"}))
    assert training_data({"origin": {}}, tmp_path) == "folder:a/b"
    assert training_data({"origin": {"trained_on": "mnist"}}, tmp_path) == "mnist"


def test_the_site_does_not_name_folders_of_the_machine():
    assert printed_name("folder_exif:/home/me/my_images") == "the folder my_images"
    assert printed_name("imagenet") == "ImageNet"
    assert printed_name(None) is None
