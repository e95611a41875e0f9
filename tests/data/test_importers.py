"""IDX files, whole and damaged."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_classics.data import importers
from keras_classics.errors import UserError


def idx(array: np.ndarray) -> bytes:
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return head + array.astype("uint8").tobytes()


def write_idx_set(folder: Path, train: int, test: int, top_label: int = 9):
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    images, labels = {}, {}
    for part, count in (("train", train), ("test", test)):
        images[part] = random.integers(0, 256, (count, 28, 28), dtype="uint8")
        labels[part] = np.arange(count) % (top_label + 1)
        names = importers.IDX_FILES[part]
        (folder / names[0]).write_bytes(idx(images[part]))
        (folder / f"{names[1]}.gz").write_bytes(gzip.compress(idx(labels[part])))
    return images, labels


@settings(max_examples=30, deadline=None)
@given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=3), compressed=st.booleans())
def test_reads_what_was_written(shape, compressed, tmp_path_factory):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype="uint8")
    path = tmp_path_factory.mktemp("idx") / ("a.gz" if compressed else "a")
    path.write_bytes(gzip.compress(idx(array)) if compressed else idx(array))
    np.testing.assert_array_equal(importers.read_idx(path), array)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_file_cut_anywhere_is_refused(data, tmp_path_factory):
    content = idx(np.zeros((3, 4, 4)))
    kept = data.draw(st.integers(0, len(content) - 1))
    path = tmp_path_factory.mktemp("idx") / "cut"
    path.write_bytes(content[:kept])
    with pytest.raises(UserError, match=r"cut short|not an IDX file"):
        importers.read_idx(path)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"\x00\x00\x0d\x01" + b"\0" * 20)
    with pytest.raises(UserError, match="not an IDX file of unsigned bytes"):
        importers.read_idx(path)
    path = tmp_path / "a.gz"
    path.write_bytes(b"not gzip")
    with pytest.raises(UserError, match="cannot be read"):
        importers.read_idx(path)
    path.write_bytes(gzip.compress(idx(np.zeros((9, 9))))[:-8])
    with pytest.raises(UserError, match="cannot be read"):
        importers.read_idx(path)


def damage_images(folder):
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])


def damage_labels(folder):
    path = folder / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(idx(np.array([0, 1, 10, 3, 4, 5]))))


def damage_count(folder):
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.zeros(5))))


def damage_shape(folder):
    (folder / "t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((6, 27, 28))))


def remove_one(folder):
    (folder / "t10k-images-idx3-ubyte").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_images, "cut short or damaged"),
        (damage_labels, "must be 0 to 9. Received: 10 at position 2"),
        (damage_count, "holds 6 images, but"),
        (damage_shape, "must hold images of"),
        (remove_one, "holds neither t10k-images-idx3-ubyte nor"),
    ],
)
def test_a_damaged_set_leaves_nothing(tmp_path, damage, message):
    write_idx_set(tmp_path / "idx", train=20, test=6)
    damage(tmp_path / "idx")
    with pytest.raises(UserError, match=message):
        importers.prepare_from_idx("mnist", tmp_path / "idx", str(tmp_path / "tfds"))
    assert not (tmp_path / "tfds" / "mnist").exists()


def test_sets_that_cannot_be_prepared(tmp_path):
    with pytest.raises(UserError, match="Unknown dataset 'mnits'. Did you mean mnist"):
        importers.prepare_from_idx("mnits", tmp_path, str(tmp_path))
    with pytest.raises(UserError, match="not of MNIST's form"):
        importers.prepare_from_idx("imagenette", tmp_path, str(tmp_path))
