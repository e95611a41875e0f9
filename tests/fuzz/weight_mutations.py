"""Mutations of files of weights that know their forms: valid files that say something wrong."""

import contextlib
import io
import json
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import h5py
import ml_dtypes
import numpy as np

from tests.fuzz.mutations import BYTES, Mutation

# A file beside the weights, which they must not read.
SECRET = f"{tempfile.gettempdir()}/keras_classics_{os.getpid()}.h5"


@contextlib.contextmanager
def secret(values: int) -> Iterator[None]:
    """Writes the secret file, and removes it at the end."""
    with h5py.File(SECRET, "w") as file:
        file["x"] = np.ones(values, "float32")
    yield
    os.unlink(SECRET)


Change = Callable[[h5py.File, str, np.random.Generator], None]


def _datasets(file: h5py.File, least: int = 4) -> list[str]:
    names: list[str] = []
    file.visititems(
        lambda name, entry: (
            names.append(name)
            if isinstance(entry, h5py.Dataset) and entry.size >= least and entry.dtype.kind == "f"
            else None
        )
    )
    return names


def hdf5(change: Change) -> Mutation:
    """A mutation that changes an HDF5 file at one of its tensors, drawn."""

    def mutate(content: bytes, draw: np.random.Generator) -> bytes:
        buffer = io.BytesIO(content)
        with h5py.File(buffer, "r+") as file:
            names = _datasets(file)
            change(file, names[draw.integers(len(names))], draw)
        return buffer.getvalue()

    return mutate


def _replaced(make: Callable[[h5py.File, str, np.ndarray], Any]) -> Change:
    def change(file: h5py.File, name: str, draw: np.random.Generator) -> None:
        array = file[name][()]
        del file[name]
        made = make(file, name, array)
        if made is not None:
            file[name] = made

    return change


def _as(dtype: Any) -> Change:
    return _replaced(lambda file, name, array: array.astype(dtype))


def _one(value: float) -> Change:
    def make(file: h5py.File, name: str, array: np.ndarray) -> np.ndarray:
        array = array.astype("float64" if np.isfinite(value) else array.dtype)
        array.flat[array.size // 2] = value
        return array

    return _replaced(make)


def _external(file: h5py.File, name: str, array: np.ndarray) -> None:
    file.create_dataset(name, array.shape, "f4", external=[(SECRET, 0, array.nbytes)])


def _virtual(file: h5py.File, name: str, array: np.ndarray) -> None:
    layout = h5py.VirtualLayout(array.shape, "f4")
    layout[...] = h5py.VirtualSource(SECRET, "x", array.shape)
    file.create_virtual_dataset(name, layout)


def _soft(file: h5py.File, name: str, array: np.ndarray) -> h5py.SoftLink:
    file["elsewhere"] = array
    return h5py.SoftLink("/elsewhere")


def _soft_group(file: h5py.File, name: str, draw: np.random.Generator) -> None:
    group = name.split("/")[0]
    file.move(group, "moved")
    file[group] = h5py.SoftLink("/moved")


def _large_chunks(file: h5py.File, name: str, array: np.ndarray) -> None:
    chunks = (300_000_000 // 10 ** (array.ndim - 1),) + (10,) * (array.ndim - 1)
    free = (None,) * array.ndim
    file.create_dataset(
        name, array.shape, "f4", maxshape=free, chunks=chunks, compression="gzip", fillvalue=1.0
    )


def _unpacks(file: h5py.File, name: str, array: np.ndarray) -> None:
    data = file.create_dataset(name, array.shape, "f4", chunks=array.shape, compression="gzip")
    packer = zlib.compressobj()
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(40)) + packer.flush()
    data.id.write_direct_chunk((0,) * array.ndim, packed)


def _huge(file: h5py.File, name: str, array: np.ndarray) -> None:
    file.create_dataset(name, (10**9,), "f4", chunks=(10**6,), compression="gzip", fillvalue=1.0)


def _bfloat16(file: h5py.File, name: str, array: np.ndarray) -> None:
    data = file.create_dataset(name, data=array.astype(ml_dtypes.bfloat16))
    data.attrs["dtype"] = "bfloat16"


def _nested(file: h5py.File, name: str, draw: np.random.Generator) -> None:
    group = file[name].parent
    for _ in range(int(draw.integers(2, 2000))):
        group = group.create_group("g")


def _names(value: Any) -> Change:
    def change(file: h5py.File, name: str, draw: np.random.Generator) -> None:
        group = file if draw.integers(2) else file[name.split("/")[0]]
        group.attrs["layer_names" if group.name == "/" else "weight_names"] = value

    return change


def every(dtype: str) -> Mutation:
    """A mutation that stores all tensors of an HDF5 file in another type, as Keras does."""

    def mutate(content: bytes, draw: np.random.Generator) -> bytes:
        buffer = io.BytesIO(content)
        with h5py.File(buffer, "r+") as file:
            for name in _datasets(file, least=0):
                change = _replaced(_bfloat16) if dtype == "bfloat16" else _as(dtype)
                change(file, name, draw)
        return buffer.getvalue()

    return mutate


HDF5 = {
    "external": hdf5(_replaced(_external)),
    "virtual": hdf5(_replaced(_virtual)),
    "external link": hdf5(_replaced(lambda *_: h5py.ExternalLink(SECRET, "x"))),
    "soft link": hdf5(_replaced(_soft)),
    "soft link to a group": hdf5(_soft_group),
    "NaN": hdf5(_one(np.nan)),
    "infinite": hdf5(_one(-np.inf)),
    "too large": hdf5(_one(1e300)),
    "large chunks": hdf5(_replaced(_large_chunks)),
    "unpacks": hdf5(_replaced(_unpacks)),
    "huge": hdf5(_replaced(_huge)),
    "bfloat16": hdf5(_replaced(_bfloat16)),
    "float16": hdf5(_as("float16")),
    "big-endian": hdf5(_as(">f8")),
    "integers": hdf5(_as("int32")),
    "complex": hdf5(_as("complex64")),
    "compound": hdf5(_replaced(lambda f, n, a: np.zeros(a.shape, [("a", "f4"), ("b", "f4")]))),
    "texts": hdf5(_replaced(lambda *_: ["a", "b"])),
    "empty": hdf5(_replaced(lambda *_: h5py.Empty("f4"))),
    "a group": hdf5(_replaced(lambda file, name, array: file.create_group(name) and None)),
    "missing": hdf5(_replaced(lambda *_: None)),
    "another shape": hdf5(_replaced(lambda f, n, array: array.reshape(-1)[1:])),
    "a loop": hdf5(lambda file, name, draw: file[name].parent.__setitem__("loop", file["/"])),
    "nested": hdf5(_nested),
    "another": hdf5(lambda file, name, draw: file.__setitem__(f"{name}x", np.zeros(9, "f4"))),
    "a number as names": hdf5(_names(7)),
    "no UTF-8 as names": hdf5(_names([b"\xff\xfe"])),
    "rows as names": hdf5(_names(np.zeros((2, 2)))),
    "no names": hdf5(_names(h5py.Empty("S1"))),
    "one name twice": hdf5(_names([b"a", b"a"])),
    "huge names": hdf5(_names([b"/", b".", b"..", b"a/b"])),
}


def members(change: Callable[[dict[str, bytes], np.random.Generator], None], **options) -> Mutation:
    """A mutation that changes the members of a zip archive, with right checksums."""

    def mutate(content: bytes, draw: np.random.Generator) -> bytes:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found = {name: archive.read(name) for name in archive.namelist()}
        change(found, draw)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", **options) as archive:
            for name, data in found.items():
                archive.writestr(name, data)
        return buffer.getvalue()

    return mutate


def in_weights(mutation: Mutation) -> Mutation:
    """A mutation of the weights in a `.keras` archive."""

    def change(found: dict[str, bytes], draw: np.random.Generator) -> None:
        found["model.weights.h5"] = mutation(found["model.weights.h5"], draw)

    return members(change)


def _in_a_member(mutation: Mutation) -> Mutation:
    def change(found: dict[str, bytes], draw: np.random.Generator) -> None:
        names = [name for name, data in found.items() if data]
        # Half of the changes are in what says how the others are read.
        main = [n for n in names if n.endswith((".pkl", ".h5", ".json"))]
        names = main if draw.integers(2) else names
        name = names[draw.integers(len(names))]
        found[name] = mutation(found[name], draw)

    return members(change)


def _inflated(found: dict[str, bytes], draw: np.random.Generator) -> None:
    name = max(found, key=lambda name: len(found[name]))
    found[name] += bytes(150_000_000)


def _flag(content: bytes, draw: np.random.Generator) -> bytes:
    """Sets a bit of the members' flags: encrypted, UTF-8, a descriptor, patched."""
    changed, bit = bytearray(content), int(draw.choice([0, 3, 5, 6, 11]))
    for start, offset in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        position = changed.find(start)
        while position >= 0:
            changed[position + offset + bit // 8] |= 1 << bit % 8
            position = changed.find(start, position + 1)
    return bytes(changed)


def _renamed(found: dict[str, bytes], draw: np.random.Generator) -> None:
    name = list(found)[draw.integers(len(found))]
    found[str(draw.choice(["../x", "/x", "x\\y", "x", "a\nb"]))] = found.pop(name)


def _many(found: dict[str, bytes], draw: np.random.Generator) -> None:
    found.update({f"{i:0200}": b"" for i in range(20_000)})


def _twice(content: bytes, draw: np.random.Generator) -> bytes:
    buffer = io.BytesIO(content)
    with zipfile.ZipFile(buffer, "a") as archive:
        name = archive.namelist()[draw.integers(len(archive.namelist()))]
        info = zipfile.ZipInfo(name)
        archive.NameToInfo.clear()
        archive.writestr(info, draw.bytes(100))
    return buffer.getvalue()


ZIP = {
    **{f"{name} in a member": _in_a_member(mutation) for name, mutation in BYTES.items()},
    "deflated": members(lambda found, draw: None, compression=zipfile.ZIP_DEFLATED),
    "bzip2": members(lambda found, draw: None, compression=zipfile.ZIP_BZIP2),
    "lzma": members(lambda found, draw: None, compression=zipfile.ZIP_LZMA),
    "inflated": members(_inflated, compression=zipfile.ZIP_DEFLATED),
    "a flag": _flag,
    "a member renamed": members(_renamed),
    "many members": members(_many),
    "a member twice": _twice,
}
for _name in ("deflated", "bzip2", "lzma"):
    ZIP[f"flip bytes in {_name}"] = lambda content, draw, pack=ZIP[_name]: BYTES["flip bytes"](
        pack(content, draw), draw
    )


def header(change: Callable[[dict[str, Any], str, np.random.Generator], None]) -> Mutation:
    """A mutation that changes the header of a `.safetensors` file, for one of its tensors."""

    def mutate(content: bytes, draw: np.random.Generator) -> bytes:
        (length,) = struct.unpack_from("<Q", content)
        entries = json.loads(content[8 : 8 + length])
        names = [name for name in entries if name != "__metadata__"]
        change(entries, names[draw.integers(len(names))], draw)
        text = json.dumps(entries).encode()
        return struct.pack("<Q", len(text)) + text + content[8 + length :]

    return mutate


def _entry(**changes: Any) -> Mutation:
    return header(lambda entries, name, draw: entries[name].update(changes))


def _value(content: bytes, draw: np.random.Generator) -> bytes:
    changed = bytearray(content)
    value = draw.choice([np.nan, np.inf, -np.inf])
    struct.pack_into("<f", changed, len(content) - 4 * int(draw.integers(1, 20)), value)
    return bytes(changed)


SAFETENSORS = {
    **{
        f"{dtype} for F32": _entry(dtype=dtype)
        for dtype in ("F16", "BF16", "F64", "I32", "U8", "BOOL", "C64", "F8_E4M3", "F4", "X", 5)
    },
    "no shape": _entry(shape=[]),
    "a huge shape": _entry(shape=[1 << 40, 1 << 40]),
    "a negative shape": _entry(shape=[-1]),
    "other offsets": _entry(data_offsets=[0, 4]),
    "huge offsets": _entry(data_offsets=[0, 1 << 62]),
    "reversed offsets": _entry(data_offsets=[8, 4]),
    "renamed": header(lambda entries, name, draw: entries.update({"a\nb": entries.pop(name)})),
    "missing": header(lambda entries, name, draw: entries.pop(name) and None),
    "a list": header(lambda entries, name, draw: entries.update({name: []})),
    "nested": header(lambda e, name, draw: e.update({name: json.loads("[" * 900 + "]" * 900)})),
    "a long header": header(lambda e, name, draw: e.update({"__metadata__": {"x": "y" * 10**7}})),
    "not finite": _value,
}
