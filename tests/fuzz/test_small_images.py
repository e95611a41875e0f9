"""Changed archives of small images: images, or one line."""

import pytest
import tensorflow_datasets as tfds

from keras_classics.data import importers
from keras_classics.data.formats.small_images import read_format
from keras_classics.errors import UserError
from tests.fuzz.mutations import BYTES, drawn
from tests.helpers import small_image_files as written

PARTS = {
    part: written.images_and_labels(count, 32, 10) for part, count in (("train", 10), ("test", 2))
}
STL = {"train": written.images_and_labels(2, 96, 10), "test": written.images_and_labels(1, 96, 10)}

# Data set, its files, and the one that is changed. Archives have checksums, so what is in a plain
# one is changed before.
CASES = {
    "pickle": ("cifar10", written.cifar10_python(PARTS), "test_batch"),
    "pickle of Python 3": (
        "cifar10",
        written.cifar10_python(PARTS, written.python3_pickle),
        "test_batch",
    ),
    "names": ("cifar10", written.cifar10_python(PARTS), "batches.meta"),
    "rows": ("cifar10", written.cifar10_binary(PARTS), "test_batch.bin"),
    "MATLAB": ("svhn_cropped", written.svhn(PARTS), "test_32x32.mat"),
    "STL-10": ("stl10", written.stl10(STL), "test_y.bin"),
    "gzip": ("emnist/digits", written.emnist(PARTS, "digits"), "emnist-digits-test-images-"),
}
PACKED = {"tar": written.tar, "tar.gz": written.tar_gz, "zip": written.zipped}

SLOW = [range(first, first + 500) for first in range(0, 2000, 500)]
SEEDS = pytest.mark.parametrize(
    "seeds",
    [range(15), *(pytest.param(seeds, marks=pytest.mark.slow) for seeds in SLOW)],
    ids=lambda seeds: f"{seeds[0]} to {seeds[-1]}",
)


def images_or_one_line(dataset: str, path) -> None:
    builder = tfds.builder(dataset, data_dir=str(path.parent / "none"))
    try:
        found = read_format(path, importers._formats(builder))
        found.check(path, (32, 32, 3), {"label": 10})
        lines = ["images"]
    except UserError as error:
        lines = str(error).splitlines()
    assert len(lines) == 1


@SEEDS
@pytest.mark.parametrize("case", CASES)
def test_changed_files(case, tmp_path, seeds):
    dataset, files, changed = CASES[case]
    folder = written.unpack(files, tmp_path / "files")
    (path,) = folder.rglob(f"{changed}*")
    content = path.read_bytes()
    for seed in seeds:
        path.write_bytes(drawn(BYTES, content, seed)[1])
        images_or_one_line(dataset, path.parent)


@SEEDS
@pytest.mark.parametrize("form", PACKED)
def test_changed_archives(form, tmp_path, seeds):
    content = PACKED[form](written.cifar10_binary(PARTS))
    path = tmp_path / "archive"
    for seed in seeds:
        path.write_bytes(drawn(BYTES, content, seed)[1])
        images_or_one_line("cifar10", path)
