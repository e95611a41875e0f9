"""The images that `features` takes: a data set with its parts, or those that arguments name."""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_classics.cli._bad_images import BadImage, none_usable
from keras_classics.cli._image_arguments import NamedImage
from keras_classics.data import load
from keras_classics.data.file_names import FileNames
from keras_classics.data.image_size import MAX_PIXELS
from keras_classics.data.names import NPZ, form_of, is_upright
from keras_classics.data.packaged import is_packaged
from keras_classics.data.parts import TRAIN
from keras_classics.data.splits import AnySplit, EncodedSplit, FileSplit
from keras_classics.errors import UserError, one_line
from keras_classics.evaluation.embeddings import compiled, embed
from keras_classics.evaluation.feature_files import StoredFeatures

# Uncompressed, an image takes at most four channels of two bytes.
MOST_BYTES = 8 * MAX_PIXELS


@dataclass(frozen=True)
class Images:
    """Images in parts.

    Attributes:
        parts: The images by the name of their part, `""` of images without parts.
        class_names: Name of each label; none of images without labels.
        named: Of images without parts, how each was named.
        refused: Why some images without parts are not read at all, by their numbers.
        dataset: Name of the data set.
        upright: Whether images are turned as their EXIF orientation says.
    """

    parts: dict[str, AnySplit]
    class_names: tuple[str, ...] = ()
    named: tuple[NamedImage, ...] = ()
    refused: dict[int, str] = field(default_factory=dict)
    dataset: str = ""
    upright: bool = False

    def __len__(self) -> int:
        return sum(map(len, self.parts.values()))

    def name(self, part: str, number: int) -> str:
        """Returns the name of an image of a part."""
        if self.named:
            return self.named[number].path
        split = self.parts[part]
        if isinstance(split, EncodedSplit):
            return split.name(number)
        return f"{self.dataset}/{part}/{number}"

    def image(self, number: int) -> np.ndarray | None:
        """Returns one of all images, uint8, or None if it cannot be read any more."""
        for split in self.parts.values():
            if number < len(split):
                try:
                    return split.image(number)
                except (OSError, UserError, tf.errors.OpError):
                    return None
            number -= len(split)
        return None


def of_arguments(named: Sequence[NamedImage], upright: bool) -> Images:
    """Returns the images that arguments name.

    Args:
        named: The images.
        upright: Whether they are turned as their EXIF orientation says.
    """
    refused = {}
    for number, image in enumerate(named):
        if why := _why_refused(image.path):
            refused[number] = why
    # To read a FIFO would wait for its writer.
    paths = [os.devnull if n in refused else image.path for n, image in enumerate(named)]
    split = FileSplit(FileNames.of(paths), np.zeros(len(paths), "int32"), upright)
    return Images({"": split}, named=tuple(named), refused=refused, upright=upright)


def of_dataset(
    name: str,
    data_dir: str | None,
    share: float | None,
    class_names: Sequence[str] | None,
    limits: tuple[int | None, int | None],
) -> Images:
    """Returns the training and test images of a data set."""
    # Those in files stay there, so that one that cannot be read does not stop the others.
    encoded = not (is_packaged(name) or form_of(name) == NPZ)
    data = load(name, data_dir, None, encoded, share, class_names).limited(*limits)
    parts = {TRAIN: data.train, "test": data.test}
    return Images(parts, data.class_names, dataset=name, upright=is_upright(name))


def of_stored(stored: StoredFeatures) -> Images:
    """Returns the images that stored features are of, to look at; by number as in their index."""
    about = stored.about
    if not about["dataset"]:
        return of_arguments(list(map(NamedImage, stored.all_images)), about["upright"])
    limits = (about["limit_train"], about["limit_test"])
    share, data_dir = about["validation_share"], about["data_dir"]
    return of_dataset(about["dataset"], data_dir, share, None, limits)


def rows(
    images: Images,
    network: keras.Model,
    preprocessing: keras.layers.Layer,
    bad: list[BadImage],
    progress: Any,
) -> Iterator[tuple[Mapping[str, Any], np.ndarray | None]]:
    """Yields for each image its line of the index, and its features or None.

    Args:
        images: The images.
        network: From preprocessed images to features.
        preprocessing: The layer from uint8 images to what the network takes.
        bad: Receives the images that cannot be used.
        progress: Called with the number of images done since its last call.

    Raises:
        UserError: If no image can be used, or features are not finite.
    """
    compute = compiled(network)
    for part, split in images.parts.items():
        for found in embed(compute, preprocessing, split):
            progress(1)
            line = {"image": images.name(part, found.number), "part": part}
            if found.features is None:
                fault = images.refused.get(found.number, found.fault)
                alone = bool(images.named) and images.named[found.number].alone
                bad.append(BadImage(line["image"], fault, alone))
                yield line | {"fault": fault}, None
                continue
            if images.class_names:
                line |= _labelled(found.label, images.class_names)
            yield line, found.features
    if len(bad) == len(images):
        raise none_usable(bad[0], len(images))


def features_of_image(
    path: str, upright: bool, network: keras.Model, preprocessing: keras.layers.Layer
) -> np.ndarray:
    """Returns the features of one image file, shape (1, channels).

    Raises:
        UserError: If it cannot be used.
    """
    images = of_arguments([NamedImage(path, alone=True)], upright)
    ((_, features),) = rows(images, network, preprocessing, [], lambda count: None)
    assert features is not None
    return features[np.newaxis]


def _labelled(label: np.ndarray, class_names: Sequence[str]) -> dict[str, str]:
    """Returns label and class for the index; of several, all that apply."""
    labels = np.flatnonzero(label).tolist() if np.ndim(label) else [int(label)]
    return {
        "label": " ".join(map(str, labels)),
        "class": "; ".join(class_names[one] for one in labels),
    }


def _why_refused(path: str) -> str | None:
    """Returns why a file is not read at all, or None."""
    try:
        status = Path(path).stat()
    except (OSError, ValueError) as error:
        return f"cannot be read: {getattr(error, 'strerror', None) or one_line(str(error))}"
    if not stat.S_ISREG(status.st_mode):
        return "cannot be read: it is no file"
    if status.st_size > MOST_BYTES:
        return f"must have at most {MOST_BYTES:,} bytes. Received: {status.st_size:,}"
    return None
