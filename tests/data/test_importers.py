"""IDX files, whole and damaged."""

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_classics.data import importers
from keras_classics.data.formats.idx import read_idx
from keras_classics.errors import UserError
from tests.helpers.idx_files import (
    damage_count,
    damage_images,
    damage_labels,
    damage_shape,
    idx,
    remove_one,
    write_idx_set,
)


@settings(max_examples=30, deadline=None)
@given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=3), compressed=st.booleans())
def test_reads_what_was_written(shape, compressed, tmp_path_factory):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype="uint8")
    path = tmp_path_factory.mktemp("idx") / ("a.gz" if compressed else "a")
    path.write_bytes(gzip.compress(idx(array)) if compressed else idx(array))
    np.testing.assert_array_equal(read_idx(path), array)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_file_cut_anywhere_is_refused(data, tmp_path_factory):
    content = idx(np.zeros((3, 4, 4)))
    kept = data.draw(st.integers(0, len(content) - 1))
    path = tmp_path_factory.mktemp("idx") / "cut"
    path.write_bytes(content[:kept])
    with pytest.raises(UserError, match=r"cut short|not an IDX file"):
        read_idx(path)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"\x00\x00\x0d\x01" + b"\0" * 20)
    with pytest.raises(UserError, match="not an IDX file of unsigned bytes"):
        read_idx(path)
    path = tmp_path / "a.gz"
    path.write_bytes(b"not gzip")
    with pytest.raises(UserError, match="not an IDX file of unsigned bytes"):
        read_idx(path)
    path.write_bytes(gzip.compress(idx(np.zeros((9, 9))))[:-8])
    with pytest.raises(UserError, match="cannot be read"):
        read_idx(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_images, "cut short or damaged"),
        (damage_labels, "must be 0 to 9. Received: 10 at position 2"),
        (damage_count, "holds 6 images, but"),
        (damage_shape, "must hold images of"),
        (remove_one, "there is no t10k-images-idx3-ubyte"),
    ],
)
def test_a_damaged_set_leaves_nothing(tmp_path, damage, message):
    write_idx_set(tmp_path / "idx", train=20, test=6)
    damage(tmp_path / "idx")
    with pytest.raises(UserError, match=message):
        importers.prepare("mnist", tmp_path / "idx", str(tmp_path / "tfds"))
    assert not (tmp_path / "tfds" / "mnist").exists()


def test_sets_that_cannot_be_prepared(tmp_path):
    with pytest.raises(UserError, match="Unknown dataset 'mnits'. Did you mean mnist"):
        importers.prepare("mnits", tmp_path, str(tmp_path))
    with pytest.raises(UserError, match="must be of one size"):
        importers.prepare("imagenette", tmp_path, str(tmp_path))
