"""Changed .npz, Parquet and Arrow files of images: images, or one line."""

import io

import numpy as np
import pytest

from keras_classics.data import load, load_test
from keras_classics.errors import UserError
from tests.fuzz.mutations import BYTES, drawn
from tests.helpers.tables import table, write

RANDOM = np.random.default_rng(0)
ARRAYS = {
    "x_train": RANDOM.integers(0, 256, (20, 28, 28), "uint8"),
    "y_train": np.arange(20) % 10,
    "x_test": RANDOM.integers(0, 256, (6, 28, 28), "uint8"),
    "y_test": np.arange(6, dtype="uint8"),
    "class_names": np.array(list("abcdefghij")),
}
TABLE = table([RANDOM.bytes(90 + i) for i in range(12)], np.arange(12) % 3, ("cat", "dog", "owl"))

SEEDS = pytest.mark.parametrize(
    "seeds",
    [range(40), pytest.param(range(3000), marks=pytest.mark.slow)],
    ids=lambda seeds: f"{seeds[0]} to {seeds[-1]}",
)


@SEEDS
def test_changed_arrays(tmp_path, seeds):
    file = io.BytesIO()
    np.savez_compressed(file, **ARRAYS)
    path = tmp_path / "a.npz"
    for seed in seeds:
        path.write_bytes(drawn(BYTES, file.getvalue(), seed)[1])
        try:
            check(load(f"npz:{path}"))
            lines = ["the values"]
        except UserError as error:
            lines = str(error).splitlines()
        assert len(lines) == 1, seed


def check(data) -> None:
    """Every array has a checksum."""
    np.testing.assert_array_equal(data.train.images[..., 0], ARRAYS["x_train"])
    np.testing.assert_array_equal(data.train.labels, ARRAYS["y_train"])


@SEEDS
@pytest.mark.parametrize("form", ["parquet", "file", "stream"])
def test_changed_tables(tmp_path, form, seeds):
    content = write(TABLE, tmp_path / "whole", form).read_bytes()
    path = tmp_path / "a.parquet"
    for seed in seeds:
        path.write_bytes(drawn(BYTES, content, seed)[1])
        try:
            split, _ = load_test(f"parquet:{path}", encoded=True)
            kinds = {type(split.read(index)[1]) for index in range(len(split))}
            lines = [kind.__name__ for kind in kinds]
        except UserError as error:
            lines = str(error).splitlines()
        assert len(lines) == 1, seed
