"""Decodes all images of a folder or archive, and lists faulty images and copies.

keras-classics check_images my_images
keras-classics check_images my_images --page=report.html

It includes all subfolders. The exit status is 2 if training could not read some images. Images that
can be read but are unusual, such as a PNG file named .jpg, are listed too, and files that training
leaves out, because TensorFlow does not read them, are counted.

Copies are images with the same bytes or pixels, and images that are nearly the same: compressed
anew, scaled, mirrored or turned. Copies across parts, such as train and validation, are listed
first, then copies with different classes. They are warnings, which leave the exit status 0.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from keras_classics import files
from keras_classics.cli._images_page import write_page
from keras_classics.cli._output import JSON, print_json
from keras_classics.cli._paths import define_path
from keras_classics.cli._progress import progress_bar
from keras_classics.data.fingerprints import Fingerprints
from keras_classics.data.folders import open_tree
from keras_classics.data.formats.archives import is_archive
from keras_classics.data.image_files import EXTENSIONS, faults
from keras_classics.data.parts import VALIDATION_SHARE
from keras_classics.data.splits import FileSplit
from keras_classics.data.survey import (
    ELONGATED,
    LABELS,
    LEAK,
    REPEATED,
    UNEQUAL,
    Copy,
    Survey,
    survey,
)
from keras_classics.data.trees import Tree
from keras_classics.errors import UserError, one_line

PAGE = define_path(
    "page", None, "HTML file to write: copies side by side, sizes of classes and images."
)

# Most groups of copies that are printed of each kind, and most images of a group.
GROUPS = 5
MEMBERS = 4


def main(path: str) -> None:
    """Lists and counts the faults and the copies."""
    root = Path(path)
    tree, names, left_out = _files(root)
    images = [root / name for name in names]
    split = tree.split(names, np.zeros(len(names), "int32"), exif=False)
    archive = None if isinstance(split, FileSplit) else split
    if PAGE.value:
        _check_page(Path(PAGE.value))
    found = []
    prints = Fingerprints(len(images))
    with progress_bar(len(images)) as bar:
        for fault in faults(images, bar.update, prints, archive):
            found.append(fault)
            if not JSON.value:
                bar.write(one_line(f"{fault.path.relative_to(root)}: {fault.fault}"))
    fatal = sum(fault.fatal for fault in found)
    surveyed = survey(root, images, prints)
    if JSON.value:
        print_json(
            {
                "images": len(images),
                "faults": [
                    {"image": str(f.path.relative_to(root)), "fault": f.fault, "fatal": f.fatal}
                    for f in found
                ],
                "left_out": left_out,
                **surveyed.to_json(),
            }
        )
    else:
        if left_out:
            print(one_line(tree.described_left_out(left_out)))
        print(
            f"{len(images):,} images: {fatal:,} cannot be used, {len(found) - fatal:,} are unusual."
        )
        for line in _report(surveyed):
            print(one_line(line))
    if PAGE.value:
        write_page(Path(PAGE.value), surveyed, found, lambda number: split.read(number)[1])
        if not JSON.value:
            print(one_line(f"page    {PAGE.value}"))
    if fatal:
        raise UserError(
            f"Training on {path} would stop. Repair or remove the images that cannot be used."
        )


def _check_page(path: Path) -> None:
    files.refuse_unwritable(path)
    if path.is_dir():
        raise UserError(f"--page names an HTML file to write. Received: {path}, which is a folder.")


def _report(found: Survey) -> Iterator[str]:
    """Yields lines on sizes, modes, classes and copies."""
    if not found.names:
        return
    yield _sizes(found)
    yield "Colour modes: " + ", ".join(f"{n:,} {mode}" for mode, n in found.mode_counts().items())
    for part in found.part_names():
        if line := _classes(part, found.class_counts(part)):
            yield line
    for (part, earlier), count in found.leaks().items():
        total = found.parts.count(part)
        yield f"Warning: {count:,} of {total:,} images of {part} are in {earlier} too."
    if count := found.held_out_leaks():
        yield (
            f"Warning: {count:,} of the {sum(found.held_out):,} images that training holds out for "
            f"testing (validation_share={VALIDATION_SHARE:g}) are among the others too."
        )
    yield from _copies(found, LEAK, "across parts")
    yield from _copies(found, LABELS, "with different classes")
    yield from _copies(found, REPEATED, "within a class")
    if not found.copies:
        yield "No image has a copy."


def _sizes(found: Survey) -> str:
    areas = found.sizes.prod(1)
    small, middle, large = (
        "x".join(map(str, found.sizes[i, ::-1]))
        for i in (areas.argmin(), areas.argsort()[len(areas) // 2], areas.argmax())
    )
    long = len(found.elongated())
    note = f"; one side of {long:,} is more than {ELONGATED} times the other" if long else ""
    return f"Width x height: {small} to {large} pixels, median {middle}{note}"


def _classes(part: str, counts: dict[str, int]) -> str | None:
    if len(counts) < 2:
        return None
    least, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    line = f"{len(counts):,} classes{f' in {part}' if part else ''}: "
    if counts[least] == counts[most]:
        return f"{line}{counts[most]:,} images each"
    line += f"{counts[least]:,} ({least}) to {counts[most]:,} ({most}) images"
    if counts[most] > UNEQUAL * counts[least]:
        return f"Warning: {line}, a ratio above {UNEQUAL}"
    return line


def _copies(found: Survey, meaning: str, where: str) -> Iterator[str]:
    groups = found.groups(meaning)
    if not groups:
        return
    level = "" if meaning == REPEATED else "Warning: "
    line = f"{level}{sum(map(len, groups)):,} images are copies of each other {where}"
    line += f", in {len(groups):,} group{'s' if len(groups) > 1 else ''}"
    differ = sum(map(found.differ_in_class, groups))
    yield line + (f", {differ:,} with different classes:" if differ and meaning == LEAK else ":")
    yield from (f"  {_group(found, group)}" for group in groups[:GROUPS])
    if len(groups) > GROUPS:
        yield f"  and {len(groups) - GROUPS:,} more, which --json lists"


def _group(found: Survey, group: tuple[Copy, ...]) -> str:
    first, *others = group
    words = [f"{found.names[copy.number]} ({copy.kind})" for copy in others[: MEMBERS - 1]]
    if len(group) > MEMBERS:
        words.append(f"{len(group) - MEMBERS:,} more")
    return f"{found.names[first.number]}: {', '.join(words)}"


def _files(root: Path) -> tuple[Tree, list[str], list[str]]:
    """All image files below a folder, including linked folders, and the files left out, sorted."""
    if not root.is_dir() and not is_archive(root):
        raise UserError(f"{root} is not a folder, nor a tar or zip archive of one.")
    tree = open_tree(root)
    images, left_out = tree.images_below("")
    if not images:
        raise UserError(f"{root} holds no images ({', '.join(EXTENSIONS)}).")
    return tree, images, left_out
