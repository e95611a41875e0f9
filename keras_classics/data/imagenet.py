"""ILSVRC-2012 as it is kept: its two archives, or folders whose validation images lie flat.

Flat validation images get their labels from the devkit or from Kaggle's table, which lie beside
them, in one of the three folders above, or in `ILSVRC2012_devkit_t12` there.
"""

import csv
import io
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_classics import files
from keras_classics.data.formats.archives import ArchiveTree, tar_members
from keras_classics.data.trees import FolderTree, Tree, join
from keras_classics.errors import UserError, require, short_reason

FLAT = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG", re.IGNORECASE)
WORDNET_ID = re.compile(r"n\d{8}")

ARCHIVES = {"train": "ILSVRC2012_img_train.tar", "val": "ILSVRC2012_img_val.tar"}

# Where Kaggle's archive has the parts.
KAGGLE_FOLDERS = ("ILSVRC/Data/CLS-LOC", "Data/CLS-LOC")

DEVKIT = "ILSVRC2012_devkit_t12"
GROUND_TRUTH, META = "ILSVRC2012_validation_ground_truth.txt", "meta.mat"
KAGGLE_TABLE = "LOC_val_solution.csv"
LEVELS = 4

# Largest size of a file of labels: ten times that of the largest, Kaggle's.
LABEL_BYTES = 2**25


def open_archives(folder: Path) -> ArchiveTree | None:
    """Returns the images of ImageNet's archives, if a folder holds one of them.

    That of the training images holds an archive for each class. The result has the parts `train`,
    with a folder for each class, and `val`, which is flat.
    """
    train, val = (folder / name for name in ARCHIVES.values())
    members = {}
    if train.is_file():
        for name, archive in tar_members(train):
            if name.endswith(".tar"):
                class_name = Path(name).stem
                for image, member in tar_members(train, archive.offset, archive.length):
                    members[f"train/{class_name}/{image}"] = member
    if val.is_file():
        members |= {f"val/{Path(name).name}": member for name, member in tar_members(val)}
    return ArchiveTree(folder, members) if members else None


def kaggle_folder(tree: Tree, top: str) -> str | None:
    """Returns the folder with the parts if a tree is laid out as Kaggle's archive is."""
    folders = [join(top, folder) for folder in KAGGLE_FOLDERS]
    return next((folder for folder in folders if tree.listing(folder).folders), None)


def is_flat(images: Sequence[str]) -> bool:
    """Returns whether images are ILSVRC-2012's validation images, by the name of the first."""
    return bool(images) and FLAT.fullmatch(images[0]) is not None


def classes_of_flat(
    tree: Tree, top: str, folder: str, images: Sequence[str]
) -> tuple[list[str], tuple[str, ...]]:
    """Returns the WordNet ID of each validation image, and all classes' IDs, sorted.

    Args:
        tree: Where the images are.
        top: The folder with the parts.
        folder: The folder with the images.
        images: Their names.

    Raises:
        UserError: If there are no labels for them, or they are damaged.
    """
    numbers = []
    for image in images:
        found = FLAT.fullmatch(image)
        if found is None:
            raise UserError(
                f"{tree.root / folder} must hold ILSVRC-2012's validation images alone, or a "
                f"folder for each class. Received: {image}."
            )
        numbers.append(int(found[1]))
    on_disk = isinstance(tree, FolderTree)
    places = [tree.root / folder, tree.root / top] if on_disk else [tree.root]
    places += list(places[-1].parents)[: LEVELS - 1]
    labels, class_names = _labels(places, tree.root / folder)
    missing = [number for number in numbers if number not in labels]
    if missing:
        raise UserError(
            f"{tree.root / folder} has images without a label. Received: number {missing[0]}, of "
            f"{len(labels):,} labels."
        )
    return [labels[number] for number in numbers], class_names


def _labels(places: Sequence[Path], folder: Path) -> tuple[dict[int, str], tuple[str, ...]]:
    """Returns the WordNet ID of each validation image by its number, and all IDs."""
    for place in places:
        for kit in (place, place / "data", place / DEVKIT / "data", place / DEVKIT):
            if (kit / GROUND_TRUTH).is_file():
                truth = files.read_bytes(kit / GROUND_TRUTH, LABEL_BYTES)
                meta = files.read_bytes(kit / META, LABEL_BYTES)
                return _of_devkit(truth, meta, kit)
        if (place / f"{DEVKIT}.tar.gz").is_file():
            return _of_devkit(*_unpacked(place / f"{DEVKIT}.tar.gz"), place / f"{DEVKIT}.tar.gz")
        if (place / KAGGLE_TABLE).is_file():
            return _of_kaggle(place / KAGGLE_TABLE)
    raise UserError(
        f"{folder} holds ILSVRC-2012's validation images without their labels. Put "
        f"{DEVKIT}.tar.gz, or {GROUND_TRUTH} and {META} of it, or Kaggle's {KAGGLE_TABLE} into "
        f"{places[min(1, len(places) - 1)]}."
    )


def _unpacked(archive: Path) -> tuple[bytes, bytes]:
    """Returns the files of labels and of classes of the devkit's archive."""
    found = {}
    try:
        with tarfile.open(archive) as tar:
            for info in tar:
                name = Path(info.name).name
                if info.isreg() and name in (GROUND_TRUTH, META) and info.size <= LABEL_BYTES:
                    found[name] = tar.extractfile(info).read()  # type: ignore[union-attr]
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UserError(f"{archive} is damaged: {short_reason(error)}.") from error
    if len(found) < 2:
        raise UserError(f"{archive} must hold {GROUND_TRUTH} and {META}. Download it again.")
    return found[GROUND_TRUTH], found[META]


def _of_devkit(truth: bytes, meta: bytes, kit: Path) -> tuple[dict[int, str], tuple[str, ...]]:
    ids = _devkit_classes(meta, kit)
    try:
        numbers = [int(line) for line in truth.split()]
    except ValueError as error:
        raise UserError(f"{kit}: {GROUND_TRUTH} must hold a number on each line.") from error
    unknown = [number for number in numbers if number not in ids]
    if unknown:
        raise UserError(
            f"{kit}: {GROUND_TRUTH} must hold ILSVRC2012_IDs of {META}. Received: {unknown[0]}."
        )
    labels = {image: ids[number] for image, number in enumerate(numbers, start=1)}
    return labels, tuple(sorted(ids.values()))


def _devkit_classes(meta: bytes, kit: Path) -> dict[int, str]:
    """Returns the WordNet IDs of the devkit's classes by its own numbers, which have no order."""
    loadmat = require("scipy.io", "train").loadmat
    try:
        synsets = loadmat(io.BytesIO(meta), squeeze_me=True)["synsets"]
        rows: list[Any] = list(np.atleast_1d(synsets))
        # The other rows are groups of classes.
        if "num_children" in synsets.dtype.names:
            rows = [row for row in rows if int(row["num_children"]) == 0]
        ids = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in rows}
    except Exception as error:
        # Wrong bytes lead to any exception of SciPy.
        raise UserError(
            f"{kit}: {META} must hold the synsets of ILSVRC-2012. Received: {short_reason(error)}."
        ) from error
    wrong = [name for name in ids.values() if not WORDNET_ID.fullmatch(name)]
    if wrong or len(set(ids.values())) < len(rows) or not ids:
        raise UserError(f"{kit}: {META} must name each class by a WordNet ID of its own.")
    return ids


def _of_kaggle(path: Path) -> tuple[dict[int, str], tuple[str, ...]]:
    text = files.read_bytes(path, LABEL_BYTES).decode(errors="replace")
    labels = {}
    for row in csv.DictReader(io.StringIO(text)):
        image = FLAT.fullmatch(f"{row.get('ImageId')}.JPEG")
        class_name = (row.get("PredictionString") or "").split(" ")[0]
        if image is None or not WORDNET_ID.fullmatch(class_name):
            raise UserError(
                f"{path} must have rows of ImageId and PredictionString, such as "
                f"ILSVRC2012_val_00000001,n01751748 111 108 230 366. Received: {row}."
            )
        labels[int(image[1])] = class_name
    return labels, tuple(sorted(set(labels.values())))
