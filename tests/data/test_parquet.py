"""Parquet and Arrow files of images: their layouts, their columns, and what is wrong with them."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from keras_classics.data import BytesSplit, Split, image_files, importers, load, load_test, packed
from keras_classics.data.formats import parquet
from keras_classics.errors import UserError
from keras_classics.evaluation.predictions import digest
from tests.helpers.tables import table, write

NAMES = ("cat", "dog", "owl")
RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (12, 9, 8, 3), "uint8")
PNG = [tf.io.encode_png(image).numpy() for image in PIXELS]
LABELS = np.arange(12) % 3
TABLE = table(PNG, LABELS, NAMES)


def parts(folder: Path, layout: dict[str, slice], form: str = "parquet", made=TABLE) -> str:
    """Writes some rows into each file of a layout."""
    for name, rows in layout.items():
        write(made.take(np.arange(12)[rows]), folder / name, form)
    return f"parquet:{folder}"


def rows_of(split) -> list[int]:
    """The rows of `TABLE` that a split has."""
    images = (
        split.images if isinstance(split, Split) else [split.image(i) for i in range(len(split))]
    )
    return [int(np.flatnonzero((image == PIXELS).all((1, 2, 3)))[0]) for image in images]


FIRST, REST = slice(8), slice(8, None)
LAYOUTS = {
    "files": {"train.parquet": FIRST, "test.parquet": REST},
    "shards in a folder": {
        "data/train-00000-of-00002.parquet": slice(5),
        "data/train-00001-of-00002.parquet": slice(5, 8),
        "data/validation-00000-of-00001.parquet": REST,
        "README.md": slice(0),
        "data/.cache.parquet": slice(0),
    },
    "converted": {
        "default/train/0000.parquet": slice(3),
        "default/train/0001.parquet": slice(3, 8),
        "default/valid/0000.parquet": REST,
        "default/unsupervised/0000.parquet": slice(2),
    },
    "ten shards": {
        **{
            f"train-{number}.parquet": slice(number, number + 1)
            for number in (7, 2, 0, 1, 3, 4, 5, 6)
        },
        "val.parquet": REST,
    },
    "other words": {"birds-Train.parquet": FIRST, "birds-Test.parquet": REST},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout, tmp_path):
    data = load(parts(tmp_path, LAYOUTS[layout]), encoded=True)
    assert data.class_names == NAMES
    for split, rows in ((data.train, FIRST), (data.test, REST)):
        assert isinstance(split, BytesSplit)
        assert rows_of(split) == list(range(12))[rows]
        np.testing.assert_array_equal(split.labels, LABELS[rows])


@pytest.mark.parametrize("form", ["file", "stream"])
def test_arrow_files_of_save_to_disk(form, tmp_path):
    layout = {
        "train/data-00000-of-00001.arrow": FIRST,
        "test/data-00000-of-00001.arrow": REST,
        "train/cache-0123.arrow": slice(2),
    }
    name = parts(tmp_path, layout, form)
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    data = load(name)
    assert isinstance(data.train, Split)
    assert (rows_of(data.train), rows_of(data.test)) == ([*range(8)], [*range(8, 12)])
    np.testing.assert_array_equal(data.train.images, PIXELS[:8])


@pytest.mark.parametrize("limit", [0, packed.TENSOR_BYTES])
def test_in_graphs_and_by_index(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(packed, "TENSOR_BYTES", limit)
    split = load(parts(tmp_path, LAYOUTS["files"]), encoded=True).train
    chosen = split.take(np.array([7, 2, 2]))
    assert rows_of(chosen) == [7, 2, 2]
    assert chosen.read(0) == (f"{tmp_path / 'train.parquet'}, row 7", PNG[7])
    read = split.reader()
    found = [*tf.data.Dataset.range(8).map(read).as_numpy_iterator()]
    assert [encoded for encoded, _ in found] == PNG[:8]
    assert [label for _, label in found] == LABELS[:8].tolist()


def test_the_digest_is_of_the_content(tmp_path):
    first = load(parts(tmp_path / "a", LAYOUTS["files"]), encoded=True)
    again = load(parts(tmp_path / "b", LAYOUTS["converted"]), encoded=True)
    assert digest(first.train) == digest(again.train)
    assert digest(first.train) != digest(first.test)
    assert digest(first.train) != digest(first.train.take(np.arange(8)[::-1]))
    other = table([*PNG[:7], PNG[11]], LABELS[:8], NAMES)
    write(other, tmp_path / "a" / "train.parquet")
    changed = load(f"parquet:{tmp_path / 'a'}", encoded=True)
    assert digest(first.train) != digest(changed.train)


def test_which_part_is_tested_on_is_said(tmp_path, caplog):
    caplog.set_level("INFO", "keras_classics")
    layout = {f"{name}.parquet": REST for name in ("val", "test", "valid")}
    name = parts(tmp_path, {"train.parquet": FIRST, **layout})
    assert len(load_test(name, encoded=True)[0]) == 4
    assert caplog.messages == [
        f"{tmp_path} has test and val and valid: test images are those of test; val, valid is not "
        "used"
    ]
    # As Hugging Face has the test split of ImageNet.
    write(table(PNG[:5], [-1] * 5, NAMES), tmp_path / "test.parquet")
    assert len(load(name, encoded=True).test) == 4
    assert "those of val; test, valid" in caplog.messages[-1]


def test_images_without_parts_are_shared_by_their_content(tmp_path, caplog):
    caplog.set_level("INFO", "keras_classics")
    name = f"parquet:{write(TABLE, tmp_path / 'a.parquet')}"
    split, _ = load_test(name, encoded=True)
    assert rows_of(split) == [*range(12)]
    half = load(name, encoded=True, validation_share=0.5)
    assert sorted(rows_of(half.train) + rows_of(half.test)) == [*range(12)]
    assert "(validation_share=0.5)" in caplog.messages[-1]
    # Elsewhere, and with others before them, the same images are held out.
    write(table(PNG[::-1], LABELS[::-1], NAMES), tmp_path / "b" / "train.parquet")
    other = load(f"parquet:{tmp_path / 'b'}", encoded=True, validation_share=0.5)
    assert sorted(rows_of(other.test)) == rows_of(half.test)
    fewer, _ = load_test(name, encoded=True, validation_share=0.4)
    assert set(rows_of(fewer)) <= set(rows_of(half.test))
    load(parts(tmp_path / "c", LAYOUTS["files"]), validation_share=0.5)
    assert "has test, so validation_share=0.5 is not used" in caplog.messages[-1]


def plain(labels, images=PNG, columns=("image", "label")) -> pa.Table:
    """A table that Hugging Face's library has not written."""
    return pa.table({columns[0]: pa.array(images), columns[1]: labels})


TEXT = [NAMES[label] for label in LABELS]
COLUMNS = {
    "img and fine_label": (
        table(PNG, LABELS, NAMES, ("img", "fine_label")).append_column("coarse_label", [LABELS]),
        NAMES,
    ),
    "strings": (plain(pa.array(TEXT)), NAMES),
    "large strings": (plain(pa.array(TEXT, pa.large_string())), NAMES),
    "categories": (plain(pa.array(TEXT).dictionary_encode()), NAMES),
    "numbers": (plain(pa.array(LABELS.astype("uint8"))), ("0", "1", "2")),
    "booleans": (plain(pa.array(LABELS > 0)), ("false", "true")),
    "large binaries": (
        plain(
            pa.array(LABELS), pa.array(PNG, pa.large_binary()), ("photo.1", "labels")
        ).append_column("note", [["text"] * 12]),
        ("0", "1", "2"),
    ),
    "another name in the metadata": (table(PNG, LABELS, NAMES, ("picture", "kind")), NAMES),
}


@pytest.mark.parametrize("form", ["parquet", "file"])
@pytest.mark.parametrize("case", COLUMNS)
def test_columns(case, form, tmp_path):
    made, names = COLUMNS[case]
    ending = "parquet" if form == "parquet" else "arrow"
    layout = {f"train.{ending}": FIRST, f"test.{ending}": REST}
    data = load(parts(tmp_path, layout, form, made), encoded=True)
    assert data.class_names == names
    assert rows_of(data.train) == [*range(8)]
    np.testing.assert_array_equal(data.test.labels, np.minimum(LABELS[REST], len(names) - 1))


def changed(**columns) -> pa.Table:
    """The table with other columns; None removes one."""
    kept = {name: TABLE[name] for name in TABLE.column_names if name not in columns}
    return pa.table(kept | {name: v for name, v in columns.items() if v is not None})


BAD_TABLES = {
    "paths": (table([*PNG[:5], None, *PNG[6:]], LABELS, NAMES), "row 5, names the file '5.jpg'"),
    "no image": (table([None, *PNG[1:]], LABELS, NAMES, paths=[None] * 12), "row 0, has no image"),
    "no column of images": (changed(image=None), "one column of images, named image or img"),
    "two columns of images": (changed(img=TABLE["image"]), "Received: image and img. Rename"),
    "two columns of labels": (changed(labels=TABLE["label"]), "Received: label and labels. Rename"),
    "text as images": (changed(image=pa.array(TEXT)), "must have the bytes of image files"),
    "pixels as images": (
        changed(image=pa.array(PIXELS.reshape(12, -1).tolist())),
        "must have the bytes of image files",
    ),
    "no column of labels": (changed(label=None), "one column of labels, named label"),
    "floats as labels": (changed(label=pa.array(LABELS / 1)), "Received: double"),
    "lists of labels": (changed(label=pa.array([[1]] * 12)), "Received: list<"),
    "no label": (changed(label=pa.array([None, *LABELS[1:]])), "has no label in row 0"),
    "a label too large": (table(PNG, [*LABELS[:-1], 3], NAMES), "must be 0 to 2. Received: 0 to 3"),
    "a label far too large": (
        table(PNG, [*LABELS[:-1], 2**40], NAMES),
        "must be 0 to 2. Received: 0 to 65536",
    ),
    "a negative label": (table(PNG, [-1, *LABELS[1:]], NAMES), "Received: -1 to 2"),
    "many classes": (plain(pa.array(LABELS * 10**6)), "must be 0 to 65,535. Received: 2000000"),
    "64 bits": (plain(pa.array(LABELS.astype("uint64") + 2**63)), "cannot be read: "),
    "no rows": (TABLE.slice(0, 0), "The train split of parquet:.* is empty"),
}


@pytest.mark.parametrize("form", ["parquet", "stream"])
@pytest.mark.parametrize("case", BAD_TABLES)
def test_tables_that_are_refused(case, form, tmp_path):
    made, message = BAD_TABLES[case]
    ending = "parquet" if form == "parquet" else "arrow"
    write(made, tmp_path / f"train.{ending}", form)
    other = made if "label" in case or "classes" in case else TABLE
    write(other, tmp_path / f"test.{ending}", form)
    with pytest.raises(UserError, match=message) as failure:
        load(f"parquet:{tmp_path}", encoded=True)
    assert len(str(failure.value).splitlines()) == 1


BAD_FOLDERS = {
    "nothing": ({}, "holds no files of .parquet or .arrow"),
    "two sets": (
        {"a/train.parquet": FIRST, "b/train.parquet": FIRST},
        "must hold one data set. Received: train of several, such as a/train.parquet and b/train",
    ),
    "two forms": (
        {"train.parquet": FIRST, "train.arrow": FIRST},
        "must hold one data set. Received: train of several",
    ),
    "two files": ({"a.parquet": FIRST, "b.parquet": FIRST}, "Received: files of several"),
    "a shard is missing": (
        {"train-00000-of-00003.parquet": FIRST, "train-00002-of-00003.parquet": FIRST},
        "must hold all 3 files of train-00000-of-00003.parquet. There is no number 1",
    ),
    "the last shard is missing": (
        {"train-00000-of-00002.parquet": FIRST},
        "must hold all 2 files of train-00000-of-00002.parquet. There is no number 1",
    ),
    "only test": ({"test.parquet": slice(1)}, "needs two classes|is empty|has no"),
}


@pytest.mark.parametrize("case", BAD_FOLDERS)
def test_folders_that_are_refused(case, tmp_path):
    layout, message = BAD_FOLDERS[case]
    with pytest.raises(UserError, match=message) as failure:
        load(parts(tmp_path, layout), encoded=True)
    assert len(str(failure.value).splitlines()) == 1


def test_files_that_differ_in_their_classes(tmp_path):
    name = parts(tmp_path, LAYOUTS["files"])
    write(table(PNG, LABELS, NAMES[::-1]), tmp_path / "test.parquet")
    with pytest.raises(UserError, match="must have the same classes"):
        load(name)
    for part, text in (("train", TEXT), ("test", ["bat", *TEXT[1:]])):
        write(plain(pa.array(text)), tmp_path / f"{part}.parquet")
    with pytest.raises(UserError, match="test.parquet has others: bat"):
        load(name)


def test_files_that_cannot_be_read(tmp_path):
    whole = write(TABLE, tmp_path / "a.parquet").read_bytes()
    path = tmp_path / "b.parquet"
    for content in (b"", b"PAR1", b"ARROW1\0\0", b"<html>", whole[:-20], whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(UserError, match="b.parquet cannot be read: .*no Parquet or Arrow file"):
            load(f"parquet:{path}")
    with pytest.raises(UserError, match="none is not there"):
        load(f"parquet:{tmp_path / 'none'}")


def test_images_that_cannot_be_decoded(tmp_path):
    write(table([*PNG[:3], b"", *PNG[4:]], LABELS, NAMES), tmp_path / "train.parquet")
    write(TABLE, tmp_path / "test.parquet")
    with pytest.raises(UserError, match="train.parquet, row 3 cannot be used: empty. Write the"):
        load(f"parquet:{tmp_path}")


@pytest.mark.parametrize("form", ["parquet", "stream"])
def test_more_than_fits_into_memory(form, tmp_path, monkeypatch):
    """Arrow files that are not compressed stay on the disk."""
    path = write(TABLE, tmp_path / "train.parquet", form)
    monkeypatch.setattr(parquet, "MEMORY_LIMIT", 100)
    if form == "stream":
        assert len(load_test(f"parquet:{path}", encoded=True)[0]) == 12
        return
    with pytest.raises(UserError, match="must fit into 0 GiB of memory.*use folder:PATH"):
        load(f"parquet:{path}", encoded=True)


def test_exif(tmp_path):
    upright = image_files.upright
    jpeg = tf.io.encode_jpeg(PIXELS[0]).numpy()
    # An orientation of 6, to be turned by a quarter.
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    turned = jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]
    path = write(table([turned, *PNG[1:]], LABELS, NAMES), tmp_path / "a.parquet")
    split, _ = load_test(f"parquet_exif:{path}", encoded=True)
    assert split.image(0).shape == (8, 9, 3)
    assert split.read(0)[1] == upright(turned)
    assert load_test(f"parquet:{path}", encoded=True)[0].image(0).shape == (9, 8, 3)


def test_prepare_from_tables(tmp_path):
    pixels = RANDOM.integers(0, 256, (20, 28, 28, 1), "uint8")
    images, labels = [tf.io.encode_png(image).numpy() for image in pixels], np.arange(20) % 10
    names = [str(label) for label in range(10)]
    write(table(images, labels, names), tmp_path / "mnist" / "train-00000-of-00001.parquet")
    with pytest.raises(UserError, match="There are none of test"):
        importers.prepare("mnist", tmp_path / "mnist", str(tmp_path / "tfds"))
    shutil.copy(
        tmp_path / "mnist" / "train-00000-of-00001.parquet",
        tmp_path / "mnist" / "test-00000-of-00001.parquet",
    )
    importers.prepare("mnist", tmp_path / "mnist", str(tmp_path / "tfds"))
    split, _ = load_test("mnist", str(tmp_path / "tfds"), encoded=True)
    assert all((split.image(i)[..., :1] == pixels[i]).all() for i in range(20))
    np.testing.assert_array_equal(split.labels, labels)
    with pytest.raises(UserError, match="must hold images of"):
        importers.prepare("cifar10", tmp_path / "mnist", str(tmp_path / "tfds"))
