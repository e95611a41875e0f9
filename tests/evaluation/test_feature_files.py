"""Files of features, and their places on a map."""

import csv
import json

import numpy as np
import pytest

from keras_classics.errors import UserError
from keras_classics.evaluation import StoredFeatures, project, write_features

NAMES = ["a,b.png", 'say "x".png', "new\nline.png", "back\rto.png", "caf\udce9.png", "é\u2028.png"]

ABOUT = {
    **dict.fromkeys(("dataset", "data_dir", "validation_share", "limit_train", "limit_test")),
    "model": "lenet5",
    "weights": "digits",
    "level": "pool",
    "digest": "0",
    "upright": False,
}


def rows(labels=("0", "1", "2", "3", "4")):
    """The last image cannot be used."""
    for number, (name, label) in enumerate(zip(NAMES, labels, strict=False)):
        line = {"image": name, "part": "train", "label": label, "class": f"class {label}"}
        yield line, np.full(3, number, "float32")
    yield {"image": NAMES[-1], "part": "test", "fault": "cannot be used: empty"}, None


def write(path, **options):
    write_features(path, rows(**options), len(NAMES), 3, ABOUT)
    return path


def test_files_of_features(tmp_path):
    path = write(tmp_path / "f.npy")
    features = np.load(path, mmap_mode="r", allow_pickle=False)
    assert (features.shape, features.dtype) == ((5, 3), np.float32)
    with open(tmp_path / "f.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [line["row"] for line in lines] == ["0", "1", "2", "3", "4", ""]
    assert lines[2]["image"] == NAMES[2]
    assert lines[-1]["fault"] == "cannot be used: empty"
    stored = StoredFeatures.open(path)
    assert isinstance(stored.features, np.memmap)
    np.testing.assert_array_equal(stored.features[:, 0], range(5))
    assert stored.images[:4] == tuple(NAMES[:4])
    assert stored.all_images[-1] == NAMES[-1]
    assert stored.row_classes[1] == "class 1"
    assert stored.numbers.tolist() == stored.labels.tolist() == [0, 1, 2, 3, 4]
    assert set(stored.parts) == {"train"}
    assert stored.about == ABOUT
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f.csv", "f.json", "f.npy"]


def test_images_without_a_label_of_their_own(tmp_path):
    several = write(tmp_path / "a.npy", labels=("0 1", "1", "", "3", "4"))
    assert StoredFeatures.open(several).labels is None


def test_an_interrupted_computation_leaves_nothing(tmp_path):
    def interrupted():
        yield from list(rows())[:3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_features(tmp_path / "out" / "f.npy", interrupted(), 6, 3, ABOUT)
    assert list((tmp_path / "out").iterdir()) == []


DAMAGE = {
    "none": (lambda p: p.unlink(), "cannot be read as features: No such file or directory."),
    "empty": (lambda p: p.write_bytes(b""), "cannot be read as features"),
    "text": (lambda p: p.write_text("text" * 100), "cannot be read as features"),
    "cut": (lambda p: p.write_bytes(p.read_bytes()[:-4]), "cannot be read as features"),
    "integers": (lambda p: np.save(p, np.zeros((5, 3), int)), "must hold features, float32"),
    "a vector": (lambda p: np.save(p, np.zeros(5, "float32")), "must hold features, float32"),
    "objects": (lambda p: np.save(p, np.array([{}])), "cannot be read as features"),
    "other rows": (lambda p: np.save(p, np.zeros((4, 3), "float32")), "5 rows for 4"),
    "no index": (lambda p: p.with_suffix(".csv").unlink(), "f.csv cannot be read"),
    "an index of others": (
        lambda p: p.with_suffix(".csv").write_text("a,b\n1,2\n"),
        "must have the columns row, image, part, label, class, fault.",
    ),
    "a cut index": (
        lambda p: p.with_suffix(".csv").write_text(p.with_suffix(".csv").read_text()[:60]),
        "f.csv",
    ),
    "no network": (lambda p: p.with_suffix(".json").unlink(), "f.json cannot be read"),
    "another network": (
        lambda p: p.with_suffix(".json").write_text(json.dumps({"model": 1})),
        "It lacks weights, level",
    ),
    "a list": (lambda p: p.with_suffix(".json").write_text("[]"), "It lacks model, weights"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_files(tmp_path, kind):
    damage, message = DAMAGE[kind]
    path = write(tmp_path / "f.npy")
    damage(path)
    with pytest.raises(UserError) as error:
        StoredFeatures.open(path)
    assert message in str(error.value)


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_a_map(method):
    labels = np.arange(60) % 3
    features = np.random.default_rng(0).normal(size=(60, 40)) + 9 * np.eye(3, 40)[labels]
    places = project(features, method)
    assert (places.shape, places.dtype) == ((60, 2), np.float32)
    np.testing.assert_array_equal(places, project(features, method))
    middles = np.array([places[labels == label].mean(0) for label in range(3)])
    distances = np.linalg.norm(places[:, np.newaxis] - middles, axis=2)
    np.testing.assert_array_equal(distances.argmin(1), labels)
    equal = np.ones((5, 4))
    for few in (features[:3], equal, np.concatenate([equal, equal[:1] * 2]), np.eye(9, 4) * 3e38):
        assert np.isfinite(project(few, method)).all()


@pytest.mark.parametrize(
    ("features", "method", "message"),
    [
        (np.zeros((2, 4)), "pca", "three images or more"),
        (np.zeros((9, 1)), "pca", "two channels or more"),
        (np.full((9, 4), np.nan), "tsne", "must be finite"),
        (np.zeros((9, 4)), "umap", "method must be pca or tsne. Received: umap"),
    ],
)
def test_what_has_no_map(features, method, message):
    with pytest.raises(UserError, match=message):
        project(features, method)
