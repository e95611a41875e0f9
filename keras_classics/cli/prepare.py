"""Converts files on this machine to a data set of TensorFlow Datasets.

keras-classics prepare --dataset=fashion_mnist --from=/usr/share/datasets/fashion-mnist
keras-classics prepare --dataset=cifar10 --from=cifar-10-python.tar.gz
"""

from absl import flags

from keras_classics.cli._dataset_flags import define_data_dir
from keras_classics.cli._paths import define_path
from keras_classics.data import importers

DATASET = flags.DEFINE_string(
    "dataset", None, "Name in TensorFlow Datasets, such as mnist or cifar10.", required=True
)
SOURCE = define_path(
    "from",
    None,
    "Files as their authors offer them: an archive, or a folder of its files, packed by gzip or "
    "not. MNIST and its like, EMNIST, CIFAR, SVHN and STL-10. Or an .npz file of keras.datasets, "
    "or Parquet or Arrow files.",
    required=True,
)
DATA_DIR = define_data_dir()


def main() -> None:
    """Writes the data set and prints its folder."""
    folder = importers.prepare(DATASET.value, SOURCE.value, DATA_DIR.value)
    print(f"{DATASET.value} is ready in {folder}")
