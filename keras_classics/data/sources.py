"""From the name of a data set to its images, labels and class names."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import tensorflow as tf

from keras_classics.data import image_files
from keras_classics.data.builders import prepared_builder, tensorflow_datasets
from keras_classics.data.folders import is_folder, load_folder
from keras_classics.data.image_size import limited
from keras_classics.data.packaged import is_packaged, load_packaged
from keras_classics.data.splits import AnySplit, FileSplit, RecordSplit, Split
from keras_classics.errors import UserError, short_reason

# Largest data set that is held in memory, as uint8.
MEMORY_LIMIT = 8 * 2**30

Resize = Callable[[tf.Tensor], tf.Tensor]


@dataclass(frozen=True)
class ImageData:
    """A data set for classification.

    Attributes:
        name: The name that it was loaded by.
        train: Images to train on.
        test: Images to evaluate on. Nothing is chosen by them.
        class_names: Name of each label.
        validation: Images held out of training, for choices, or None.
    """

    name: str
    train: AnySplit
    test: AnySplit
    class_names: tuple[str, ...]
    validation: AnySplit | None = None

    def of_classes(self, labels: Sequence[int]) -> "ImageData":
        """Returns only the images of some classes; their labels become 0, 1, ... in that order.

        Raises:
            UserError: If a class is unknown or named twice, or the labels are in TFRecord files.
        """
        known = range(len(self.class_names))
        if len(set(labels)) < len(labels) or not set(labels) <= set(known):
            raise UserError(
                f"Classes of {self.name} are labels from 0 to {len(known) - 1}, each once. "
                f"Received: {', '.join(map(str, labels))}."
            )
        splits = {}
        for part, split in (("train", self.train), ("test", self.test)):
            if isinstance(split, RecordSplit):
                raise UserError(
                    f"only_classes works with images in memory and with folder:PATH. "
                    f"Received: {self.name}, read from TFRecord files."
                )
            kept = split.take(np.flatnonzero(np.isin(split.labels, labels)))
            order = np.argsort(labels)
            renumbered = order[np.searchsorted(labels, kept.labels, sorter=order)]
            splits[part] = replace(kept, labels=renumbered.astype("int32"))
        return replace(self, **splits, class_names=tuple(self.class_names[i] for i in labels))

    def limited(self, train: int | None, test: int | None) -> "ImageData":
        """Returns the same data set with at most that many images. See `Split.limited`."""
        return replace(self, train=self.train.limited(train), test=self.test.limited(test))

    def holding_out(self, count: int) -> "ImageData":
        """Returns the same data set with `count` training images as its validation split.

        The choice depends only on the sizes.

        Raises:
            UserError: If no image would be left to train on.
        """
        if count >= len(self.train):
            raise UserError(
                f"validation must be less than the {len(self.train):,} training images. "
                f"Received: {count:,}."
            )
        order = np.random.default_rng(1).permutation(len(self.train))
        held, kept = np.sort(order[:count]), np.sort(order[count:])
        return replace(self, train=self.train.take(kept), validation=self.train.take(held))


def load(
    name: str, data_dir: str | None = None, resize: Resize | None = None, encoded: bool = False
) -> ImageData:
    """Loads a data set.

    Args:
        name: `digits` and `mnist_5000` (embedded, see `packaged.load_packaged`), `folder:PATH` for
            `PATH/{train,validation}/CLASS/*.jpg`, `folder_exif:PATH` for the same with images
            turned as their EXIF orientation says, or the name of an image classification set of
            TensorFlow Datasets, such as `fashion_mnist`.
        data_dir: Folder of TensorFlow Datasets, by default its own.
        resize: Resizes images, uint8 of shape (1, height, width, channels), to one size. Required
            for data sets whose images differ in size, unless `encoded`.
        encoded: Whether images stay encoded on disk and are read when needed, instead of being
            held in memory.

    Raises:
        UserError: If the data set is unknown, unavailable or malformed, or has one class alone.
    """
    if is_packaged(name) and encoded:
        raise UserError(
            f"{name} has no image files to decode crops from. Use folder:PATH, imagenet2012, or a "
            "recipe for small images."
        )
    splits, class_names = _loaded(name, ("train", "test"), data_dir, resize, encoded)
    if len(class_names) < 2:
        raise UserError(f"Training needs two classes. Received: {name}, with {len(class_names)}.")
    return ImageData(name, *splits, class_names)


def load_test(
    name: str, data_dir: str | None = None, resize: Resize | None = None, encoded: bool = False
) -> tuple[AnySplit, tuple[str, ...]]:
    """Loads only the split of a data set that networks are evaluated on.

    Args:
        name: See `load`. `folder:PATH` needs only PATH/validation/CLASS.
        data_dir: See `load`.
        resize: See `load`.
        encoded: See `load`. Packaged data sets are always in memory.

    Returns:
        Images and labels, and the name of each label.

    Raises:
        UserError: As for `load`.
    """
    (split,), class_names = _loaded(name, ("test",), data_dir, resize, encoded)
    return split, class_names


def _loaded(
    name: str, parts: Sequence[str], data_dir: str | None, resize: Resize | None, encoded: bool
) -> tuple[list[AnySplit], tuple[str, ...]]:
    """Loads some of the splits `train` and `test`, and the name of each label."""
    if is_packaged(name):
        splits, class_names = load_packaged(name, parts)
    elif is_folder(name):
        splits, class_names = _folder(name, parts, resize, encoded)
    else:
        splits, class_names = _tfds(name, parts, data_dir, resize, encoded)
    for part, split in zip(parts, splits, strict=True):
        _check_labels(name, part, split, len(class_names))
    return splits, tuple(map(_as_text, class_names))


def _as_text(name: str) -> str:
    """Returns a class name that files can hold: of bytes that are not UTF-8, the numbers."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _check_labels(name: str, part: str, split: AnySplit, classes: int) -> None:
    if not len(split):
        raise UserError(f"The {part} split of {name} is empty.")
    if isinstance(split, RecordSplit):
        # The labels are in the records, and TensorFlow Datasets has checked them.
        return
    low, high = split.labels.min(), split.labels.max()
    if low < 0 or high >= classes:
        raise UserError(
            f"Labels of {name} must be 0 to {classes - 1}. "
            f"Received: {low} to {high} in its {part} split."
        )


def _folder(
    name: str, parts: Sequence[str], resize: Resize | None, encoded: bool
) -> tuple[list[AnySplit], tuple[str, ...]]:
    splits, class_names = load_folder(name, parts)
    if encoded:
        return [*splits], class_names

    def in_memory(split: FileSplit) -> Split:
        images = (_decode(split, index) for index in range(len(split)))
        return Split(_same_size(images, resize, name), split.labels)

    return [in_memory(split) for split in splits], class_names


def _decode(split: FileSplit, index: int) -> tf.Tensor:
    try:
        name, encoded = split.read(index)
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read: {error.strerror}.") from error
    try:
        image = tf.io.decode_image(limited(encoded), expand_animations=False)
    except tf.errors.OpError as error:
        fault = image_files.fault_of(encoded, name)
        why = fault.fault if fault else "damaged"
        raise UserError(f"{name} cannot be decoded as an image: {why}.") from error
    # Grey or colour, without an alpha channel.
    return image[..., : 1 if image.shape[-1] < 3 else 3]


def _tfds(
    name: str, parts: Sequence[str], data_dir: str | None, resize: Resize | None, encoded: bool
) -> tuple[list[AnySplit], tuple[str, ...]]:
    tfds = tensorflow_datasets()
    builder = prepared_builder(tfds, name, data_dir, encoded)
    features = builder.info.features
    kinds = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    if not all(key in features and isinstance(features[key], kinds[key]) for key in kinds):
        raise UserError(
            f"{name} is not an image classification set: it has no 'image' and 'label'. "
            f"Received: {', '.join(features)}."
        )
    names = [_test_part(tfds, builder) if part == "test" else part for part in parts]
    missing = set(names) - set(builder.info.splits)
    if missing:
        raise UserError(f"{name} has no {' and no '.join(sorted(missing))} split.")
    if encoded:
        splits = [RecordSplit.of(builder, part) for part in names]
    else:
        splits = [_tfds_split(tfds, builder, part, resize, name) for part in names]
    return splits, tuple(features["label"].names)


def _test_part(tfds, builder) -> str:
    """Returns the split to test on: `validation` if there is no test split, or one without labels.

    ImageNet's test split has none. TensorFlow Datasets gives it the label -1.
    """
    if {"test", "validation"} <= set(builder.info.splits):
        first = tfds.as_numpy(builder.as_dataset(split="test[:1]"))
        return "validation" if any(row["label"] < 0 for row in first) else "test"
    return "test" if "test" in builder.info.splits else "validation"


def _tfds_split(tfds, builder, part: str, resize: Resize | None, name: str) -> Split:
    shape = builder.info.features["image"].shape
    one_size = None not in shape
    if not one_size and resize is not None:
        shape = resize(tf.zeros((1, 8, 8, shape[-1] or 3), tf.uint8)).shape[1:]
    count = builder.info.splits[part].num_examples
    if count * np.prod([side or 1 for side in shape], dtype=np.int64) > MEMORY_LIMIT:
        raise UserError(
            f"{name} has {count:,} images of {tuple(shape)} in its {part} split; decoded, they "
            f"must fit into {MEMORY_LIMIT // 2**30} GiB."
        )
    with _naming_damage(name, part):
        return _read_split(tfds, builder, part, resize, name, one_size)


@contextlib.contextmanager
def _naming_damage(name: str, part: str) -> Iterator[None]:
    """Turns TensorFlow's errors about damaged records into one that names the split."""
    try:
        yield
    except (tf.errors.OpError, UnicodeDecodeError) as error:
        raise UserError(
            f"The {part} split of {name} cannot be read: {short_reason(error)}. Prepare it again."
        ) from error


def _read_split(
    tfds: ModuleType, builder: Any, part: str, resize: Resize | None, name: str, one_size: bool
) -> Split:
    dataset = builder.as_dataset(split=part, shuffle_files=False)
    dataset = dataset.map(lambda row: (row["image"], row["label"]))
    if one_size:
        batches = list(tfds.as_numpy(dataset.batch(1024)))
        images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    else:
        labels = []

        def decoded() -> Iterable[np.ndarray]:
            for image, label in tfds.as_numpy(dataset):
                labels.append(label)
                yield image

        images = _same_size(decoded(), resize, name)
    return Split(images, np.asarray(labels, "int32"))


def _same_size(images: Iterable[tf.Tensor], resize: Resize | None, name: str) -> np.ndarray:
    """Resizes images by `resize`, rounds them to uint8 and stacks them."""
    stack, size = [], 0
    for image in images:
        if resize is not None:
            image = resize(tf.convert_to_tensor(image)[tf.newaxis])[0]
        stack.append(np.round(np.asarray(image)).astype("uint8"))
        size += stack[-1].nbytes
        if size > MEMORY_LIMIT:
            limit = f"{MEMORY_LIMIT // 2**30} GiB"
            raise UserError(f"Each split of {name}, decoded, must fit into {limit}.")
    if len({image.shape for image in stack}) > 1:
        raise UserError(f"The images of {name} differ in shape. Pass resize= to load them.")
    return np.stack(stack)
