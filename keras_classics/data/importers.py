"""Imports data sets from local files into the format that TensorFlow Datasets reads."""

import contextlib
import hashlib
import io
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from keras_classics import files
from keras_classics.data.builders import IMPORTABLE, find_builder, tensorflow_datasets
from keras_classics.data.formats.cifar import CIFAR10_FORMATS, CIFAR100_FORMATS
from keras_classics.data.formats.idx import MNIST_FORMAT, idx_format
from keras_classics.data.formats.npz import is_npz, read_npz
from keras_classics.data.formats.parquet import files_of_parts, is_table
from keras_classics.data.formats.small_images import Format, SmallImages, read_format
from keras_classics.data.formats.stl10 import STL10_FORMATS
from keras_classics.data.formats.svhn import SVHN_FORMATS
from keras_classics.data.names import PARQUET
from keras_classics.data.sources import load
from keras_classics.data.splits import Split
from keras_classics.errors import UserError

logger = logging.getLogger(__name__)

# The formats in which their authors offer data sets of TensorFlow Datasets.
FORMATS = {
    "mnist": (MNIST_FORMAT,),
    "fashion_mnist": (MNIST_FORMAT,),
    "kmnist": (MNIST_FORMAT,),
    "cifar10": CIFAR10_FORMATS,
    "cifar100": CIFAR100_FORMATS,
    "svhn_cropped": SVHN_FORMATS,
    "stl10": STL10_FORMATS,
}

# Digits of the number in the column `id` of TensorFlow Datasets, which is `train_00000`.
ID_DIGITS = {"cifar10": 5, "cifar100": 5, "svhn_cropped": 6}

# SHA-256 of files that TensorFlow Datasets does not download. Keras does, and publishes them.
CHECKSUMS = {
    "cifar-10-python.tar.gz": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    "cifar-100-python.tar.gz": "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
    "mnist.npz": "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
}


def prepare(dataset: str, source: str | os.PathLike, data_dir: str | None = None) -> Path:
    """Converts files on this machine to a data set of TensorFlow Datasets.

    Afterwards the data set loads by its name as if TensorFlow Datasets had downloaded it, with its
    images in the order of the files. If it is there already, nothing happens. A warning names files
    that have the name of a published file and another checksum.

    Args:
        dataset: Name in TensorFlow Datasets: `mnist` and others in MNIST's format,
            `emnist/SPLIT`, `cifar10`, `cifar100`, `svhn_cropped` or `stl10`.
        source: The files as their authors offer them: an archive, or a folder of its files, packed
            by gzip or not. Or an `.npz` file, see `npz.read_npz`, or Parquet or Arrow files, see
            `parquet.load_parquet`.
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
    classes = _classes(tfds, builder)
    path = files.user_path(source)
    if not path.exists():
        raise UserError(f"{path} does not exist.")
    images = _read(builder, path)
    images.check(path, builder.info.features["image"].shape, classes)
    _name_classes(builder, images, path)
    # It prints that it downloads.
    with files.atomic_write(target) as aside, contextlib.redirect_stdout(io.StringIO()):
        _store(tfds, builder, images, aside)
    _warn_of_others(builder, path)
    if images.left_out:
        logger.warning("%s is prepared without %s.", dataset, images.left_out)
    return target


def _classes(tfds: ModuleType, builder: Any) -> dict[str, int]:
    """Returns the number of classes of each column of labels.

    Raises:
        UserError: If the data set has another form than these files.
    """
    features = builder.info.features
    labels = {
        name: feature.num_classes
        for name, feature in features.items()
        if isinstance(feature, tfds.features.ClassLabel)
    }
    others = set(features) - {"image", *labels} - ({"id"} if builder.name in ID_DIGITS else set())
    if others or "label" not in labels or None in features["image"].shape:
        raise UserError(
            f"{builder.name} cannot be prepared from files: its images must be of one size, with a "
            "label and nothing else."
        )
    return labels


def _read(builder: Any, path: Path) -> SmallImages:
    if is_npz(path):
        return read_npz(path)
    if is_table(path):
        return _of_tables(path)
    return read_format(path, _formats(builder))


def _of_tables(path: Path) -> SmallImages:
    """Decodes the images of Parquet or Arrow files.

    Raises:
        UserError: As for `parquet.load_parquet`, or if there are no files of both parts.
    """
    missing = [part for part in ("train", "test") if part not in files_of_parts(path)]
    if missing:
        raise UserError(
            f"{path} must be a folder with files of train and of test. There are none of "
            f"{' and '.join(missing)}."
        )
    data = load(f"{PARQUET}:{path}")
    splits = {
        part: {"image": split.images, "label": split.labels}
        for part, split in (("train", data.train), ("test", data.test))
        if isinstance(split, Split)
    }
    numbers = tuple(map(str, range(len(data.class_names))))
    return SmallImages(splits, {} if data.class_names == numbers else {"label": data.class_names})


def _formats(builder: Any) -> tuple[Format, ...]:
    """Returns the formats of a data set.

    Raises:
        UserError: If none is known.
    """
    if builder.name == "emnist":
        # Their images are stored transposed, here as in TensorFlow Datasets.
        split = f"emnist-{builder.builder_config.name}"
        return (idx_format({part: f"{split}-{part}-" for part in ("train", "test")}),)
    if builder.name not in FORMATS:
        raise UserError(
            f"{builder.name} can be prepared from an .npz or Parquet file alone. Of "
            f"{', '.join(IMPORTABLE)} the files of their authors are read too."
        )
    return FORMATS[builder.name]


def _name_classes(builder: Any, images: SmallImages, path: Path) -> None:
    """Gives the classes the names that files have, as TensorFlow Datasets does for CIFAR.

    Raises:
        UserError: If TensorFlow Datasets knows others: the files are of another data set.
    """
    for column, names in images.class_names.items():
        feature = builder.info.features[column]
        if feature.names == [str(label) for label in range(feature.num_classes)]:
            feature.names = list(names)
        elif [*map(_letters, feature.names)] != [*map(_letters, names)]:
            raise UserError(
                f"The classes of {builder.name} are {', '.join(feature.names)}. {path} has others: "
                f"{', '.join(names)}."
            )


def _letters(name: str) -> str:
    """Returns a name as it is compared: sites write `T-shirt/top` with spaces or without."""
    return "".join(filter(str.isalnum, name.lower()))


def _store(tfds: ModuleType, builder: Any, images: SmallImages, target: Path) -> None:
    """Writes the splits and moves the version's folder, which tfds names, to `target`."""
    target.mkdir()
    config = builder.builder_config
    written = tfds.dataset_builders.store_as_tfds_dataset(
        name=builder.name,
        version=str(builder.version),
        config=config.name if config else None,
        data_dir=str(target),
        features=builder.info.features,
        split_datasets={
            part: _examples(builder, part, columns) for part, columns in images.splits.items()
        },
        disable_shuffling=True,
    )
    folder = Path(written.data_dir)
    for path in folder.iterdir():
        path.rename(target / path.name)
    files.remove(target / folder.relative_to(target).parts[0])


def _examples(
    builder: Any, part: str, columns: Mapping[str, np.ndarray]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields the number of each image and its row."""
    digits = ID_DIGITS.get(builder.name)
    for index, image in enumerate(columns["image"]):
        row: dict[str, Any] = {"image": np.ascontiguousarray(image)}
        row |= {name: int(values[index]) for name, values in columns.items() if name != "image"}
        if digits is not None:
            row["id"] = f"{part}_{index:0{digits}d}"
        yield index, row


def _warn_of_others(builder: Any, path: Path) -> None:
    """Warns of files that have the name of a published one, and another content."""
    urls = builder.url_infos or {}
    published = {Path(url).name: info.checksum for url, info in urls.items()} | CHECKSUMS
    folder, names = (path, published) if path.is_dir() else (path.parent, [path.name])
    others = [
        name
        for name in names
        if name in published
        and (folder / name).is_file()
        and _sha256(folder / name) != published[name]
    ]
    if others:
        logger.warning(
            "%s: %s in %s differs from the published file of this name (its SHA-256 is another). "
            "The content was read all the same.",
            builder.name,
            " and ".join(others),
            folder,
        )


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
