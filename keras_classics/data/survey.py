"""Surveys a folder of images: copies within and across its parts, sizes of classes and images."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_classics.data.duplicates import Group, find_duplicates
from keras_classics.data.fingerprints import Fingerprints
from keras_classics.data.image_modes import MODES
from keras_classics.data.parts import TESTS, TRAIN, VALIDATION_SHARE, is_held_out

# A class with more than this many times the images of another is reported.
UNEQUAL = 10
# So are images with one side more than this many times the other.
ELONGATED = 3

# What copies mean: in several parts, evaluation sees training images; under several classes, a
# label is wrong; otherwise, an image counts twice.
LEAK, LABELS, REPEATED = "across parts", "different classes", "same class"


@dataclass(frozen=True)
class Copy:
    """An image that has copies.

    Attributes:
        number: Number of the image in the survey.
        kind: Its relation to the first image of its group; empty for the first itself.
    """

    number: int
    kind: str


@dataclass(frozen=True)
class Survey:
    """What a folder of images holds.

    Attributes:
        root: The folder.
        names: Paths of the images that can be read, relative to it.
        numbers: Number of each among all images, those that cannot be read too.
        parts: The part of each, such as train; empty if the folder has none.
        classes: The class of each; empty for an image that lies in no folder of a class.
        held_out: Whether training would hold each out for testing by default, if there is no test
            part; else False for all.
        sizes: int64, shape (images, 2): heights and widths.
        modes: The colour mode of each.
        copies: Groups of copies; those across parts first, then those of different classes.
    """

    root: Path
    names: list[str]
    numbers: np.ndarray
    parts: list[str]
    classes: list[str]
    held_out: list[bool]
    sizes: np.ndarray
    modes: list[str]
    copies: list[tuple[Copy, ...]]

    def meaning(self, group: Sequence[Copy]) -> str:
        """Returns `LEAK`, `LABELS` or `REPEATED`."""
        return _meaning(group, self.parts, self.classes)

    def differ_in_class(self, group: Sequence[Copy]) -> bool:
        """Returns whether the images of a group have different classes."""
        return _differ_in_class(group, self.classes)

    def groups(self, meaning: str) -> list[tuple[Copy, ...]]:
        """Returns the groups with one meaning."""
        return [group for group in self.copies if self.meaning(group) == meaning]

    def leaks(self) -> dict[tuple[str, str], int]:
        """Returns for a part and an earlier one how many images of it are in the earlier too."""
        order = self.part_names()
        counts: Counter[tuple[str, str]] = Counter()
        for group in self.copies:
            images = Counter(self.parts[copy.number] for copy in group)
            there = sorted(images, key=order.index)
            for i, part in enumerate(there):
                counts.update({(part, earlier): images[part] for earlier in there[:i]})
        return dict(counts)

    def held_out_leaks(self) -> int:
        """Returns how many images that are held out have a copy among those trained on."""
        held = [[self.held_out[copy.number] for copy in group] for group in self.copies]
        return sum(sum(own) for own in held if not all(own))

    def part_names(self) -> list[str]:
        """Returns the parts: train first, others in alphabetical order."""
        return sorted(set(self.parts), key=lambda part: (part.lower() != TRAIN, part))

    def class_counts(self, part: str) -> dict[str, int]:
        """Returns the number of images of each class of a part, in alphabetical order."""
        pairs = zip(self.parts, self.classes, strict=True)
        return dict(sorted(Counter(c for p, c in pairs if p == part and c).items()))

    def mode_counts(self) -> dict[str, int]:
        """Returns the number of images of each colour mode, the most frequent first."""
        return dict(Counter(self.modes).most_common())

    def elongated(self) -> np.ndarray:
        """Returns the numbers of images with one side more than `ELONGATED` times the other."""
        return np.flatnonzero(self.sizes.max(1) > ELONGATED * self.sizes.min(1))

    def to_json(self) -> dict[str, Any]:
        """Returns the survey as JSON values. Sizes are width and height."""
        return {
            "parts": {
                part: {"images": self.parts.count(part), "classes": self.class_counts(part)}
                for part in self.part_names()
            },
            "modes": self.mode_counts(),
            "sizes": [
                {"width": int(width), "height": int(height), "images": int(count)}
                for (height, width), count in zip(
                    *np.unique(self.sizes, axis=0, return_counts=True), strict=True
                )
            ],
            "leaks": [
                {"part": part, "also_in": earlier, "images": count}
                for (part, earlier), count in self.leaks().items()
            ],
            "held_out": {
                "share": VALIDATION_SHARE,
                "images": sum(self.held_out),
                "also_in_training": self.held_out_leaks(),
            },
            "duplicates": [
                {
                    "meaning": self.meaning(group),
                    "different_classes": self.differ_in_class(group),
                    "images": [
                        {
                            "image": self.names[copy.number],
                            "part": self.parts[copy.number] or None,
                            "class": self.classes[copy.number] or None,
                            "kind": copy.kind or "first",
                        }
                        for copy in group
                    ],
                }
                for group in self.copies
            ],
        }


def survey(root: Path, paths: Sequence[Path], prints: Fingerprints) -> Survey:
    """Surveys images.

    Args:
        root: The folder.
        paths: The image files below it.
        prints: Their fingerprints. Files that could not be read are left out.
    """
    read = np.flatnonzero(prints.read)
    number_of = {int(old): new for new, old in enumerate(read)}
    below = [paths[i].relative_to(root) for i in read]
    parts, classes, names = _places(below)
    copies = []
    for group in find_duplicates(prints):
        kinds = _with_links(group, paths)
        found = [Copy(number_of[i], kind) for i, kind in zip(group.members, kinds, strict=True)]
        copies.append(tuple(found))
    order = (LEAK, LABELS, REPEATED)
    copies.sort(key=lambda group: order.index(_meaning(group, parts, classes)))
    return Survey(
        root,
        [str(path) for path in below],
        read,
        parts,
        classes,
        _held_out(parts, classes, names),
        prints.sizes[read],
        [MODES[mode] for mode in prints.modes[read]],
        copies,
    )


def _places(paths: Sequence[Path]) -> tuple[list[str], list[str], list[str]]:
    """Returns the part and the class of each image, and its path from the folders of classes.

    Its path is PART/CLASS/..., or CLASS/... without parts.
    """
    folders = [path.parts[:-1] for path in paths]
    top = _common(folders)
    folders = [names[top:] for names in folders]
    tops = {names[0] for names in folders if names}
    # A class may be called train or test: parts have folders of classes, and are all that there is.
    is_train = [bool(names) and names[0].lower() == TRAIN for names in folders]
    has_parts = any(len(names) > 1 for names, train in zip(folders, is_train, strict=True) if train)
    has_parts |= bool(tops) and all(name.lower() in TESTS for name in tops)
    parts = [names[0] if has_parts and names else "" for names in folders]
    below = [names[1:] if has_parts else names for names in folders]
    names = ["/".join((*names, path.name)) for names, path in zip(below, paths, strict=True)]
    return parts, [names[0] if names else "" for names in below], names


def _held_out(parts: Sequence[str], classes: Sequence[str], names: Sequence[str]) -> list[bool]:
    """Returns which images training holds out by default: none if there is a part to test on."""
    if {part.lower() for part in parts} & set(TESTS):
        return [False] * len(names)
    pairs = zip(classes, names, strict=True)
    return [bool(own) and is_held_out(name, VALIDATION_SHARE) for own, name in pairs]


def _common(folders: Sequence[tuple[str, ...]]) -> int:
    """Returns how many folders stand above those of parts or classes, around all images."""
    count = 0
    while (names := {names[count : count + 1] for names in folders}) and len(names) == 1:
        (name,) = names
        has_more = all(len(names) > count + 1 for names in folders)
        if not has_more or name[0].lower() in (TRAIN, *TESTS):
            break
        count += 1
    return count


def _meaning(group: Sequence[Copy], parts: Sequence[str], classes: Sequence[str]) -> str:
    if len({parts[copy.number] for copy in group}) > 1:
        return LEAK
    return LABELS if _differ_in_class(group, classes) else REPEATED


def _differ_in_class(group: Sequence[Copy], classes: Sequence[str]) -> bool:
    # An image in no folder of a class has no label.
    return len({classes[copy.number] for copy in group} - {""}) > 1


def _with_links(group: Group, paths: Sequence[Path]) -> list[str]:
    """Returns the kinds of a group's copies, and of links that they lead to the same file."""
    first = paths[group.members[0]]
    return [
        "same file, by a link" if kind == "same bytes" and _is_same(first, paths[i]) else kind
        for i, kind in zip(group.members, group.kinds, strict=True)
    ]


def _is_same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # One of them was removed in the meantime.
        return False
