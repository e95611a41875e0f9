"""Data sets of TensorFlow Datasets: found by their names, downloaded and prepared."""

import contextlib
import importlib
import io
import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from keras_classics.data.names import FORMS
from keras_classics.errors import UserError, require, short_reason, unknown_name
from keras_classics.internet import SECONDS, why_unreachable

# What TensorFlow Datasets expects in its folder of files that it cannot download.
IMAGENET_ARCHIVES = ("ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar")

# Data sets that `importers.prepare` reads from the files of their authors.
IMPORTABLE = (
    "cifar10",
    "cifar100",
    "emnist",
    "fashion_mnist",
    "kmnist",
    "mnist",
    "stl10",
    "svhn_cropped",
)

# Most characters of what TensorFlow Datasets says.
REASON = 400

# Seconds without a byte after which a connection counts as lost.
SILENCE = 60.0

# Its pauses between them double: of 10 retries, its own choice, the last comes after minutes.
RETRIES = 4


def tensorflow_datasets() -> ModuleType:
    """Imports TensorFlow Datasets; its progress bars show only on a terminal."""
    tfds = require("tensorflow_datasets", "train")
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    return tfds


def find_builder(tfds: ModuleType, name: str, data_dir: str | None) -> Any:
    """Returns the builder of a data set of TensorFlow Datasets.

    Raises:
        UserError: If it has no such data set, version or configuration, or the folder is damaged.
    """
    try:
        # It prints about packages that names such as huggingface:mnist need.
        with contextlib.redirect_stdout(io.StringIO()):
            return tfds.builder(name, data_dir=data_dir)
    except Exception as error:
        # A name can hold anything, and so can the files of a prepared data set.
        known = [
            "digits",
            "mnist_5000",
            *(f"{form}:PATH" for form in FORMS),
            *tfds.list_builders(with_community_datasets=False),
        ]
        if re.split("[/:]", name)[0] in known:
            reason = short_reason(error, REASON)
            raise UserError(f"TensorFlow Datasets has no {name!r}: {reason}.") from error
        raise unknown_name("dataset", name, known) from error


def prepared_builder(tfds: ModuleType, name: str, data_dir: str | None, encoded: bool) -> Any:
    """Returns the builder of a data set after it is prepared, downloading it if necessary.

    Args:
        tfds: TensorFlow Datasets.
        name: Name of the data set.
        data_dir: Folder of TensorFlow Datasets, by default its own.
        encoded: Whether the caller needs images in their files, which `digits` has not.

    Raises:
        UserError: If there is no such data set, or it cannot be downloaded or prepared. Without a
            network this takes seconds.
    """
    builder = find_builder(tfds, name, data_dir)
    _check_archives(builder, encoded)
    # Its chatter comes with its progress bars: on a terminal.
    chatter = sys.stderr if sys.stderr.isatty() else io.StringIO()
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    try:
        with _asking_only_servers_that_answer(), contextlib.redirect_stdout(chatter):
            builder.download_and_prepare()
    except Exception as error:
        reason = short_reason(error, REASON)
        raise UserError(
            f"{name} is not in {builder.data_dir} and cannot be downloaded and prepared: {reason}. "
            f"{' '.join([*_ways_to_get(builder, name, data_dir), _works_here(encoded)])}"
        ) from error
    return builder


@contextlib.contextmanager
def _asking_only_servers_that_answer() -> Iterator[None]:
    """Lets downloads of TensorFlow Datasets fail within seconds if their servers do not answer.

    It has no setting for that: it waits without end and asks ten times.
    """
    downloader = importlib.import_module("tensorflow_datasets.core.download.downloader")
    open_url: Callable = downloader._open_url

    def open_if_reachable(url: str, **options: Any) -> Any:
        if reason := why_unreachable(url):
            raise ConnectionError(reason)
        return open_url(url, timeout=(SECONDS, SILENCE), **options)

    retries = downloader.MAX_RETRIES
    downloader._open_url, downloader.MAX_RETRIES = open_if_reachable, RETRIES
    try:
        yield
    finally:
        downloader._open_url, downloader.MAX_RETRIES = open_url, retries


def _ways_to_get(builder: Any, name: str, data_dir: str | None) -> Iterator[str]:
    """Says how the files of a data set get here from another machine, if that is known."""
    urls = [*(builder.url_infos or {})]
    if builder.name in IMPORTABLE:
        command = f"keras-classics prepare --dataset={name} --from=PATH"
        command += f" --data_dir={data_dir}" if data_dir else ""
        yield f"If its files are on this machine, import them with '{command}'."
    if len(urls) == 1:
        folder = Path(builder.data_dir_root, "downloads", "manual")
        yield f"Download {urls[0]} elsewhere and save it in {folder}."


def _works_here(encoded: bool) -> str:
    """Names what works without a download."""
    others = (
        "--dataset=folder:PATH with images of your own"
        if encoded
        else "--dataset=digits, --dataset=fashion_mnist after 'make data' in a checkout"
    )
    return f"What works here: {others}, and the programs of reproduce/ with --smoke."


def _check_archives(builder: Any, encoded: bool) -> None:
    """Reports missing archives that need a manual download, before hours of preparation."""
    if builder.name != "imagenet2012" or builder.data_path.exists():
        return
    folder = Path(builder.data_path).parents[1] / "downloads" / "manual"
    missing = [name for name in IMAGENET_ARCHIVES if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"imagenet2012 needs two archives, which image-net.org offers after registration. "
            f"{folder} has no {' and no '.join(missing)}. {_works_here(encoded)}"
        )
