"""Lists of image files: lines and tables, with parts and without, and lists that are refused."""

import os
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_classics.data import load
from keras_classics.data.lists import load_list
from keras_classics.errors import UserError
from tests.helpers.folders import folder_of_images
from tests.helpers.splits import contents

NAMES = [f"{name}/{i}.png" for name in ("cat", "dog") for i in range(3)]


@pytest.fixture
def root(tmp_path):
    return folder_of_images(tmp_path / "images")


def rows():
    """Part, path and class of each image, not in order."""
    for name in reversed(NAMES):
        for part in ("validation", "train"):
            yield part, f"{part}/{name}", name.partition("/")[0]


TABLES = {
    "table.csv": "Path,x,Label,Split\n" + "".join(f"{p},,{c},{s}\n" for s, p, c in rows()),
    "table.tsv": "label\tfile_name\tpart\n" + "".join(f"{c}\t{p}\t{s}\n" for s, p, c in rows()),
    "table.txt": "image,class,set\r\n"
    + "".join(f'"{p}",{c},{"training" if s == "train" else "valid"}\r\n' for s, p, c in rows()),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_with_parts_is_the_folder(root, name):
    (root / name).write_text(TABLES[name], encoding="utf-8-sig")
    found = load(f"list:{root / name}", encoded=True)
    expected = load(f"folder:{root}", encoded=True)
    assert found.class_names == ("cat", "dog")
    assert contents(found.train) == contents(expected.train)
    assert contents(found.test) == contents(expected.test)


@pytest.mark.parametrize(("train", "test"), [("train.txt", "val.csv"), ("train.lst", "test.tsv")])
def test_a_list_for_each_part(root, train, test):
    lists = root / "lists"
    lists.mkdir()
    for part, name in (("train", train), ("validation", test)):
        mark = {".csv": ",", ".tsv": "\t"}.get(os.path.splitext(name)[1], " ")
        own = [f"../{path}{mark}{c}\n" for p, path, c in rows() if p == part]
        (lists / name).write_text("".join(own) + "\n")
    found = load(f"list:{lists}", encoded=True)
    expected = load(f"folder:{root}", encoded=True)
    assert contents(found.train) == contents(expected.train)
    assert contents(found.test) == contents(expected.test)


def test_without_parts_a_share_is_held_out_as_of_a_folder(tmp_path):
    root = folder_of_images(tmp_path / "images") / "train"
    for name in ("cat", "dog"):
        for i in range(3, 30):
            shutil.copy(root / name / "0.png", root / name / f"{i}.png")
    names = [f"{name}/{i}.png" for name in ("cat", "dog") for i in range(30)]
    (root / "all.txt").write_text("".join(f"{name} {name[:3]}\n" for name in reversed(names)))
    found, expected = (
        load(f"{n}", encoded=True) for n in (f"list:{root}/all.txt", f"folder:{root}")
    )
    assert contents(found.train) == contents(expected.train)
    assert contents(found.test) == contents(expected.test)
    splits, _ = load_list(str(root / "all.txt"), ["test"])
    assert len(splits[0]) == 60


def test_labels_that_are_numbers(root):
    (root / "a.txt").write_text(
        "".join(f"train/cat/{i}.png {n}\n" for i, n in enumerate(["9", "10", "0"]))
    )
    (split, _), names = load_list(str(root / "a.txt"), ["train", "test"], share=0.01)
    assert names == ("0", "9", "10")
    assert [os.path.basename(path) for path in split.paths] == ["2.png", "0.png", "1.png"]


def test_names_of_any_kind(root):
    name = os.fsdecode(b"caf\xe9 of cats, 1.png")
    shutil.copy(root / "train" / "cat" / "0.png", root / name)
    (root / "a.txt").write_bytes(os.fsencode(f"{name}   cat\ntrain/dog/0.png\tdog\n"))
    (_, split), _ = load_list(str(root / "a.txt"), ["train", "test"], share=0.9999)
    assert str(root / name) in split.paths


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "lists no images"),
        ("\n\n", "lists no images"),
        ("train/cat/0.png\n", "path and a label in each line. Received, in line 1: 'train/cat/0.p"),
        ("none.png cat\n", "lists none.png, and .*none.png is not there"),
        ("train/cat/0.png cat\ntrain/cat/0.png dog\n", "one label. Received: .* as cat and as dog"),
        ("path,label\ntrain/cat/0.png\n", "as many cells in each line"),
        ("path,label\n,cat\n", "a path and a label in each line"),
        ("path,label,split\ntrain/cat/0.png,cat,holdout\n", "name parts train, test.* 'holdout'"),
        ("path,label,split\ntrain/cat/0.png,cat,train\ntrain/cat/1.png,cat,\n", "or of none"),
        ("\0\1\2", "it is not text"),
        ("a" * 200_000 + "\n", "a path and a label"),
    ],
)
@pytest.mark.parametrize("parts", [("train", "test"), ("test",)])
def test_lists_that_are_refused(root, content, message, parts):
    (root / "a.txt").write_text(content)
    with pytest.raises(UserError, match=message) as raised:
        load_list(str(root / "a.txt"), parts)
    assert len(str(raised.value).splitlines()) == 1
    assert len(str(raised.value)) < 1000


def test_folders_without_lists(root):
    with pytest.raises(UserError, match=r"must hold lists of images named train.txt and test.txt"):
        load(f"list:{root}")
    with pytest.raises(UserError, match=r"none.csv cannot be read: No such file"):
        load(f"list:{root / 'none.csv'}")


def test_a_table_without_a_known_header(root):
    (root / "a.csv").write_text("a,b,c\ntrain/cat/0.png,cat,1\n")
    with pytest.raises(
        UserError, match=r"header with columns such as path and label. Received: 'a,b,c'"
    ):
        load(f"list:{root / 'a.csv'}")


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=200) | st.text(" ,\t\n\"'0ab/.", max_size=80).map(str.encode))
def test_any_bytes_are_a_list_or_refused_in_one_line(tmp_path, content):
    for name in ("a.txt", "a.csv", "a.tsv"):
        (tmp_path / name).write_bytes(content)
        try:
            splits, names = load_list(str(tmp_path / name), ["train", "test"])
        except UserError as error:
            said = str(error)
        else:
            said, sizes = "one", [len(split) for split in splits]
            assert sum(sizes) >= len(names) > 0
        assert len(said.splitlines()) == 1
