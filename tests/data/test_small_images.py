"""Archives of small images in the formats of their authors: read back, cut, altered, hostile."""

import gzip
import io
import itertools
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from keras_classics.data import importers, load
from keras_classics.data.builders import IMPORTABLE
from keras_classics.data.formats import cifar, members
from keras_classics.data.formats.small_images import read_format
from keras_classics.errors import UserError
from tests.helpers import small_image_files as written
from tests.helpers.idx_files import idx, write_idx_set

TRAIN, TEST = (written.images_and_labels(count, 32, 10, count) for count in (20, 7))
PARTS = {"train": TRAIN, "test": TEST}

PARTS_100 = {
    part: columns | {"label": columns["label"] * 9, "coarse_label": columns["label"] * 2}
    for part, columns in PARTS.items()
}
PARTS_STL = {
    part: written.images_and_labels(count, 96, 10, count)
    for part, count in (("train", 6), ("test", 4), ("unlabelled", 3))
}
PARTS_EMNIST = {
    part: written.images_and_labels(count, 28, 26, count)
    for part, count in (("train", 30), ("test", 5))
}
EMNIST = written.emnist(PARTS_EMNIST, "letters")

# Data set, the files of its authors, how they are packed, and what they hold.
SETS = {
    "pickles of Python 2": (
        "cifar10",
        written.tar_gz(written.cifar10_python(PARTS)),
        PARTS,
    ),
    "pickles of Python 3": (
        "cifar10",
        written.zipped(written.cifar10_python(PARTS, written.python3_pickle)),
        PARTS,
    ),
    "cifar10, binary": ("cifar10", written.tar_gz(written.cifar10_binary(PARTS)), PARTS),
    "cifar100": ("cifar100", written.tar_gz(written.cifar100_python(PARTS_100)), PARTS_100),
    "cifar100, binary": ("cifar100", written.tar(written.cifar100_binary(PARTS_100)), PARTS_100),
    "svhn": ("svhn_cropped", written.zipped(written.svhn(PARTS | {"extra": TEST})), PARTS),
    "stl10": ("stl10", written.tar_gz(written.stl10(PARTS_STL)), PARTS_STL),
    "emnist": ("emnist/letters", written.zipped(EMNIST), PARTS_EMNIST),
}


def prepared(dataset: str, content: bytes, folder: Path, name: str = "archive") -> Path:
    path = folder / name
    path.write_bytes(content)
    return importers.prepare(dataset, path, str(folder / "tfds"))


@pytest.mark.parametrize("case", SETS)
def test_reads_what_was_written(case, tmp_path):
    dataset, archive, parts = SETS[case]
    path = tmp_path / "archive"
    path.write_bytes(archive)
    builder = tfds.builder(dataset, data_dir=str(tmp_path))
    found = read_format(path, importers._formats(builder))
    for part, columns in parts.items():
        assert found.splits[part].keys() == columns.keys()
        channels = 1 if "emnist" in dataset else 3
        np.testing.assert_array_equal(found.splits[part]["image"], columns["image"][..., :channels])
        for name in columns.keys() - {"image"}:
            expected = -1 if part == "unlabelled" else columns[name]
            np.testing.assert_array_equal(found.splits[part][name], expected)
    fine, coarse = written.NAMES_100, written.NAMES_20
    names = {"cifar10": written.NAMES_10, "stl10": written.NAMES_10, "cifar100": fine}
    expected = {"label": names[dataset]} if dataset in names else {}
    assert found.class_names == expected | ({"coarse_label": coarse} if "100" in dataset else {})


def test_loads_as_usual(tmp_path):
    folder = prepared("cifar10", SETS["pickles of Python 2"][1], tmp_path)
    assert folder == tmp_path / "tfds" / "cifar10" / "3.0.2"
    data = load("cifar10", str(tmp_path / "tfds"))
    assert data.class_names == written.NAMES_10
    for split, columns in ((data.train, TRAIN), (data.test, TEST)):
        np.testing.assert_array_equal(split.images, columns["image"])
        np.testing.assert_array_equal(split.labels, columns["label"])


def of_tensorflow_datasets(dataset: str, folder: Path) -> dict[str, list[dict]]:
    """The rows of each split as the generators of TensorFlow Datasets make them of the files."""
    builder = tfds.builder(dataset, data_dir=str(folder / "none"))
    if dataset.startswith("cifar"):
        files = builder._cifar_info
        root = folder / files.prefix
        rows = {
            part: builder._generate_examples(f"{part}_", [root / name for name in names])
            for part, names in (("train", files.train_files), ("test", files.test_files))
        }
    elif dataset == "svhn_cropped":
        names = {part: str(folder / f"{part}_32x32.mat") for part in ("train", "test", "extra")}
        rows = {part: builder._generate_examples(f"{part}_", name) for part, name in names.items()}
    elif dataset == "stl10":
        root = folder / "stl10_binary"
        files = {
            part: [root / f"{part}_X.bin", root / f"{part}_y.bin"] for part in ("train", "test")
        }
        files["unlabelled"] = [root / "unlabeled_X.bin"]
        rows = {part: builder._generate_examples(names) for part, names in files.items()}
    else:
        rows = {}
        for part, columns in PARTS_EMNIST.items():
            paths = []
            for kind in ("images-idx3", "labels-idx1"):
                packed = folder / "gzip" / f"emnist-letters-{part}-{kind}-ubyte.gz"
                packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
                paths.append(packed.with_suffix(""))
            rows[part] = builder._generate_examples(len(columns["label"]), *paths)
    return {part: [row for _, row in generator] for part, generator in rows.items()}


@pytest.mark.parametrize("case", ["cifar10, binary", "cifar100, binary", "svhn", "stl10", "emnist"])
def test_rows_are_those_of_tensorflow_datasets(case, tmp_path):
    dataset, archive, _ = SETS[case]
    prepared(dataset, archive, tmp_path)
    unpacked = tmp_path / "files"
    if archive[:2] == b"PK":
        zipfile.ZipFile(io.BytesIO(archive)).extractall(unpacked)
    else:
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
            packed.extractall(unpacked)
    builder = tfds.builder(dataset, data_dir=str(tmp_path / "tfds"))
    expected = of_tensorflow_datasets(dataset, unpacked)
    assert sorted(builder.info.splits) == sorted(expected)
    for part, rows in expected.items():
        found = list(tfds.as_numpy(builder.as_dataset(split=part)))
        assert len(found) == len(rows)
        for row, other in zip(rows, found, strict=True):
            assert set(row) == set(other) == set(builder.info.features)
            np.testing.assert_array_equal(row.pop("image"), other.pop("image"))
            assert {name: value for name, value in row.items() if name != "id"} == {
                name: value for name, value in other.items() if name != "id"
            }
            assert row.get("id", "") == other.get("id", b"").decode()


def test_a_folder_a_file_in_it_and_other_names(tmp_path):
    """Folders as torchvision, Kaggle and browsers leave them."""
    images, _ = write_idx_set(tmp_path / "a" / "raw", train=20, test=6)
    raw = tmp_path / "a" / "raw"
    (raw / "train-images-idx3-ubyte.gz").write_bytes(b"a download that was cut")
    (raw / "t10k-images-idx3-ubyte").rename(raw / "t10k-images.idx3-ubyte")
    for source in (raw, raw.parent, raw / "train-labels-idx1-ubyte.gz"):
        found = read_format(source, importers.FORMATS["mnist"])
        np.testing.assert_array_equal(found.splits["train"]["image"][..., 0], images["train"])


def said(caplog) -> list[str]:
    """The warnings of this package alone."""
    return [r.getMessage() for r in caplog.records if r.name.startswith("keras_classics")]


def test_what_is_not_there_is_said(tmp_path, caplog):
    prepared("svhn_cropped", written.tar(written.svhn(PARTS)), tmp_path)
    assert said(caplog) == [
        "svhn_cropped is prepared without its split extra, because there is no extra_32x32.mat."
    ]
    assert sorted(tfds.builder("svhn_cropped", data_dir=str(tmp_path / "tfds")).info.splits) == [
        "test",
        "train",
    ]


def test_the_names_of_published_files_are_checked(tmp_path, caplog):
    name = "cifar-10-python.tar.gz"
    prepared("cifar10", SETS["pickles of Python 2"][1], tmp_path, name)
    assert said(caplog) == [
        f"cifar10: {name} in {tmp_path} differs from the published file of this name (its SHA-256 "
        "is another). The content was read all the same."
    ]


def test_checksums_of_all_sets_are_known():
    for dataset in IMPORTABLE:
        assert tfds.builder_cls(dataset).url_infos
    assert set(importers.FORMATS) | {"emnist"} == set(IMPORTABLE)


def change(files: dict[str, bytes], **changes: bytes | None) -> dict[str, bytes]:
    """Replaces the content of files, by the first letters of their names; None removes them."""
    for start, content in changes.items():
        (name,) = (name for name in files if Path(name).name.startswith(start))
        files = {k: content if k == name else v for k, v in files.items() if k != name or content}
    return files


PYTHON, BINARY = written.cifar10_python(PARTS), written.cifar10_binary(PARTS)
LABEL_10 = {"train": TRAIN, "test": TEST | {"label": TEST["label"] + 1}}


def svhn_with(**changes: np.ndarray) -> bytes:
    digits = {"X": TEST["image"].transpose(1, 2, 3, 0), "y": TEST["label"][:, np.newaxis] + 1}
    test = written.mat(digits | changes)
    return written.tar(written.svhn({"train": TRAIN}) | {"test_32x32.mat": test})


def stl_with(**changes: bytes | None) -> bytes:
    return written.tar(change(written.stl10(PARTS_STL), **changes))


ARCHIVE = SETS["pickles of Python 2"][1]
TAR = gzip.decompress(ARCHIVE)

BAD_SETS = {
    "label 10, pickles": (
        "cifar10",
        lambda: written.tar(written.cifar10_python(LABEL_10)),
        "must be 0 to 9. Received: 10 at position",
    ),
    "label 10, binary": (
        "cifar10",
        lambda: written.tar(written.cifar10_binary(LABEL_10)),
        "must be 0 to 9. Received: 10 at position",
    ),
    "half a row": (
        "cifar10",
        lambda: written.tar(change(BINARY, data_batch_2=bytes(3073 * 4 - 1))),
        "data_batch_2.bin must hold rows of 3,073 bytes. Received: 12,291",
    ),
    "a row less": (
        "cifar10",
        lambda: written.tar(change(BINARY, data_batch_2=bytes(3073 * 3))),
        "must hold equally many images",
    ),
    "names": (
        "cifar10",
        lambda: written.tar(change(BINARY, batches=b"a\nb\n")),
        "must have 10 different names of classes. Received: 2",
    ),
    "only train": (
        "cifar10",
        lambda: written.tar(change(PYTHON, test_batch=None)),
        "there is no test_batch",
    ),
    "another set": (
        "cifar10",
        lambda: SETS["cifar100"][1],
        "must be a folder or an archive of CIFAR-10's pickles",
    ),
    "nothing": ("cifar10", lambda: written.tar({}), "It holds none of them"),
    "two sets": (
        "cifar10",
        lambda: written.tar(PYTHON | {"b/test_batch": b""}),
        "holds two files test_batch",
    ),
    "a path out": (
        "cifar10",
        lambda: written.tar(PYTHON | {"../test_batch": b""}),
        "leads out of it: '../test_batch'",
    ),
    "a path out, zip": (
        "cifar10",
        lambda: written.zipped(PYTHON | {"/a": b""}),
        "leads out of it: '/a'",
    ),
    "SVHN's label 11": (
        "svhn_cropped",
        lambda: svhn_with(y=np.full((7, 1), 11, "u1")),
        "must be 1 to 10. Received: 11",
    ),
    "SVHN's label 0": (
        "svhn_cropped",
        lambda: svhn_with(y=np.zeros((7, 1), "u1")),
        "must be 1 to 10. Received: 0",
    ),
    "SVHN's label 1.5": (
        "svhn_cropped",
        lambda: svhn_with(y=np.full((7, 1), 1.5)),
        "must be 1 to 10. Received: 1.5",
    ),
    "SVHN's count": (
        "svhn_cropped",
        lambda: svhn_with(y=np.ones((8, 1), "u1")),
        "must hold X, uint8 of shape (height, width, 3, count)",
    ),
    "SVHN's axes": (
        "svhn_cropped",
        lambda: svhn_with(X=TEST["image"]),
        "must hold X, uint8 of shape (height, width, 3, count)",
    ),
    "SVHN's size": (
        "svhn_cropped",
        lambda: svhn_with(X=np.zeros((31, 32, 3, 7), "u1")),
        "must hold images of (32, 32, 3)",
    ),
    "SVHN's type": (
        "svhn_cropped",
        lambda: svhn_with(X=np.zeros((32, 32, 3, 7))),
        "Received: X, double of (32, 32, 3, 7)",
    ),
    "MATLAB 7.3": (
        "svhn_cropped",
        lambda: written.tar(
            written.svhn({"train": TRAIN}) | {"test_32x32.mat": b"MATLAB 7.3 MAT-file" + bytes(600)}
        ),
        "is of MATLAB's version 7.3, which SciPy does not read. Save it",
    ),
    "no MATLAB": (
        "svhn_cropped",
        lambda: written.tar(written.svhn({"train": TRAIN}) | {"test_32x32.mat": b"<html>" * 90}),
        "not an intact MATLAB file",
    ),
    "STL-10's label 0": (
        "stl10",
        lambda: stl_with(train_y=bytes(6)),
        "must be 1 to 10. Received: 0",
    ),
    "STL-10's count": (
        "stl10",
        lambda: stl_with(train_y=bytes(5)),
        "train_X.bin holds 6 images, but",
    ),
    "STL-10's size": (
        "stl10",
        lambda: stl_with(test_X=bytes(96 * 96 * 3 - 1)),
        "must hold images of 27,648 bytes",
    ),
    "STL-10's names": (
        "stl10",
        lambda: stl_with(class_names=b"a\nb\na\n"),
        "must have 10 different names of classes",
    ),
    "EMNIST's other split": (
        "emnist/digits",
        lambda: SETS["emnist"][1],
        "It holds none of them",
    ),
    "a cut gzip in a zip": (
        "emnist/letters",
        lambda: written.zipped({name: content[:-9] for name, content in EMNIST.items()}),
        "cannot be read: ",
    ),
    "images without an axis": (
        "mnist",
        lambda: written.tar(
            {
                f"{part}-{name}": idx(np.zeros(3))
                for part, name in itertools.product(
                    ("train", "t10k"), ("images-idx3-ubyte", "labels-idx1-ubyte")
                )
            }
        ),
        "must hold images, of three axes. Received: (3,)",
    ),
    "no set of small images": ("imagenet_v2", lambda: ARCHIVE, "must be of one size"),
    "a set of unknown files": ("cifar10_1", lambda: ARCHIVE, "from an .npz or Parquet file alone"),
    "no archive": ("cifar10", lambda: b"<html>", "It holds none of them"),
    "an empty file": ("cifar10", lambda: b"", "It holds none of them"),
}


@pytest.mark.parametrize("case", BAD_SETS)
def test_sets_that_are_refused(case, tmp_path):
    dataset, content, message = BAD_SETS[case]
    assert_refused(dataset, content(), message, tmp_path)


def assert_refused(
    dataset: str, content: bytes, message: str, folder: Path, name: str = "archive"
) -> None:
    with pytest.raises(UserError) as failure:
        prepared(dataset, content, folder, name)
    assert message in str(failure.value)
    assert len(str(failure.value).splitlines()) == 1
    assert (
        str(folder) in str(failure.value)
        or "cannot be prepared" in message
        or dataset in str(failure.value)
    )
    assert not list((folder / "tfds").rglob("*"))


@pytest.mark.parametrize("name", ["a.tar.gz", "archive"])
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.3, 0.6, 0.95, 0.99999])
def test_cut_archives(name, kept, tmp_path):
    """Of the archive, of the tar in it, and of a zip."""
    for content in (ARCHIVE, TAR, written.zipped(PYTHON)):
        cut = content[: int(kept * len(content))]
        if content is TAR and kept == 0.99999:
            continue  # Blocks of zeros that fill the tape.
        assert_refused("cifar10", cut, "", tmp_path, name)


def test_bytes_that_were_altered(tmp_path):
    for position in np.linspace(10, len(ARCHIVE) - 5, 12, dtype=int):
        altered = bytearray(ARCHIVE)
        altered[position] ^= 0x55
        assert_refused("cifar10", bytes(altered), "", tmp_path)


def test_archives_that_unpack_to_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(members, "UNPACKED_BYTES", 2**22)
    monkeypatch.setattr(members, "CHUNK_BYTES", 2**16)
    zeros = {"readme": bytes(2**23)}
    for pack in (written.tar_gz, written.zipped):
        assert_refused("cifar10", pack(PYTHON | zeros), "at most 4,194,304 bytes", tmp_path)
    monkeypatch.setattr(cifar, "FILE_BYTES", 2**21)
    packed = {name: gzip.compress(bytes(2**23)) for name in BINARY}
    assert_refused("cifar10", written.tar(packed), "at most 2,097,152 bytes", tmp_path)


def test_links_in_archives_are_not_followed(tmp_path):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in PYTHON:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(member)
    assert_refused("cifar10", packed.getvalue(), "It holds none of them", tmp_path)


def test_missing_paths(tmp_path):
    with pytest.raises(UserError, match="none does not exist"):
        importers.prepare("cifar10", tmp_path / "none", str(tmp_path / "tfds"))
