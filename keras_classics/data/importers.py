"""Imports data sets from local files into the format that TensorFlow Datasets reads."""

from pathlib import Path

import tensorflow as tf

from keras_classics import files
from keras_classics.data.builders import find_builder, tensorflow_datasets
from keras_classics.data.idx import IDX_FILES, read_idx_split
from keras_classics.errors import UserError


def prepare_from_idx(dataset: str, from_idx: Path, data_dir: str | None = None) -> Path:
    """Converts the four IDX files of a data set in MNIST's format for TensorFlow Datasets.

    Afterwards the data set loads by its name as if TensorFlow Datasets had downloaded it. If it is
    there already, nothing happens.

    Args:
        dataset: Name in TensorFlow Datasets, such as `mnist` or `fashion_mnist`.
        from_idx: Folder of train-images-idx3-ubyte, train-labels-idx1-ubyte and the two of t10k,
            with or without .gz.
        data_dir: Folder of TensorFlow Datasets, by default its own.

    Returns:
        The folder of the prepared data set.

    Raises:
        UserError: If a file is missing or damaged, or images and labels do not match each other or
            the data set. Then nothing is written.
    """
    tfds = tensorflow_datasets()
    builder = find_builder(tfds, dataset, data_dir)
    target = Path(builder.data_dir)
    if target.exists():
        return target
    features = builder.info.features
    if set(features) != {"image", "label"} or None in features["image"].shape:
        raise UserError(f"{dataset} is not in MNIST's format (one image size, one label).")
    splits = {
        part: read_idx_split(from_idx, part, features["image"].shape, features["label"].num_classes)
        for part in IDX_FILES
    }
    with files.atomic_write(target) as aside:
        _store(tfds, builder, splits, aside)
    return target


def _store(tfds, builder, splits: dict, target: Path) -> None:
    """Writes the splits and moves the version's folder, which tfds names, to `target`."""
    target.mkdir()
    written = tfds.dataset_builders.store_as_tfds_dataset(
        name=builder.name,
        version=str(builder.version),
        data_dir=str(target),
        features=builder.info.features,
        split_datasets={
            part: tf.data.Dataset.from_tensor_slices({"image": images, "label": labels})
            for part, (images, labels) in splits.items()
        },
        disable_shuffling=True,
    )
    folder = Path(written.data_dir)
    for path in folder.iterdir():
        path.rename(target / path.name)
    files.remove(target / folder.relative_to(target).parts[0])
