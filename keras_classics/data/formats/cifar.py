"""CIFAR-10 and CIFAR-100 as their authors offer them: in pickles, and in binary files.

https://www.cs.toronto.edu/~kriz/cifar.html describes both. A row is an image's labels and its
3,072 pixels: all red ones, then the green and the blue ones.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_classics.data.formats.members import Member
from keras_classics.data.formats.pickles import array_of, read_pickle
from keras_classics.data.formats.small_images import Format, SmallImages
from keras_classics.errors import UserError

# Most bytes of a file: three times the largest, CIFAR-100's training images.
FILE_BYTES = 2**29

SIDE = 32
PIXELS = 3 * SIDE * SIDE

BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))

# In the order in which binary files have them: columns of labels, and their names in the pickles of
# images and of classes.
CIFAR10 = {"label": ("labels", "label_names")}
CIFAR100 = {
    "coarse_label": ("coarse_labels", "coarse_label_names"),
    "label": ("fine_labels", "fine_label_names"),
}

Labels = Mapping[str, tuple[str, str]]
Parts = Mapping[str, Sequence[str]]
Members = Mapping[str, Member]
Columns = dict[str, np.ndarray]


def _read_python(parts: Parts, meta: str, labels: Labels, members: Members) -> SmallImages:
    def batch(name: str) -> Columns:
        content = _mapping(members[name])
        data = array_of(content.get("data"))
        if data is None or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != PIXELS:
            raise UserError(
                f"{members[name].name} must hold 'data', uint8 of shape (count, {PIXELS:,})."
            )
        columns = {"image": data}
        for column, (key, _) in labels.items():
            values = array_of(content.get(key))
            if values is None or values.shape != (len(data),):
                raise UserError(
                    f"{members[name].name} must hold {key!r}, a whole number for each of its "
                    f"{len(data):,} images."
                )
            columns[column] = values
        return columns

    names = _mapping(members[meta])
    class_names = {column: _names(names.get(key)) for column, (_, key) in labels.items()}
    return SmallImages(_joined(parts, batch, members), class_names)


def _read_binary(parts: Parts, labels: Labels, members: Members) -> SmallImages:
    def batch(name: str) -> Columns:
        content = members[name].read(FILE_BYTES)
        width = len(labels) + PIXELS
        if not content or len(content) % width:
            raise UserError(
                f"{members[name].name} must hold rows of {width:,} bytes. Received: "
                f"{len(content):,} bytes. It is cut short or damaged; download it again."
            )
        rows = np.frombuffer(content, np.uint8).reshape(-1, width)
        columns = {column: rows[:, index] for index, column in enumerate(labels)}
        return {"image": rows[:, len(labels) :], **columns}

    class_names = {
        column: _names(members[_text_file(key, labels)].read(FILE_BYTES).split(b"\n"))
        for column, (_, key) in labels.items()
    }
    return SmallImages(_joined(parts, batch, members), class_names)


def _text_file(key: str, labels: Labels) -> str:
    return "batches.meta.txt" if labels is CIFAR10 else f"{key}.txt"


def _mapping(member: Member) -> dict[str, Any]:
    """Returns the dictionary in a pickle, its keys as text."""
    pickled = member.read(FILE_BYTES)
    try:
        content = read_pickle(pickled)
        if not isinstance(content, dict):
            raise UserError(f"it must be of a dictionary. Received: {type(content).__name__}")
    except UserError as error:
        raise UserError(
            f"{member.name} must be a pickle of CIFAR: {error}. Download it again."
        ) from error
    return {_text(key): value for key, value in content.items() if isinstance(key, str | bytes)}


def _text(text: str | bytes) -> str:
    return text.decode(errors="backslashreplace") if isinstance(text, bytes) else text


def _names(names: Any) -> tuple[str, ...]:
    """Returns the names of classes; of anything else, none, which is then told as too few."""
    if not isinstance(names, list) or not all(isinstance(name, str | bytes) for name in names):
        return ()
    return tuple(text for name in names if (text := _text(name).strip()))


def _joined(parts: Parts, batch: Callable[[str], Columns], members: Members) -> dict[str, Columns]:
    """Reads the files of each split and joins them.

    Raises:
        UserError: If the files of a split differ in the number of their images: one is cut.
    """
    splits = {}
    for part, names in parts.items():
        batches = [batch(name) for name in names]
        counts = {members[n].name: len(b["image"]) for n, b in zip(names, batches, strict=True)}
        if len(set(counts.values())) > 1:
            smallest = min(counts, key=lambda name: counts[name])
            raise UserError(
                f"The training batches must hold equally many images. {smallest} holds "
                f"{counts[smallest]:,}, another {max(counts.values()):,}."
            )
        columns = {name: np.concatenate([b[name] for b in batches]) for name in batches[0]}
        images = columns["image"].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
        splits[part] = columns | {"image": images}
    return splits


def _python(title: str, parts: Parts, meta: str, labels: Labels) -> Format:
    names = tuple(name for names in parts.values() for name in names)
    read = functools.partial(_read_python, parts, meta, labels)
    return Format(f"{title}'s pickles", (*names, meta), read)


def _binary(title: str, parts: Parts, labels: Labels) -> Format:
    parts = {part: [f"{name}.bin" for name in names] for part, names in parts.items()}
    names = [name for names in parts.values() for name in names]
    texts = [_text_file(key, labels) for _, key in labels.values()]
    read = functools.partial(_read_binary, parts, labels)
    return Format(f"{title}'s binary files", (*names, *texts), read)


_PARTS_10 = {"train": BATCHES, "test": ["test_batch"]}
_PARTS_100 = {"train": ["train"], "test": ["test"]}

CIFAR10_FORMATS = (
    _python("CIFAR-10", _PARTS_10, "batches.meta", CIFAR10),
    _binary("CIFAR-10", _PARTS_10, CIFAR10),
)
CIFAR100_FORMATS = (
    _python("CIFAR-100", _PARTS_100, "meta", CIFAR100),
    _binary("CIFAR-100", _PARTS_100, CIFAR100),
)
