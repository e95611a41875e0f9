"""Parquet and Arrow files of images and labels, as Hugging Face's datasets writes them."""

import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from keras_classics.data.formats.tables import Table
from keras_classics.data.packed import BytesSplit
from keras_classics.data.parts import TESTS, TRAIN, held_out, part_to_test, say_unused
from keras_classics.data.splits import MEMORY_LIMIT, MOST_CLASSES
from keras_classics.errors import UserError, natural_key, require
from keras_classics.files import user_path

ENDINGS = (".parquet", ".arrow")

# A file of several, such as train-00001-of-00002.
SHARD = re.compile(r"(?P<start>.*-)(?P<number>\d+)-of-(?P<count>\d+)")


def is_table(path: Path) -> bool:
    """Returns whether a file is of Parquet or Arrow, or a folder has such files."""
    if path.is_dir():
        return any(file.suffix.lower() in ENDINGS for file in _files_below(path))
    return path.suffix.lower() in ENDINGS


def load_parquet(
    path: str, parts: Sequence[str], *, exif: bool = False, share: float | None = None
) -> tuple[list[BytesSplit], tuple[str, ...]]:
    """Reads the encoded images and labels of `parquet:PATH` into memory.

    Args:
        path: A Parquet or Arrow file, or a folder of them, named by their parts as in
            `train-00000-of-00002.parquet`, or in folders named so. The test part is the first of
            `parts.TESTS` that is there and has labels.
        parts: Some of `train` and `test`.
        exif: Whether images are turned as their EXIF orientation says.
        share: For files without a test part: the fraction of the images that is held out for it,
            by the content of each; see `folders.load_folder`.

    Returns:
        The splits, in the order of the rows, and the name of each label: those of the ClassLabel
        that the files describe; of strings, these, sorted; of other numbers, the numbers.

    Raises:
        UserError: If the extra `parquet` is missing, a file is damaged or of another form, an image
            is not in it, or the images need more than `MEMORY_LIMIT`.
    """
    pa = require("pyarrow", "parquet")
    root = user_path(path)
    tables = {
        part: [Table(pa, file) for file in files] for part, files in files_of_parts(root).items()
    }
    test = part_to_test(root, tables, [part for part in tables if not _has_labels(tables[part])])
    if test is None or (TRAIN not in tables and TRAIN in parts):
        whole = tables.get(TRAIN) or tables.get("") or tables[str(test)]
        names = _class_names(root, whole)
        split = _split(root, whole, names, exif)
        if share is None and TRAIN not in parts and TRAIN not in tables:
            splits = {"test": split}
        else:
            splits = _shared(root, split, share)
    else:
        say_unused(share, root, str(test))
        used = {
            part: tables[own] for part, own in ((TRAIN, TRAIN), ("test", test)) if own in tables
        }
        names = _class_names(root, *used.values())
        splits = {part: _split(root, used[part], names, exif) for part in parts}
    return [splits[part] for part in parts], names


def files_of_parts(root: Path) -> dict[str, list[Path]]:
    """Returns the files of each part by its name, which is "" for files that name none.

    Args:
        root: See `load_parquet`.

    Raises:
        UserError: If there are none, or the files of a part are not those of one data set.
    """
    if root.is_file():
        return {"": [root]}
    if not root.is_dir():
        raise UserError(f"parquet:PATH takes a file or a folder of files. {root} is not there.")
    found: dict[str, dict[tuple[Path, str], list[Path]]] = {}
    for path in sorted(_files_below(root), key=lambda path: natural_key(str(path))):
        # Files that the library stores besides, and hidden ones.
        hidden = any(part[0] in "._" for part in path.relative_to(root).parts)
        if path.suffix.lower() in ENDINGS and path.is_file() and not hidden:
            if path.name.startswith("cache-"):
                continue
            group = path.parent, re.sub(r"\d+", "#", path.name)
            found.setdefault(_part_of(path.relative_to(root)), {}).setdefault(group, []).append(
                path
            )
    if not found:
        raise UserError(f"{root} holds no files of {' or '.join(ENDINGS)}.")
    if len(found) > 1:
        found.pop("", None)
    for part, groups in found.items():
        if len(groups) > 1:
            first, second = (paths[0] for paths in itertools.islice(groups.values(), 2))
            raise UserError(
                f"{root} must hold one data set. Received: {part or 'files'} of several, such as "
                f"{first.relative_to(root)} and {second.relative_to(root)}. Name the folder or "
                "file of one."
            )
    files = {part: next(iter(groups.values())) for part, groups in found.items()}
    for paths in files.values():
        _check_shards(paths)
    return files


def _files_below(folder: Path) -> Iterator[Path]:
    """Yields what is in a folder, as deep as the hub's `CONFIG/SPLIT/0000.parquet`."""
    return itertools.chain(*(folder.glob(pattern) for pattern in ("*", "*/*", "*/*/*")))


def _part_of(path: Path) -> str:
    """Returns the part that a file's name says, or else the nearest folder's, or ""."""
    for name in (path.stem, *(folder.name for folder in path.parents)):
        words = [word for word in re.split(r"[^a-z]+", name.lower()) if word in (TRAIN, *TESTS)]
        if words:
            return words[0] if name.lower().startswith(words[0]) else words[-1]
    return ""


def _check_shards(paths: Sequence[Path]) -> None:
    shards = [SHARD.fullmatch(path.stem) for path in paths]
    if shards[0] is not None:
        there = {int(shard["number"]) for shard in shards if shard}
        count = int(shards[0]["count"])
        missing = next((number for number in range(len(there) + 1) if number not in there), count)
        if missing < count:
            raise UserError(
                f"{paths[0].parent} must hold all {count:,} files of {paths[0].name}. There is no "
                f"number {missing}. Download the data set again."
            )


def _has_labels(tables: Sequence[Table]) -> bool:
    """Returns whether images have labels. Where they have none, Hugging Face has -1."""
    numbers = [table.labels for table in tables if table.labels.dtype.kind == "i"]
    return all((labels >= 0).all() for labels in numbers)


def _class_names(root: Path, *parts: Sequence[Table]) -> tuple[str, ...]:
    """Returns the names of the classes, of all parts together.

    Raises:
        UserError: If files differ in them, or there are too many.
    """
    tables = [table for part in parts for table in part]
    for table in tables[1:]:
        if (table.class_names, table.labels.dtype) != (
            tables[0].class_names,
            tables[0].labels.dtype,
        ):
            raise UserError(
                f"The files of {root} must have the same classes. Those of {table.path} are others "
                f"than those of {tables[0].path}."
            )
    if tables[0].class_names is not None and tables[0].labels.dtype.kind == "i":
        return tables[0].class_names
    if tables[0].labels.dtype.kind != "i":
        known = sorted(set(itertools.chain(*(table.labels for table in parts[0]))))
        for table in tables:
            if unknown := sorted(set(table.labels) - set(known)):
                raise UserError(
                    f"The classes of {root} are those of its first part. {table.path} has others: "
                    f"{', '.join(unknown[:5])}."
                )
        return tuple(known)
    count = max((int(table.labels.max()) + 1 for table in tables if len(table.labels)), default=0)
    if count > MOST_CLASSES:
        raise UserError(
            f"Labels of {root} must be 0 to {MOST_CLASSES - 1:,}. Received: {count - 1}."
        )
    return tuple(map(str, range(count)))


def _split(
    root: Path, tables: Sequence[Table], class_names: Sequence[str], exif: bool
) -> BytesSplit:
    """Reads the images of a part."""
    files, buffers, starts, lengths, rows, memory = [], [], [], [], [], 0
    for table in tables:
        row = 0
        for content, start, length, in_memory in table.images():
            memory += int(length.sum()) if in_memory else 0
            if memory > MEMORY_LIMIT:
                raise UserError(
                    f"The images of {root} must fit into {MEMORY_LIMIT // 2**30} GiB of memory, as "
                    "they are stored. They are more. Write them into files and use folder:PATH."
                )
            files.append(str(table.path))
            buffers.append(content)
            starts.append(start)
            lengths.append(length)
            rows.append(np.arange(row, row + len(start)))
            row += len(start)
        if row != len(table.labels):
            raise UserError(
                f"{table.path} is damaged: it has {row:,} images and {len(table.labels):,} labels."
            )
    labels = np.concatenate([table.labels for table in tables])
    if labels.dtype.kind != "i":
        number_of = {name: number for number, name in enumerate(class_names)}
        labels = np.array([number_of[name] for name in labels], "int32")
    return BytesSplit(
        files=tuple(files),
        numbers=np.repeat(np.arange(len(files), dtype="int32"), [len(row) for row in rows]),
        offsets=_joined(starts),
        lengths=_joined(lengths),
        buffers=tuple(buffers),
        rows=_joined(rows),
        labels=np.clip(labels, -1, MOST_CLASSES).astype("int32"),
        exif=exif,
    )


def _joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, "int64"), *arrays])


def _shared(root: Path, split: BytesSplit, share: float | None) -> dict[str, BytesSplit]:
    """Returns the parts of images without parts, by the content of each."""
    held = held_out(root, split.contents_as_names(), share)
    return {TRAIN: split.take(np.flatnonzero(~held)), "test": split.take(np.flatnonzero(held))}
