"""Data sets of small images in files, whatever their format: read whole, then checked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from keras_classics.data.formats.members import Member, read_members
from keras_classics.errors import UserError


@dataclass(frozen=True)
class SmallImages:
    """A data set in memory, not yet compared with the one that it should be.

    Attributes:
        splits: By split, its columns: `image`, uint8, shape (count, height, width, channels);
            `label` and other labels, whole numbers, shape (count,).
        class_names: Names of the classes of each column of labels, if the files have them.
        left_out: What the data set has and the files have not, in words.
        num_classes: Number of classes, if the files say it.
    """

    splits: Mapping[str, Mapping[str, np.ndarray]]
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    left_out: str = ""
    num_classes: int = 0

    def check(self, source: Path, shape: Sequence[int], classes: Mapping[str, int]) -> None:
        """Compares images and labels with what they should be.

        Args:
            source: Where they come from.
            shape: Height, width and channels of an image.
            classes: Number of classes of each column of labels.

        Raises:
            UserError: If they are something else.
        """
        for part, columns in self.splits.items():
            images = columns["image"]
            if images.shape[1:] != tuple(shape) or not len(images):
                raise UserError(
                    f"The {part} split in {source} must hold images of {tuple(shape)}. Received: "
                    f"{len(images):,} of {images.shape[1:]}."
                )
            if missing := classes.keys() - columns.keys():
                raise UserError(f"{source} has no column {' and no '.join(sorted(missing))}.")
            for column, count in classes.items():
                labels = columns[column]
                # Images without a label have the label -1.
                wrong = (labels >= count) | (labels < (-1 if part == "unlabelled" else 0))
                if wrong.any():
                    position = int(np.argmax(wrong))
                    raise UserError(
                        f"Labels of the {part} split in {source} must be 0 to {count - 1}. "
                        f"Received: {labels[position]} at position {position}."
                    )
        for column, names in self.class_names.items():
            count = len(set(names))
            if count != len(names) or count != classes.get(column, count):
                raise UserError(
                    f"{source} must have {classes.get(column)} different names of classes. "
                    f"Received: {len(names)}, of which {count} differ."
                )


@dataclass(frozen=True)
class Format:
    """A format that is a fixed set of files.

    Attributes:
        title: What messages call it.
        required: Names of the files that it must have.
        read: Reads the files that are there, by these names.
        optional: Names of the files that it may have.
        others: Other names of the files, and those that they stand for.
    """

    title: str
    required: tuple[str, ...]
    read: Callable[[Mapping[str, Member]], SmallImages]
    optional: tuple[str, ...] = ()
    others: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> dict[str, str]:
        """All names that its files may have, and those that they stand for."""
        return {name: name for name in (*self.required, *self.optional)} | dict(self.others)


def read_format(source: Path, formats: Sequence[Format]) -> SmallImages:
    """Reads a data set in the first of some formats of which all files are there.

    Args:
        source: See `read_members`.
        formats: The formats that the data set has.

    Raises:
        UserError: If files are missing or damaged.
    """
    names = {name: real for format in formats for name, real in format.names.items()}
    members = read_members(source, names)
    missing = [[name for name in form.required if name not in members] for form in formats]
    for form, lacking in zip(formats, missing, strict=True):
        if not lacking:
            return form.read(members)
    nearest, lacking = min(
        zip(formats, missing, strict=True), key=lambda pair: len(pair[1]) / len(pair[0].required)
    )
    if len(lacking) < len(nearest.required):
        raise UserError(
            f"{source} does not hold all of {nearest.title}: there is no "
            f"{' and no '.join(lacking)}, packed by gzip or not. It is cut short, or the download "
            "is not complete."
        )
    others = " or ".join(f"{form.title} ({', '.join(form.required)})" for form in formats)
    raise UserError(f"{source} must be a folder or an archive of {others}. It holds none of them.")
