"""The generated set of JPEG files."""

import hashlib

import numpy as np
import pytest
import tensorflow as tf

from keras_classics.data.image_files import decode, faults
from keras_classics.errors import UserError

SIZE = (50, 38)


@pytest.fixture(scope="module")
def generate():
    from reproduce.harness.synthetic_images import generate

    return generate


@pytest.fixture(scope="module")
def small(generate, tmp_path_factory):
    """16 classes, so that hues count, of small images."""
    return generate(tmp_path_factory.mktemp("set") / "small", 16, 12, 6, size=SIZE)


def files_of(folder):
    return sorted(folder.rglob("*.jpg"))


def digest(folder):
    content = b"".join(path.read_bytes() for path in files_of(folder))
    return hashlib.sha256(content).hexdigest()


def test_has_the_form_of_imagenet(generate, tmp_path):
    folder = generate(tmp_path / "set", classes=3, train=20, validation=4)
    assert folder == tmp_path / "set"
    assert sorted(p.name for p in (folder / "train").iterdir()) == ["n00", "n01", "n02"]
    assert sorted(p.name for p in (folder / "validation").iterdir()) == ["n00", "n01", "n02"]
    assert len(files_of(folder / "train")) == 60
    assert len(files_of(folder / "validation")) == 12
    assert (folder / "train" / "n02" / "n02_00019.jpg").is_file()
    assert list(faults(files_of(folder))) == []
    shapes = [decode(tf.constant(path.read_bytes())).shape[:2] for path in files_of(folder)]
    assert 0.5 < shapes.count((375, 500)) / 72 < 0.8
    assert 0.1 < shapes.count((500, 375)) / 72 < 0.35
    assert len(set(shapes)) > 5
    assert 70_000 < np.mean([path.stat().st_size for path in files_of(folder)]) < 120_000


def test_the_same_seed_gives_the_same_bytes(generate, small, tmp_path):
    assert digest(generate(tmp_path / "again", 16, 12, 6, size=SIZE)) == digest(small)
    assert digest(generate(tmp_path / "other", 16, 12, 6, seed=1, size=SIZE)) != digest(small)
    # An image does not depend on how many there are.
    fewer = generate(tmp_path / "fewer", 16, 2, 1, size=SIZE)
    for path in files_of(fewer):
        assert path.read_bytes() == (small / path.relative_to(fewer)).read_bytes()


def test_no_image_is_there_twice(small):
    contents = {path.read_bytes() for path in files_of(small)}
    assert len(contents) == 16 * (12 + 6)


def test_classes_can_be_told_apart(small):
    def thumbnails(part):
        paths = files_of(small / part)
        images = [tf.image.resize(decode(tf.constant(p.read_bytes())), (6, 6)) for p in paths]
        return np.reshape(images, (len(paths), -1)), np.array([p.parent.name for p in paths])

    images, names = thumbnails("train")
    others, expected = thumbnails("validation")
    distances = np.square(others[:, np.newaxis] - images).sum(axis=-1)
    nearest = names[distances.argmin(axis=1)]
    assert np.mean(nearest == expected) > 0.6  # By chance 0.06.
    assert len(set(nearest)) == 16


def test_is_kept_where_it_is(generate, small):
    path = files_of(small)[0]
    before = path.stat().st_mtime_ns
    assert generate(small, 16, 12, 6, size=SIZE) == small
    assert path.stat().st_mtime_ns == before
    with pytest.raises(UserError, match="does not hold the images of"):
        generate(small, 16, 12, 6, seed=1, size=SIZE)


def test_whole_or_not_at_all(generate, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("reproduce.harness.synthetic_images._write", fail)
    with pytest.raises(OSError, match="No space left"):
        generate(tmp_path / "set", 2, 3, 1)
    assert list(tmp_path.iterdir()) == []
