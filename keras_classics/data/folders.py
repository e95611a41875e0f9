"""Folders of image files, a folder a class: in which parts they come, and the class of each."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keras_classics.data import image_files, imagenet
from keras_classics.data.file_names import FileNames
from keras_classics.data.formats.archives import is_archive, open_archive
from keras_classics.data.parts import TESTS, TRAIN, held_out, part_to_test, say_unused
from keras_classics.data.splits import EncodedSplit
from keras_classics.data.trees import NAMED, FolderTree, Tree, join
from keras_classics.errors import UserError
from keras_classics.files import user_path

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """The images of a folder, each with its class.

    Attributes:
        folder: The folder, from the root of its tree.
        images: Path of each image.
        labels: Class of each image, an index into `class_names`, int32.
        class_names: All classes.
        left_out: Path of what else is in the folders of the classes.
        complete: Whether it must have images of all classes.
    """

    folder: str
    images: FileNames
    labels: np.ndarray
    class_names: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    complete: bool = True

    @property
    def present(self) -> list[str]:
        """The classes that have images."""
        return [self.class_names[label] for label in np.unique(self.labels)]


def load_folder(
    path: str, parts: Sequence[str], *, exif: bool = False, share: float | None = None
) -> tuple[list[EncodedSplit], tuple[str, ...]]:
    """Lists the images of a folder, or of a tar or zip archive, which is not unpacked.

    It holds `train` and one of `TESTS`, each with a folder for each class, or the folders of the
    classes alone. All images below the folder of a class are of this class. ImageNet is also taken
    as it is kept, see `imagenet`. Warnings count the files that are left out.

    Args:
        path: The folder or archive.
        parts: Some of `train` and `test`.
        exif: Whether images are turned as their EXIF orientation says.
        share: If there is no test part: the fraction of the images that is held out for it,
            see `parts.is_held_out`. If None, `parts.VALIDATION_SHARE`; but without any parts, if
            only `test` is asked for, it has all images.

    Returns:
        The splits, and the name of each label: the classes of train, or if there is no train, those
        of the test part.

    Raises:
        UserError: If there is no such folder, it is an archive that cannot be read in place, or a
            class has no images.
    """
    tree = open_tree(user_path(path))
    splits, class_names = _listed(tree, parts, exif, share)
    if isinstance(tree, FolderTree):
        tree.remember()
    return splits, class_names


def _listed(
    tree: Tree, parts: Sequence[str], exif: bool, share: float | None
) -> tuple[list[EncodedSplit], tuple[str, ...]]:
    """Returns the splits of a tree, and the name of each label."""
    top = _top(tree)
    names = part_folders(tree, top)
    test = part_to_test(tree.root, names)
    if test is not None and TRAIN in parts and TRAIN not in names:
        raise UserError(f"{tree.root} has {names[test] or 'test images'} and no {TRAIN}.")
    if test is None:
        folder = join(top, names[TRAIN]) if TRAIN in names else top
        everything = share is None and TRAIN not in parts and TRAIN not in names
        found = {"test": _classes(tree, folder)} if everything else _shared(tree, folder, share)
    else:
        say_unused(share, tree.root, names[test])
        found = {"test": _part(tree, top, names[test])}
        if TRAIN in names:
            found[TRAIN] = _part(tree, top, names[TRAIN])
    class_names = found.get(TRAIN, found["test"]).class_names
    _check_classes(tree, found, class_names)
    left_out = [name for part in parts for name in found[part].left_out]
    if left_out:
        logger.warning("%s: %s", tree.root, tree.described_left_out(left_out))
    label_of = {class_name: label for label, class_name in enumerate(class_names)}
    splits = []
    for part in map(found.__getitem__, parts):
        # Classes that others are not trained on have no images here.
        labels = np.array([label_of.get(name, -1) for name in part.class_names], "int32")
        splits.append(tree.split(part.images, labels[part.labels], exif))
    return splits, class_names


def open_tree(path: Path) -> Tree:
    """Returns the folders and images of a folder or archive.

    Raises:
        UserError: If it is neither, or an archive that cannot be read in place.
    """
    if path.is_dir():
        return imagenet.open_archives(path) or FolderTree(path)
    if is_archive(path):
        return open_archive(path)
    raise UserError(
        f"folder:PATH takes a folder of images, or a tar or zip archive of one. Received: {path}, "
        f"which is {'no archive' if path.is_file() else 'not there'}."
    )


def part_folders(tree: Tree, top: str = "") -> dict[str, str]:
    """Returns the folders of a tree's parts by `TRAIN` and `TESTS`; none if it has classes alone.

    Args:
        tree: Folders of images.
        top: The folder with the parts. Capital letters in their names do not count.
    """
    by_name = {folder.lower(): folder for folder in tree.listing(top).folders}
    names = {part: by_name[part] for part in (TRAIN, *TESTS) if part in by_name}
    of_train = tree.listing(join(top, names.get(TRAIN, "")))
    if TRAIN in names and of_train.images and not of_train.folders:
        return {}  # A class may be called train.
    here = tree.listing(top)
    if not here.folders and imagenet.is_flat(here.images):
        return {"val": ""}
    labelled = {p: n for p, n in names.items() if p == TRAIN or _has_labels(tree, join(top, n))}
    for part in names.keys() - labelled.keys() if TRAIN in names else ():
        logger.warning("%s: %s has no folders of classes and is not used", tree.root, names[part])
    return labelled


def _top(tree: Tree) -> str:
    """Returns the folder with the parts or classes: the root, or the only folder in it."""
    top = ""
    while True:
        here = tree.listing(top)
        below = join(top, here.folders[0]) if len(here.folders) == 1 else None
        if below is None or here.images or here.folders[0].lower() in (TRAIN, *TESTS):
            return imagenet.kaggle_folder(tree, top) or top
        if not tree.listing(below).folders or tree.real(below) in map(tree.real, ("", top)):
            return top
        top = below


def _has_labels(tree: Tree, folder: str) -> bool:
    listing = tree.listing(folder)
    return bool(listing.folders) or imagenet.is_flat(listing.images)


def _part(tree: Tree, top: str, name: str) -> Part:
    """Returns the images of a part with those of its classes, or of ImageNet's flat folder."""
    folder = join(top, name) if name else top
    listing = tree.listing(folder)
    if not listing.folders:
        classes, class_names = imagenet.classes_of_flat(tree, top, folder, listing.images)
        images = FileNames.of(join(folder, image) for image in listing.images)
        label_of = {class_name: label for label, class_name in enumerate(class_names)}
        labels = np.array([label_of[class_name] for class_name in classes], "int32")
        return Part(folder, images, labels, class_names, complete=False)
    return _classes(tree, folder)


def _classes(tree: Tree, folder: str) -> Part:
    """Returns the images below the class folders of a folder."""
    listing = tree.listing(folder)
    images, left_out = [], []
    for class_name in listing.folders:
        found, others = tree.images_below(join(folder, class_name))
        images.append(FileNames.of(found))
        left_out += others
    if not listing.folders:
        raise UserError(f"{tree.root / folder} holds no class folders.")
    if listing.images:
        shown = ", ".join(listing.images[:NAMED])
        logger.warning(
            "%s: %d images are in no class folder and are not used: %s",
            *(tree.root / folder, len(listing.images), shown),
        )
    labels = np.repeat(np.arange(len(images), dtype="int32"), [len(names) for names in images])
    names = FileNames.joined(images)
    return Part(folder, names, labels, tuple(listing.folders), tuple(left_out))


def _shared(tree: Tree, folder: str, share: float | None) -> dict[str, Part]:
    """Returns the parts of class folders without parts, by the names of the images."""
    whole = _classes(tree, folder)
    start = len(join(folder, " ")) - 1
    held = held_out(tree.root / folder, (image[start:] for image in whole.images), share)
    return {
        TRAIN: _some(whole, ~held),
        "test": replace(_some(whole, held), left_out=(), complete=False),
    }


def _some(part: Part, chosen: np.ndarray) -> Part:
    indices = np.flatnonzero(chosen)
    return replace(part, images=part.images[indices], labels=part.labels[indices])


def _check_classes(tree: Tree, found: dict[str, Part], class_names: Sequence[str]) -> None:
    """Refuses a class of the test part that is not in train, and one without training images."""
    test = found["test"]
    of_test = test.class_names if test.complete else test.present
    unknown = sorted(set(of_test) - set(class_names))
    if unknown:
        raise UserError(
            f"The classes of {tree.root} are those of its training images. {test.folder} has "
            f"others: {', '.join(unknown[:NAMED])}."
        )
    for part in (found[name] for name in (TRAIN, "test") if name in found):
        present = set(part.present)
        missing = [name for name in class_names if name not in present]
        if missing and part.complete:
            folders = sorted({of.folder or "." for of in found.values()})
            raise UserError(
                f"Each class needs images ({', '.join(image_files.EXTENSIONS)}) in "
                f"{' and in '.join(folders)}. "
                f"{tree.root / part.folder / missing[0]} holds none."
            )
        if missing:
            logger.warning(
                "%s holds no test images of %s: this is not tested",
                *(tree.root / part.folder, ", ".join(missing[:NAMED])),
            )
