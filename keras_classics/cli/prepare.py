"""Converts IDX files on this machine to a data set of TensorFlow Datasets.

keras-classics prepare --dataset=fashion_mnist --from_idx=/usr/share/datasets/fashion-mnist
"""

from pathlib import Path

from absl import flags

from keras_classics.cli._paths import define_path
from keras_classics.data.importers import prepare_from_idx

DATASET = flags.DEFINE_string(
    "dataset", None, "Name in TensorFlow Datasets, such as mnist or fashion_mnist.", required=True
)
FROM_IDX = define_path(
    "from_idx",
    None,
    "Folder of the four IDX files (train-images-idx3-ubyte and so on, with or without .gz).",
    required=True,
)
DATA_DIR = define_path("data_dir", None, "Folder of TensorFlow Datasets; its default if unset.")


def main() -> None:
    """Writes the data set and prints its folder."""
    folder = prepare_from_idx(DATASET.value, Path(FROM_IDX.value), DATA_DIR.value)
    print(f"{DATASET.value} is ready in {folder}")
