"""From the name of a data set to its images, labels and class names."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from keras_classics.data import names
from keras_classics.data.builders import prepared_builder, tensorflow_datasets
from keras_classics.data.folders import load_folder
from keras_classics.data.formats.npz import load_npz
from keras_classics.data.formats.parquet import load_parquet
from keras_classics.data.image_size import limited
from keras_classics.data.lists import load_list
from keras_classics.data.multilabel import load_multilabel
from keras_classics.data.names import NPZ, form_of, is_upright, path_of
from keras_classics.data.packaged import is_packaged, load_packaged
from keras_classics.data.records import RecordSplit
from keras_classics.data.splits import MEMORY_LIMIT, AnySplit, EncodedSplit, Split
from keras_classics.data.tf_options import as_written
from keras_classics.data.unreadable import naming_unreadable
from keras_classics.errors import UserError, short_reason

# Images that are decoded at a time.
DECODERS = 4
# Images of one size that are handed on together.
BATCH = 1024

# Forms of data sets on this machine.
LOADERS = {
    names.FOLDER: load_folder,
    names.LIST: load_list,
    names.NPZ: load_npz,
    names.PARQUET: load_parquet,
    names.MULTILABEL: load_multilabel,
}

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
            UserError: If a class is unknown or named twice.
        """
        if self.train.multilabel:
            raise UserError(
                f"only_classes needs one label for each image. Received: {self.name}, whose images "
                "have several. Remove columns of the table instead."
            )
        known = range(len(self.class_names))
        if len(set(labels)) < len(labels) or not set(labels) <= set(known):
            raise UserError(
                f"Classes of {self.name} are labels from 0 to {len(known) - 1}, each once. "
                f"Received: {', '.join(map(str, labels))}."
            )
        splits = {}
        for part, split in (("train", self.train), ("test", self.test)):
            kept = split.take(np.flatnonzero(np.isin(split.labels, labels)))
            splits[part] = _renumbered(kept, labels)
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
    name: str,
    data_dir: str | None = None,
    resize: Resize | None = None,
    encoded: bool = False,
    validation_share: float | None = None,
    class_names: Sequence[str] | None = None,
) -> ImageData:
    """Loads a data set.

    Args:
        name: `digits` and `mnist_5000` (embedded, see `packaged.load_packaged`), `folder:PATH` for
            a folder, tar or zip archive of images (see `folders.load_folder`), `list:PATH` for a
            list of image files (see `lists.load_list`), `multilabel:PATH` for a table of image
            files with any number of labels each (see `multilabel.load_multilabel`),
            `parquet:PATH` for tables of images (see `parquet.load_parquet`), `folder_exif:PATH`
            and the like for the same with images turned as their EXIF orientation says,
            `npz:PATH` for arrays (see `npz.read_npz`), or the name of an image classification set
            of TensorFlow Datasets, such as `fashion_mnist`.
        data_dir: Folder of TensorFlow Datasets, by default its own.
        resize: Resizes images, uint8 of shape (1, height, width, channels), to one size. Required
            for data sets whose images differ in size, unless `encoded`.
        encoded: Whether images stay encoded on disk and are read when needed, instead of being
            held in memory.
        validation_share: Of a folder or list without a test part: the fraction of the images that
            is held out for it, 0 to 1; `parts.VALIDATION_SHARE` if None.
        class_names: All classes in the order of their labels, by default that of the data set.

    Raises:
        UserError: If the data set is unknown, unavailable or malformed, or has one class alone.
    """
    if encoded and (is_packaged(name) or form_of(name) == NPZ):
        raise UserError(
            f"{name} has no image files to decode crops from. Use folder:PATH, imagenet2012, or a "
            "recipe for small images."
        )
    splits, names = _loaded(
        name, ("train", "test"), data_dir, resize, encoded, validation_share, class_names
    )
    if len(names) < 2:
        raise UserError(f"Training needs two classes. Received: {name}, with {len(names)}.")
    return ImageData(name, *splits, names)


def load_test(
    name: str,
    data_dir: str | None = None,
    resize: Resize | None = None,
    encoded: bool = False,
    validation_share: float | None = None,
    class_names: Sequence[str] | None = None,
) -> tuple[AnySplit, tuple[str, ...]]:
    """Loads only the split of a data set that networks are evaluated on.

    Args:
        name: See `load`. A folder needs no training images.
        data_dir: See `load`.
        resize: See `load`.
        encoded: See `load`. Packaged data sets are always in memory.
        validation_share: See `load`. If None, all images of a folder or list without parts.
        class_names: See `load`.

    Returns:
        Images and labels, and the name of each label.

    Raises:
        UserError: As for `load`.
    """
    (split,), names = _loaded(
        name, ("test",), data_dir, resize, encoded, validation_share, class_names
    )
    return split, names


def _loaded(
    name: str,
    parts: Sequence[str],
    data_dir: str | None,
    resize: Resize | None,
    encoded: bool,
    share: float | None,
    wanted: Sequence[str] | None,
) -> tuple[list[AnySplit], tuple[str, ...]]:
    """Loads some of the splits `train` and `test`, and the name of each label."""
    form = form_of(name)
    if share is not None and form not in LOADERS:
        known = " and ".join(f"{form}:PATH" for form in LOADERS)
        raise UserError(f"validation_share is for {known}. Received: {name}. Leave it out.")
    if share is not None and not 0 < share < 1:
        raise UserError(f"validation_share must be between 0 and 1. Received: {share}.")
    splits: list[AnySplit]
    if form is not None:
        splits, class_names = LOADERS[form](
            path_of(name), parts, exif=is_upright(name), share=share
        )
    elif is_packaged(name):
        splits, class_names = load_packaged(name, parts)
    else:
        splits, class_names = _tfds(name, parts, data_dir, encoded)
    class_names = tuple(map(_as_text, class_names))
    for part, split in zip(parts, splits, strict=True):
        _check_labels(name, part, split, len(class_names))
    if wanted is not None:
        order = _order(name, class_names, wanted)
        splits = [_renumbered(split, order) for split in splits]
        class_names = tuple(wanted)
    if not encoded:
        splits = [
            _in_memory(split, resize, name, part) for part, split in zip(parts, splits, strict=True)
        ]
    return splits, class_names


def _as_text(name: str) -> str:
    """Returns a class name that files can hold: of bytes that are not UTF-8, the numbers."""
    return os.fsencode(name).decode(errors="backslashreplace")


def _check_labels(name: str, part: str, split: AnySplit, classes: int) -> None:
    if not len(split):
        raise UserError(f"The {part} split of {name} is empty.")
    if isinstance(split, RecordSplit) or split.multilabel:
        # The labels are in the records, and TensorFlow Datasets has checked them; or they are 0 and
        # 1, from a table.
        return
    low, high = split.labels.min(), split.labels.max()
    if low < 0 or high >= classes:
        raise UserError(
            f"Labels of {name} must be 0 to {classes - 1}. "
            f"Received: {low} to {high} in its {part} split."
        )


def _order(name: str, class_names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Returns the labels of classes in another order.

    Raises:
        UserError: If the two are not the same classes, each once.
    """
    if sorted(class_names) != sorted(wanted):
        other = [f"lacks {c}" for c in class_names if c not in set(wanted)]
        other += [f"has {c}" for c in wanted if c not in set(class_names)]
        raise UserError(
            f"class_names must be the {len(class_names):,} classes of {name}, each once. Received: "
            f"{len(wanted):,}; it {other[0] if other else 'names one twice'}."
        )
    return [class_names.index(class_name) for class_name in wanted]


def _renumbered(split: AnySplit, order: Sequence[int]) -> AnySplit:
    """Returns a split whose label `order[i]` has become i."""
    if split.multilabel:
        return split.relabelled(split.labels[:, order])
    by_label = np.argsort(order)
    places = np.searchsorted(order, split.labels, sorter=by_label)
    return split.relabelled(by_label[places].astype("int32"))


def _in_memory(split: AnySplit, resize: Resize | None, name: str, part: str) -> Split:
    """Decodes all images of a split, and resizes them to one size."""
    if isinstance(split, Split):
        return split
    if isinstance(split, RecordSplit) and split.image_shape is not None:
        return _records_in_memory(split, split.image_shape, name, part)
    if resize is not None:
        _check_memory(split, resize(tf.zeros((1, 8, 8, 3), tf.uint8)).shape[1:], name, part)
    labels: list[np.ndarray] = []

    def images() -> Iterator[np.ndarray]:
        with naming_unreadable(split, lambda: range(len(labels), len(split))):
            for image, label in _rows(split, _decode).as_numpy_iterator():
                yield image
                labels.append(label)

    stack = _same_size(images(), resize, name)
    return Split(stack, np.array(labels, "int32"))


def _records_in_memory(
    split: RecordSplit, shape: tuple[int, int, int], name: str, part: str
) -> Split:
    """Decodes images that TensorFlow Datasets says to be of one size."""
    _check_memory(split, shape, name, part)

    def decode(encoded: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.io.decode_image(encoded, channels=shape[-1], expand_animations=False)
        return tf.ensure_shape(image, shape), label

    try:
        batches = list(_rows(split, decode).batch(BATCH).as_numpy_iterator())
    except (tf.errors.OpError, UnicodeDecodeError) as error:
        raise UserError(
            f"The {part} split of {name} cannot be read: {short_reason(error)}. Prepare it again."
        ) from error
    images, labels = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    return Split(images, labels)


def _check_memory(split: AnySplit, shape: Sequence[int], name: str, part: str) -> None:
    if len(split) * np.prod(shape, dtype=np.int64) > MEMORY_LIMIT:
        raise UserError(
            f"{name} has {len(split):,} images of {tuple(shape)} in its {part} split; decoded, "
            f"they must fit into {MEMORY_LIMIT // 2**30} GiB."
        )


def _rows(split: EncodedSplit, decode: Callable) -> tf.data.Dataset:
    """Returns the images of a split, decoded, and their labels, in order."""
    rows = split.in_order().map(decode, num_parallel_calls=DECODERS)
    return as_written(rows.prefetch(DECODERS))


def _decode(encoded: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    image = tf.io.decode_image(limited(encoded), expand_animations=False)
    # Without an alpha channel.
    return image[..., : tf.where(tf.shape(image)[-1] < 3, 1, 3)], label


def _tfds(
    name: str, parts: Sequence[str], data_dir: str | None, encoded: bool
) -> tuple[list[RecordSplit], tuple[str, ...]]:
    """Returns splits and classes of a set of TensorFlow Datasets."""
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
    splits = [RecordSplit.of(builder, part) for part in names]
    return splits, tuple(features["label"].names)


def _test_part(tfds, builder) -> str:
    """Returns the split to test on: `validation` if there is no test split, or one without labels.

    ImageNet's test split has none. TensorFlow Datasets gives it the label -1.
    """
    if {"test", "validation"} <= set(builder.info.splits):
        first = tfds.as_numpy(builder.as_dataset(split="test[:1]"))
        return "validation" if any(row["label"] < 0 for row in first) else "test"
    return "test" if "test" in builder.info.splits else "validation"


def _same_size(images: Iterable[np.ndarray], resize: Resize | None, name: str) -> np.ndarray:
    """Resizes images by `resize`, rounds them to uint8 and stacks them."""
    stack, size = [], 0
    for image in images:
        if resize is not None:
            resized = resize(tf.convert_to_tensor(image)[tf.newaxis])[0]
            image = np.round(resized.numpy()).astype("uint8")
        stack.append(image)
        size += image.nbytes
        if size > MEMORY_LIMIT:
            limit = f"{MEMORY_LIMIT // 2**30} GiB"
            raise UserError(f"Each split of {name}, decoded, must fit into {limit}.")
    if len({image.shape for image in stack}) > 1:
        raise UserError(f"The images of {name} differ in shape. Pass resize= to load them.")
    return np.stack(stack)
