"""One Parquet or Arrow file of images and labels: which columns they are, and what is in them."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from keras_classics.errors import UserError, require, short_reason

# Columns that hold images and labels, by their names.
IMAGES = ("image", "img")
LABELS = ("label", "labels", "fine_label")

# How the files begin. A stream of Arrow begins with the length of its schema.
PARQUET, ARROW = b"PAR1", b"ARROW1"

# Rows that are read at a time: memory for more is taken only while it stays below the limit.
ROWS = 256


class Table:
    """A file: its columns, its labels, and its images when they are asked for.

    Attributes:
        path: The file.
        class_names: Names of the classes, if the file describes them, or None.
        labels: Whole numbers, int64, or strings, as objects; shape (count,).

    Raises:
        UserError: If it cannot be read, or has no columns of images and labels.
    """

    def __init__(self, pa: ModuleType, path: Path):
        self.pa, self.path = pa, path
        self.mapped = (0, 0)
        with _naming_damage(path):
            schema = self._opened()[0]
            columns = schema.names
            types = {field.name: field.type for field in schema}
        features = _features(schema)
        images = [name for name, kind in types.items() if self._is_image(kind)]
        self.image = self._column("image", IMAGES, images, columns)
        named = [name for name in types if features.get(name, {}).get("_type") == "ClassLabel"]
        self.label = self._column("label", LABELS, named, columns)
        if self.image not in images:
            raise UserError(
                f"{path} must have the bytes of image files in its column {self.image}. Received: "
                f"{types[self.image]}."
            )
        self.class_names = _names(features.get(self.label, {}))
        self.labels = self._labels(types[self.label])

    def images(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, bool]]:
        """Yields the images of some rows at a time.

        Yields:
            Bytes, where each image starts in them, its length, and whether the bytes take memory,
            which those of a file that is mapped do not.

        Raises:
            UserError: If a row has no image, or the file is damaged.
        """
        row = 0
        with _naming_damage(self.path):
            for array in self._arrays(self.image):
                encoded = array
                if self.pa.types.is_struct(array.type):
                    encoded = array.flatten()[array.type.get_field_index("bytes")]
                self._check_all_there(array, encoded, row)
                row += len(array)
                _, offsets, content = encoded.buffers()
                is_large = self.pa.types.is_large_binary(encoded.type)
                width = np.dtype(np.int64 if is_large else np.int32)
                start = encoded.offset * width.itemsize
                ends = np.frombuffer(offsets, width, len(encoded) + 1, start).astype("int64")
                content = np.frombuffer(content or b"", np.uint8)
                first, end = self.mapped
                yield content, ends[:-1], np.diff(ends), not first <= content.ctypes.data < end

    def _column(
        self, what: str, usual: Sequence[str], others: Sequence[str], columns: Sequence[str]
    ) -> str:
        """Returns the column with one of the usual names, or else the only one that can be it."""
        found = [name for name in columns if name in usual] or list(others)
        if len(found) != 1:
            received = " and ".join(found) or f"the columns {', '.join(columns) or 'none'}"
            raise UserError(
                f"{self.path} must have one column of {what}s, named {' or '.join(usual)}. "
                f"Received: {received}. Rename or remove columns."
            )
        return found[0]

    def _is_image(self, kind: Any) -> bool:
        types = self.pa.types
        if types.is_struct(kind):
            index = kind.get_field_index("bytes")
            return index >= 0 and self._is_image(kind.field(index).type)
        return types.is_binary(kind) or types.is_large_binary(kind)

    def _labels(self, kind: Any) -> np.ndarray:
        """Returns the labels: whole numbers, int64, or strings, as objects."""
        types = self.pa.types
        value = kind.value_type if types.is_dictionary(kind) else kind
        is_text = types.is_string(value) or types.is_large_string(value) or types.is_boolean(value)
        if not (is_text or types.is_integer(value)):
            raise UserError(
                f"{self.path} must have whole numbers or strings in its column {self.label}. "
                f"Received: {kind}."
            )
        plain = self.pa.string() if is_text else self.pa.int64()
        found = []
        with _naming_damage(self.path):
            for array in self._arrays(self.label):
                labels = array.dictionary_decode() if types.is_dictionary(kind) else array
                if labels.null_count:
                    row = sum(map(len, found)) + int(np.argmax(labels.is_null().to_numpy(False)))
                    raise UserError(f"{self.path} has no label in row {row:,}.")
                found.append(labels.cast(plain).to_numpy(zero_copy_only=False))
        return np.concatenate(found) if found else np.zeros(0, object if is_text else "int64")

    def _check_all_there(self, array: Any, encoded: Any, first: int) -> None:
        if not encoded.null_count:
            return
        index = int(np.argmax(encoded.is_null().to_numpy(False)))
        row = array[index].as_py()
        where = f"{self.path}, row {first + index:,}"
        if isinstance(row, dict) and row.get("path"):
            raise UserError(
                f"{where}, names the file {str(row['path'])[:200]!r} and does not hold it. Write "
                "the table with Dataset.to_parquet, which stores the images, or use folder:PATH."
            )
        raise UserError(f"{where}, has no image. Remove the row.")

    def _arrays(self, column: str) -> Iterator[Any]:
        """Yields a column, some rows at a time, after checking its layout in memory."""
        for batch in self._opened(column)[1]:
            array = batch.column(batch.schema.get_field_index(column))
            if len(array):
                array.validate(full=True)
                yield array

    def _opened(self, column: str | None = None) -> tuple[Any, Iterator[Any]]:
        """Returns the schema, and an iterator over batches of a column."""
        with open(self.path, "rb") as file:
            start = file.read(len(ARROW))
        if start.startswith(PARQUET):
            parquet = require("pyarrow.parquet", "parquet").ParquetFile(self.path)
            columns = None if column is None else [column]
            return parquet.schema_arrow, parquet.iter_batches(ROWS, columns=columns)
        mapped = self.pa.memory_map(str(self.path))
        whole = mapped.read_buffer()
        self.mapped = (whole.address, whole.address + whole.size)
        mapped.seek(0)
        if start == ARROW:
            reader = self.pa.ipc.open_file(mapped)
            batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
            return reader.schema, batches
        stream = self.pa.ipc.open_stream(mapped)
        return stream.schema, iter(stream)


@contextlib.contextmanager
def _naming_damage(path: Path) -> Iterator[None]:
    """Turns any error of pyarrow into one that names the file."""
    try:
        yield
    except (UserError, MemoryError, GeneratorExit):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.strerror:
            raise UserError(f"{path} cannot be read: {error.strerror}.") from error
        # Wrong bytes lead to many errors of pyarrow, and to those of Python behind it.
        raise UserError(
            f"{path} cannot be read: {short_reason(error)}. It is damaged, or no Parquet or Arrow "
            "file."
        ) from error


def _features(schema: Any) -> dict[str, dict[str, Any]]:
    """Returns what Hugging Face's datasets writes about each column; nothing if it is not there."""
    try:
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        return {name: value for name, value in features.items() if isinstance(value, dict)}
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        return {}


def _names(feature: dict[str, Any]) -> tuple[str, ...] | None:
    names = feature.get("names")
    if feature.get("_type") != "ClassLabel" or not isinstance(names, list):
        return None
    return tuple(map(str, names))
