"""The data of a run: loaded, limited, without unreadable images, and its mean."""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

import numpy as np
import tensorflow as tf

from keras_classics import files
from keras_classics.data import ImageData, load, pipeline
from keras_classics.data.splits import EncodedSplit
from keras_classics.data.unreadable import faults
from keras_classics.errors import UserError
from keras_classics.training import typed_json
from keras_classics.training.recipe import Recipe
from keras_classics.training.run_directory import RunDirectory
from keras_classics.training.strategy import from_chief, is_chief


class _BadImage(TypedDict):
    path: str
    fault: str


def load_data(recipe: Recipe, data_dir: str | None = None) -> ImageData:
    """Loads a recipe's data set in the form that its augmentation needs. See `data.load`."""
    resize = recipe.make_preprocessing().resize
    data = load(
        recipe.dataset,
        data_dir,
        resize,
        encoded=recipe.crops_on_decode,
        validation_share=recipe.validation_share,
        class_names=recipe.class_names,
    )
    return data if recipe.only_classes is None else data.of_classes(recipe.only_classes)


def select_data(
    data: ImageData,
    recipe: Recipe,
    run: RunDirectory,
    strategy: tf.distribute.Strategy,
    max_bad_images: int,
) -> tuple[ImageData, int]:
    """Selects the images of a run: the recipe's limits, readable ones, the validation split.

    Returns:
        The data, and the number of unreadable images that are left out.

    Raises:
        UserError: If more than `max_bad_images` cannot be read, or no training image is left.
    """
    data = data.limited(recipe.limit_train, recipe.limit_test)
    data, bad_images = _without_bad_images(data, run, strategy, max_bad_images)
    if recipe.validation:
        data = data.holding_out(recipe.validation)
    return data, bad_images


def training_mean(
    data: ImageData, recipe: Recipe, run: RunDirectory, strategy: tf.distribute.Strategy
) -> np.ndarray | None:
    """Returns the mean of the training images, computed once and stored in the run directory.

    None if the recipe subtracts no mean of its own data.
    """
    if recipe.mean is None:
        return None

    def compute() -> None:
        resize = recipe.make_preprocessing().resize
        mean = pipeline.mean_of(data.train, resize, recipe.mean == "per_pixel")
        with files.atomic_write(run.mean) as aside:
            np.save(aside, mean)

    return read_mean(_computed_once(run.mean, compute, run, strategy), run)


def read_mean(content: bytes, run: RunDirectory) -> np.ndarray:
    """Returns the mean of the training images from the content of a run's `mean.npy`.

    Raises:
        UserError: If it holds no mean.
    """
    try:
        mean = np.load(io.BytesIO(content))
        right = mean.dtype == np.float32 and mean.ndim in (1, 3) and np.isfinite(mean).all()
    except Exception:
        # Wrong bytes lead to any exception of NumPy.
        right = False
    if not right:
        raise UserError(
            f"{run.mean} does not hold a mean of images: float32 numbers, one for each channel or "
            "for each pixel. Restore it, or choose another run directory."
        )
    return mean


def _without_bad_images(
    data: ImageData, run: RunDirectory, strategy: tf.distribute.Strategy, most: int
) -> tuple[ImageData, int]:
    """Leaves out the image files that cannot be read, and returns their number.

    The list is stored in the run directory, so that a resumed run leaves out the same files.
    """
    if not most:
        return data, 0
    splits = [split for split in (data.train, data.test) if isinstance(split, EncodedSplit)]
    if len(splits) < 2:
        raise UserError(
            f"max_bad_images needs the image files of folder:PATH, or of another form of them, "
            f"cropped while decoding. Received: {data.name}."
        )

    def check() -> None:
        bad = [fault for split in splits for fault in faults(split) if fault.fatal]
        files.write_json(run.bad_images, [{"path": str(f.path), "fault": f.fault} for f in bad])

    bad = _bad_images(_computed_once(run.bad_images, check, run, strategy), run)
    if len(bad) > most:
        raise UserError(
            f"{len(bad)} images cannot be read, the first {bad[0]['path']}: {bad[0]['fault']}. "
            f"Received: max_bad_images={most}. All are listed in {run.bad_images}."
        )
    bad_names = {row["path"] for row in bad}
    train, test = (
        split.take(np.flatnonzero([split.name(i) not in bad_names for i in range(len(split))]))
        for split in splits
    )
    return replace(data, train=train, test=test), len(bad)


def _bad_images(content: bytes, run: RunDirectory) -> tuple[dict[str, str], ...]:
    try:
        return typed_json.decode(Sequence[_BadImage], json.loads(content))
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{run.bad_images} does not hold the list of unreadable images: {error} Remove it; all "
            "images are then checked again."
        ) from error


def _computed_once(path: Path, write: Callable[[], None], run: RunDirectory, strategy) -> bytes:
    """Returns a file that the chief writes once per run, on every worker."""
    content = b""
    if is_chief(strategy):
        if not (run.begun and path.exists()):
            write()
        content = files.read_bytes(path)
    return from_chief(strategy, content)
