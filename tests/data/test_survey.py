"""What a folder of images holds, by part and class."""

from pathlib import Path

import numpy as np
import pytest

from keras_classics.data.fingerprints import Fingerprints
from keras_classics.data.parts import VALIDATION_SHARE, is_held_out
from keras_classics.data.survey import LABELS, LEAK, REPEATED, Copy, survey

# Files, and the part and class of each.
PLACES = {
    "parts": (["train/a/1", "val/a/2"], [("train", "a"), ("val", "a")]),
    "capitals": (["Train/a/1", "TEST/b/2"], [("Train", "a"), ("TEST", "b")]),
    "all parts": (
        ["train/a/1", "validation/a/2", "test/a/3"],
        [("train", "a"), ("validation", "a"), ("test", "a")],
    ),
    "another folder": (["train/a/1", "extra/a/2"], [("train", "a"), ("extra", "a")]),
    "flat validation": (["train/a/1", "val/2"], [("train", "a"), ("val", "")]),
    "evaluation alone": (["test/a/1", "test/b/2"], [("test", "a"), ("test", "b")]),
    "classes alone": (["a/1", "b/2"], [("", "a"), ("", "b")]),
    "nested classes": (["a/x/1", "a/y/2", "b/3"], [("", "a"), ("", "a"), ("", "b")]),
    "a class called train": (["train/1", "bus/2"], [("", "train"), ("", "bus")]),
    "a class called test": (["test/1", "bus/2"], [("", "test"), ("", "bus")]),
    "a folder around": (["set/train/a/1", "set/val/a/2"], [("train", "a"), ("val", "a")]),
    "images alone": (["1", "2"], [("", ""), ("", "")]),
    "one class": (["a/1", "a/2"], [("", "a"), ("", "a")]),
    "no image": ([], []),
}


def surveyed(root: Path, names: list[str], copies_of: list[int]):
    """The survey of images of which some have the same pixels."""
    prints = Fingerprints(len(names))
    prints.read[:] = True
    prints.sizes[:] = 32
    prints.pixels[:] = copies_of
    prints.content[:] = np.arange(len(names))
    return survey(root, [root / name for name in names], prints)


@pytest.mark.parametrize("case", PLACES)
def test_parts_and_classes(case):
    names, places = PLACES[case]
    found = surveyed(Path("root"), names, list(range(len(names))))
    assert list(zip(found.parts, found.classes, strict=True)) == places
    assert found.copies == []


def test_what_copies_mean():
    names = ["test/a/1", "test/a/2", "train/a/3", "train/b/4", "train/b/5", "train/b/6", "val/a/7"]
    found = surveyed(Path("root"), names, [1, 1, 2, 2, 3, 3, 1])
    assert [[copy.number for copy in group] for group in found.copies] == [
        [0, 1, 6],
        [2, 3],
        [4, 5],
    ]
    assert list(map(found.meaning, found.copies)) == [LEAK, LABELS, REPEATED]
    assert found.groups(REPEATED) == [(Copy(4, ""), Copy(5, "same pixels"))]
    assert found.part_names() == ["train", "test", "val"]
    # One of val is in test; that two of test are in val is the same.
    assert found.leaks() == {("val", "test"): 1}
    assert found.class_counts("train") == {"a": 1, "b": 3}
    described = found.to_json()
    assert [group["meaning"] for group in described["duplicates"]] == [LEAK, LABELS, REPEATED]
    assert described["duplicates"][0]["images"][2] == {
        "image": "val/a/7",
        "part": "val",
        "class": "a",
        "kind": "same pixels",
    }


@pytest.mark.parametrize("above", ["", "train/"])
def test_copies_on_both_sides_of_what_training_holds_out(above):
    names = [f"{label}/{i}" for label in "ab" for i in range(20)]
    held = [is_held_out(name, VALIDATION_SHARE) for name in names]
    first, second, *trained = sorted(range(len(names)), key=lambda i: not held[i])
    contents = list(range(len(names)))
    contents[second] = contents[first]
    paths = [above + name for name in names]
    assert surveyed(Path("root"), paths, contents).held_out_leaks() == 0
    contents[trained[-1]] = contents[first]
    found = surveyed(Path("root"), [*paths, "none"], [*contents, 99])
    assert found.held_out == [*held, False]
    assert found.held_out_leaks() == 2
    assert found.to_json()["held_out"] == {
        "share": VALIDATION_SHARE,
        "images": sum(held),
        "also_in_training": 2,
    }
    tested = [f"val/{name}" for name in names]
    assert not any(surveyed(Path("root"), tested, contents).held_out)


def test_an_image_without_a_class_has_no_other_label():
    found = surveyed(Path("root"), ["a/1", "2"], [1, 1])
    assert found.meaning(found.copies[0]) == REPEATED


def test_links_are_told_from_copies(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1").touch()
    (tmp_path / "a" / "2").symlink_to("1")
    (tmp_path / "a" / "3").hardlink_to(tmp_path / "a" / "1")
    (tmp_path / "a" / "4").touch()
    names = ["a/1", "a/2", "a/3", "a/4", "a/gone"]
    prints = Fingerprints(len(names))
    prints.read[:] = True
    prints.sizes[:] = 32
    found = survey(tmp_path, [tmp_path / name for name in names], prints)
    link = "same file, by a link"
    assert [copy.kind for copy in found.copies[0]] == ["", link, link, "same bytes", "same bytes"]
