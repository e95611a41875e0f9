"""Parquet and Arrow files of images, in the layouts of Hugging Face's datasets."""

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet


def table(
    images: Sequence[bytes | None],
    labels: Sequence,
    names: Sequence[str] | None = None,
    columns: tuple[str, str] = ("image", "label"),
    paths: Sequence[str | None] | None = None,
) -> pa.Table:
    """A table as the library makes it: structs of bytes and path, and numbers or strings."""
    paths = [f"{i}.jpg" for i in range(len(images))] if paths is None else paths
    rows = [{"bytes": b, "path": p} for b, p in zip(images, paths, strict=True)]
    image = pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    features = {columns[0]: {"_type": "Image"}, columns[1]: {"_type": "Value", "dtype": "int64"}}
    if names is not None:
        features[columns[1]] = {"_type": "ClassLabel", "names": list(names)}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    made = pa.table({columns[0]: image, columns[1]: pa.array(labels)})
    return made.replace_schema_metadata(metadata)


def write(made: pa.Table, path: Path, form: str = "parquet", **options) -> Path:
    """Writes a table as Parquet, or as a file or stream of Arrow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if form == "parquet":
        pa.parquet.write_table(made, path, **options)
        return path
    new = {"file": pa.ipc.new_file, "stream": pa.ipc.new_stream}[form]
    with new(str(path), made.schema) as writer:
        writer.write_table(made, max_chunksize=3)
    return path
