"""CIFAR, SVHN, STL-10 and EMNIST in the formats of their authors, with random images."""

import gzip
import io
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import scipy.io

from tests.helpers.idx_files import idx

NAMES_10 = tuple("abcdefghij")
NAMES_100 = tuple(f"fine {number}" for number in range(100))
NAMES_20 = tuple(f"coarse {number}" for number in range(20))

Columns = dict[str, np.ndarray]
Files = dict[str, bytes]


def images_and_labels(count: int, side: int, classes: int, seed: int = 0) -> Columns:
    """Random images, (count, side, side, 3), and labels."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, side, side, 3), "uint8")
    return {"image": images, "label": (np.arange(count) * 7 + seed) % classes}


def planes(images: np.ndarray) -> np.ndarray:
    """Pixels as CIFAR has them: all red ones of an image, row by row, then green and blue."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(len(images), -1)


def python2_pickle(value) -> bytes:
    """What Python 2's cPickle wrote with protocol 2, in which strings have no encoding."""
    return b"\x80\x02" + _pickled(value) + b"."


def _pickled(value) -> bytes:
    if isinstance(value, dict):
        items = b"".join(_pickled(key) + _pickled(item) for key, item in value.items())
        return b"}(" + items + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(_pickled, value)) + b"e"
    if isinstance(value, str):
        return b"T" + struct.pack("<I", len(value)) + value.encode("latin1")
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    assert isinstance(value, np.ndarray)
    shape = b"(" + b"".join(map(_pickled, value.shape)) + b"t"
    dtype = b"cnumpy\ndtype\n(" + _pickled("u1") + b"K\x00K\x01tR"
    dtype += b"(K\x03" + _pickled("|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    data = value.tobytes().decode("latin1")
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + _pickled("b")
    return array + b"tR(K\x01" + shape + dtype + b"\x89" + _pickled(data) + b"tb"


def python3_pickle(value) -> bytes:
    """What a program of today writes."""
    return pickle.dumps(value)


def cifar10_python(parts: dict[str, Columns], pickled=python2_pickle) -> Files:
    def batch(columns: Columns) -> bytes:
        labels = columns["label"].tolist()
        names = [f"{label}.png" for label in labels]
        content = {"batch_label": "a batch", "labels": labels, "filenames": names}
        return pickled(content | {"data": planes(columns["image"])})

    meta = {"num_cases_per_batch": 10, "label_names": list(NAMES_10), "num_vis": 3072}
    return {
        "cifar-10-batches-py/batches.meta": pickled(meta),
        "cifar-10-batches-py/readme.html": b"<html>",
        "cifar-10-batches-py/test_batch": batch(parts["test"]),
        **{f"cifar-10-batches-py/{name}": batch(part) for name, part in batches(parts).items()},
    }


def cifar100_python(parts: dict[str, Columns], pickled=python2_pickle) -> Files:
    def file(columns: Columns) -> bytes:
        content = {
            "filenames": [f"{label}.png" for label in columns["label"].tolist()],
            "fine_labels": columns["label"].tolist(),
            "coarse_labels": columns["coarse_label"].tolist(),
            "data": planes(columns["image"]),
        }
        return pickled(content)

    meta = {"fine_label_names": list(NAMES_100), "coarse_label_names": list(NAMES_20)}
    return {
        "cifar-100-python/file.txt~": b"",
        "cifar-100-python/train": file(parts["train"]),
        "cifar-100-python/test": file(parts["test"]),
        "cifar-100-python/meta": pickled(meta),
    }


def batches(parts: dict[str, Columns]) -> dict[str, Columns]:
    """The training images of CIFAR-10 in five batches."""
    train = parts["train"]
    indices = np.split(np.arange(len(train["label"])), 5)
    return {
        f"data_batch_{number}": {name: values[chosen] for name, values in train.items()}
        for number, chosen in enumerate(indices, 1)
    }


def rows(columns: Columns, labels: tuple[str, ...]) -> bytes:
    numbers = [columns[name].astype("uint8")[:, np.newaxis] for name in labels]
    return np.concatenate([*numbers, planes(columns["image"])], axis=1).tobytes()


def cifar10_binary(parts: dict[str, Columns]) -> Files:
    folder = "cifar-10-batches-bin"
    return {
        f"{folder}/batches.meta.txt": "\n".join([*NAMES_10, "", ""]).encode(),
        f"{folder}/test_batch.bin": rows(parts["test"], ("label",)),
        **{f"{folder}/{n}.bin": rows(part, ("label",)) for n, part in batches(parts).items()},
    }


def cifar100_binary(parts: dict[str, Columns]) -> Files:
    labels = ("coarse_label", "label")
    return {
        "cifar-100-binary/coarse_label_names.txt": "\n".join([*NAMES_20, ""]).encode(),
        "cifar-100-binary/fine_label_names.txt": "\n".join([*NAMES_100, ""]).encode(),
        "cifar-100-binary/train.bin": rows(parts["train"], labels),
        "cifar-100-binary/test.bin": rows(parts["test"], labels),
    }


def svhn(parts: dict[str, Columns]) -> Files:
    def file(columns: Columns) -> bytes:
        digits = np.where(columns["label"] == 0, 10, columns["label"]).astype("uint8")
        content = {"X": columns["image"].transpose(1, 2, 3, 0), "y": digits[:, np.newaxis]}
        return mat(content)

    return {f"{part}_32x32.mat": file(columns) for part, columns in parts.items()}


def mat(content: dict[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, content, do_compression=True)
    return file.getvalue()


def stl10(parts: dict[str, Columns]) -> Files:
    found = {"stl10_binary/class_names.txt": "\n".join([*NAMES_10, ""]).encode()}
    for part, columns in parts.items():
        name = "unlabeled" if part == "unlabelled" else part
        pixels = np.ascontiguousarray(columns["image"].transpose(0, 3, 2, 1))
        found[f"stl10_binary/{name}_X.bin"] = pixels.tobytes()
        if name == part:
            found[f"stl10_binary/{name}_y.bin"] = (columns["label"] + 1).astype("uint8").tobytes()
    return found


def emnist(parts: dict[str, Columns], split: str) -> Files:
    found = {}
    for part, columns in parts.items():
        name = f"gzip/emnist-{split}-{part}"
        images = gzip.compress(idx(columns["image"][..., 0]))
        found[f"{name}-images-idx3-ubyte.gz"] = images
        found[f"{name}-labels-idx1-ubyte.gz"] = gzip.compress(idx(columns["label"]))
    return found


def tar_gz(files: Files) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def tar(files: Files) -> bytes:
    return gzip.decompress(tar_gz(files))


def zipped(files: Files) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return packed.getvalue()


def unpack(files: Files, folder: Path) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
