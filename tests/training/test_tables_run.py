"""A table trains to the bits of the folder with the same images in the same order."""

import numpy as np
import pytest

from keras_classics.data import load
from keras_classics.data.random_crops import ScaleJitter
from keras_classics.training import Recipe, train
from keras_classics.training.optimizer import Momentum
from keras_classics.training.schedules import Constant
from reproduce.harness.synthetic_images import generate
from tests.helpers.runs import assert_same_bits
from tests.helpers.tables import table, write


@pytest.fixture(scope="module")
def data_sets(tmp_path_factory) -> dict[str, str]:
    """Names of data sets of the same JPEG files: a folder, Parquet files, Arrow files."""
    root = tmp_path_factory.mktemp("images")
    folder = generate(root / "folder", 3, 8, 3, size=(60, 45))
    names = ("n00", "n01", "n02")
    for part in ("train", "validation"):
        paths = sorted((folder / part).rglob("*.jpg"))
        labels = [names.index(path.parent.name) for path in paths]
        made = table([path.read_bytes() for path in paths], labels, names)
        write(made, root / "shards" / f"{part}-00000-of-00001.parquet", row_group_size=5)
        write(made, root / "disk" / part / "data-00000-of-00001.arrow", "stream")
    return {
        "folder": f"folder:{folder}",
        "shards": f"parquet:{root / 'shards'}",
        "disk": f"parquet:{root / 'disk'}",
    }


def recipe(dataset: str) -> Recipe:
    values = {
        "name": "tables",
        "model": "lenet5",
        "model_arguments": {"input_shape": (32, 32, 3)},
        "dataset": dataset,
        "batch_size": 6,
        "optimizer": Momentum(momentum=0.9),
        "schedule": Constant(0.01),
        "epochs": 1,
        "preprocessing": "image",
        "preprocessing_arguments": {"resize": 40, "crop": 32, "std": (50, 50, 50)},
        "augmentation": ScaleJitter(32, 48, size=32),
    }
    return Recipe(**values)


def test_a_table_trains_to_the_same_bits(data_sets, tmp_path):
    for form in ("folder", "shards"):
        train(recipe(data_sets[form]), tmp_path / form)
    assert_same_bits(tmp_path / "folder", tmp_path / "shards")


def test_decoded_images_are_those_of_the_folder(data_sets):
    def resize(images):
        return images[:, :30, :30]

    folder, *tables = (load(name, resize=resize) for name in data_sets.values())
    for other in tables:
        assert folder.class_names == other.class_names
        for one, two in ((folder.train, other.train), (folder.test, other.test)):
            np.testing.assert_array_equal(one.images, two.images)
            np.testing.assert_array_equal(one.labels, two.labels)
