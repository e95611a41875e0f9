"""Files are whole under their own name, or not there."""

import pytest

from keras_classics import files
from keras_classics.errors import UserError


def fail(path):
    with files.written_aside(path) as aside:
        aside.write_text("half")
        raise KeyboardInterrupt


def test_a_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("before")
    with pytest.raises(KeyboardInterrupt):
        fail(path)
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_file_replaces_and_a_folder_is_moved(tmp_path):
    path = tmp_path / "new" / "a.txt"
    for text in ("one", "two"):
        with files.written_aside(path) as aside:
            aside.write_text(text)
        assert path.read_text() == text
    with files.written_aside(tmp_path / "folder") as aside:
        aside.mkdir()
        (aside / "b").write_text("b")
    assert (tmp_path / "folder" / "b").read_text() == "b"


def test_what_a_crash_left_is_removed_by_the_next_writer(tmp_path):
    left = tmp_path / ".aside-folder"
    left.mkdir()
    (left / "half").write_text("half")
    with files.written_aside(tmp_path / "folder") as aside:
        aside.mkdir()
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]
    assert not list((tmp_path / "folder").iterdir())


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    files.refuse_unwritable(tmp_path / "new" / "file")
    assert (tmp_path / "new").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="below cannot be written"):
        files.refuse_unwritable(tmp_path / "file" / "below")
