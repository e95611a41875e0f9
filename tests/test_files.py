"""Files and folders are written completely, or not at all."""

import contextlib
import csv
import io
import os
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from keras_classics import files
from keras_classics.errors import UserError


def fail(path):
    with files.atomic_write(path) as aside:
        aside.write_text("half")
        raise KeyboardInterrupt


def test_a_failure_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt):
        fail(path)
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_file_replaces_and_a_folder_is_moved(tmp_path):
    path = tmp_path / "new" / "a.txt"
    for text in ("one", "two"):
        with files.atomic_write(path) as aside:
            aside.write_text(text)
        assert path.read_text() == text
    with files.atomic_write(tmp_path / "folder") as aside:
        aside.mkdir()
        (aside / "b").write_text("b")
    assert (tmp_path / "folder" / "b").read_text() == "b"


def test_the_next_writer_removes_what_a_crash_left(tmp_path):
    left = tmp_path / ".aside-folder"
    left.mkdir()
    (left / "half").write_text("half")
    with files.atomic_write(tmp_path / "folder") as aside:
        aside.mkdir()
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]
    assert not list((tmp_path / "folder").iterdir())


def write_folder(path, content, overwrite=True):
    with files.atomic_write(path, overwrite) as aside:
        aside.mkdir()
        (aside / "a").write_text(content)


@pytest.fixture(params=["in one step", "in three"])
def exchange(request, monkeypatch):
    """Exchanges folders as on Linux, and as on systems without such a call."""
    if request.param == "in three":
        monkeypatch.setattr(files.ctypes, "CDLL", lambda name: object())


def test_a_folder_replaces_another(exchange, tmp_path):
    path = tmp_path / "folder"
    for content in ("one", "two", "three"):
        write_folder(path, content)
        assert (path / "a").read_text() == content
        assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_a_folder_replaces_a_link(exchange, tmp_path):
    write_folder(tmp_path / "mine", "mine")
    (tmp_path / "folder").symlink_to("mine")
    write_folder(tmp_path / "folder", "new")
    assert not (tmp_path / "folder").is_symlink()
    assert (tmp_path / "folder" / "a").read_text() == "new"
    assert (tmp_path / "mine" / "a").read_text() == "mine"


def test_a_folder_is_not_replaced_without_overwrite(tmp_path):
    write_folder(tmp_path / "folder", "one")
    with pytest.raises(OSError, match="not empty"):
        write_folder(tmp_path / "folder", "two", overwrite=False)
    assert (tmp_path / "folder" / "a").read_text() == "one"
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_a_folder_exists_at_every_moment_of_its_replacement(tmp_path, monkeypatch):
    path = tmp_path / "folder"
    write_folder(path, "one")
    # Renaming what is there, to put another in its place, would leave a moment without.
    monkeypatch.setattr(files.os, "replace", None)
    write_folder(path, "two")
    assert (path / "a").read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_an_unwritable_path_is_refused(tmp_path):
    files.refuse_unwritable(tmp_path / "new" / "file")
    assert (tmp_path / "new").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="below cannot be written"):
        files.refuse_unwritable(tmp_path / "file" / "below")
    for name in (".", "..", "/", ""):
        with pytest.raises(UserError, match="must end in the name of a file or folder"):
            files.refuse_unwritable(Path(name))


@pytest.fixture
def locked():
    """A folder that this process may not write to."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        # As anybody: root may write everywhere.
        os.seteuid(65534)
    yield folder
    if root:
        os.seteuid(0)
    folder.chmod(0o755)
    shutil.rmtree(folder)


def test_a_path_without_permission_is_refused(locked):
    with pytest.raises(UserError, match="file cannot be written: Permission denied"):
        files.refuse_unwritable(locked / "file")
    with pytest.raises(UserError, match="new/file cannot be written: Permission denied"):
        files.refuse_unwritable(locked / "new" / "file")


def test_only_files_are_read_and_none_is_waited_on(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for name, message in (
        ("none", "No such file"),
        (".", "Is a directory"),
        ("fifo", "it is no file"),
        ("n" * 300, "File name too long"),
    ):
        with pytest.raises(UserError, match=message):
            files.read_bytes(tmp_path / name)
    (tmp_path / "four").write_bytes(b"1234")
    assert files.read_bytes(tmp_path / "four", most=4) == b"1234"
    with pytest.raises(UserError, match="at most 3 bytes. Received: 4"):
        files.read_bytes(tmp_path / "four", most=3)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"\x00", b"[" * 100_000, b"9" * 5000],
    ids=lambda content: repr(content[:9]),
)
def test_what_is_no_json_is_one_line(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(UserError, match=r"x.json is not a JSON file: .+") as raised:
        files.read_json(tmp_path / "x.json")
    assert "\n" not in str(raised.value)


def test_arrays_are_read_whole_or_not_at_all():
    written = io.BytesIO()
    np.savez(written, a=np.arange(3), b=np.eye(2))
    arrays = files.read_arrays(written.getvalue())
    assert sorted(arrays) == ["a", "b"]
    np.testing.assert_array_equal(arrays["b"], np.eye(2))
    packed, twice, objects = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.savez_compressed(packed, a=np.zeros(100_000))
    np.savez(objects, a=np.array([{}], object))
    with zipfile.ZipFile(twice, "w") as archive:
        archive.writestr("a.npy", b"1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.npy", b"2")
    for content, message in (
        (b"", "not a zip"),
        (written.getvalue()[:-30], "not a zip"),
        (written.getvalue().replace(np.eye(2).tobytes(), bytes(32)), "checksums are wrong"),
        (packed.getvalue(), "larger than the file"),
        (twice.getvalue(), "two of its arrays have one name"),
        (objects.getvalue(), "allow_pickle"),
    ):
        with pytest.raises(UserError, match=message):
            files.read_arrays(content)


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_lock_empties_no_file_behind_a_link(tmp_path, link):
    (tmp_path / "precious").write_text("content")
    link(tmp_path / "precious", tmp_path / ".lock")
    with contextlib.suppress(OSError), files.process_lock(tmp_path / ".lock", timeout=0):
        pass
    assert (tmp_path / "precious").read_text() == "content"


def test_texts_of_a_csv_file_come_back(tmp_path):
    texts = ["a,b", 'say "x"', "new\nline", "back\rto", "\r\n", "\u00e9", "caf\udce9", ""]
    files.write_csv(tmp_path / "a.csv", ("one", "two"), ({"one": t, "two": 1} for t in texts))
    assert (tmp_path / "a.csv").read_bytes().startswith(b'one,two\n"a,b",1\n')
    with open(tmp_path / "a.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["one"] for row in rows] == [t.replace("\udce9", r"\udce9") for t in texts]
    assert {row["two"] for row in rows} == {"1"}
