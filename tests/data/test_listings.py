"""Listings that are kept between programs: the same images as without, whatever changes."""

import os
import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from keras_classics.data import listings, trees
from keras_classics.data.file_names import FileNames
from keras_classics.data.folders import load_folder
from keras_classics.errors import UserError
from keras_classics.evaluation.predictions import digest
from tests.helpers.image_files import JPEG, PNG

# Longer than the steps in which file systems count the time.
TICK = 0.02


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Keeps the listings of small folders, and of those that have just changed."""
    monkeypatch.setattr(listings, "SMALLEST", 1)
    monkeypatch.setattr(listings, "SETTLED_NS", TICK * 0.5e9)
    return at_home(tmp_path, monkeypatch, "home")


@pytest.fixture
def scanned(monkeypatch) -> list[str]:
    """The folders that are listed and were not in the index."""
    scan, found = trees.FolderTree._scan, []

    def counting(tree, path):
        if path.is_dir():
            found.append(os.path.relpath(path, tree.root))
        return scan(tree, path)

    monkeypatch.setattr(trees.FolderTree, "_scan", counting)
    return found


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "data"
    for part, count in (("train", 4), ("val", 2)):
        for name in ("cat", "dog", "eel"):
            for number in range(count):
                write(root / part / name / f"{number}.jpg")
    time.sleep(TICK)
    return root


def at_home(tmp_path, monkeypatch, name):
    home = tmp_path / name
    monkeypatch.setenv("KERAS_HOME", str(home))
    return home / "keras_classics_listings"


def write(path, content=b"image"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def listed(root):
    """All that a program sees of a folder, or the message of its error."""
    try:
        splits, names = load_folder(str(root), ("train", "test"))
    except UserError as error:
        return str(error)
    return names, [([*s.paths], s.labels.tolist(), _digest(s)) for s in splits]


def _digest(split):
    try:
        return digest(split)
    except UserError as error:
        return str(error)


def without_index(root, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        at_home(tmp_path, patch, "no_home")
        patch.setattr(listings, "STAMPING", ())
        return listed(root)


def image_in(folder):
    return next(path for path in sorted(folder.glob("*.jpg")) if path.is_file())


def add(folder, number):
    write(folder / f"new{number}.jpg")


def remove(folder, number):
    image_in(folder).unlink()


def rename(folder, number):
    path = image_in(folder)
    path.rename(path.with_name(f"renamed{number}.png"))


def rename_back_in_time(folder, number):
    times = os.stat(folder)
    rename(folder, number)
    os.utime(folder, ns=(times.st_atime_ns, times.st_mtime_ns))


def replace(folder, number):
    write(folder / ".new", b"image" * number)
    os.replace(folder / ".new", image_in(folder))


def write_in_place(folder, number):
    write(image_in(folder), b"image" * (number + 2))


def change_what_its_content_decides(folder, number):
    path = folder / "content"
    write(path, b"text" if path.exists() and path.read_bytes() == PNG else PNG)


def folder_for_file(folder, number):
    path = image_in(folder)
    path.unlink()
    write(path / "0.jpg")


def add_below(folder, number):
    write(folder / "below" / f"{number}.png")


def link_to_file(folder, number):
    target = folder.parent / f"target{number}"
    write(target)
    (folder / f"link{number}").symlink_to(target)
    target.write_bytes(JPEG)


def add_class(folder, number):
    write(folder.with_name(f"new{number}") / "0.jpg")


def rename_class(folder, number):
    folder.rename(folder.with_name(f"renamed{number}"))


def remove_class(folder, number):
    shutil.rmtree(folder)


def link_class(folder, number):
    """Moves a class elsewhere, with a link to it, or its link to other images."""
    outside = folder.parents[2] / "outside" / f"{folder.parent.name}{number}"
    if folder.is_symlink():
        folder.unlink()
        write(outside / f"{number}.jpg")
    else:
        folder.rename(outside)
    folder.symlink_to(outside)


def add_behind_link(folder, number):
    write(folder.resolve() / f"behind{number}.jpg")


CHANGES = (
    *(add, remove, rename, rename_back_in_time, replace, write_in_place, folder_for_file),
    *(change_what_its_content_decides, add_below, link_to_file, add_class, rename_class),
    *(remove_class, link_class, add_behind_link),
)


def check_changes(root, tmp_path, seed, steps):
    rng = random.Random(seed)
    (tmp_path / "outside").mkdir(exist_ok=True)
    for number in range(steps):
        classes = [path for part in ("train", "val") for path in sorted((root / part).glob("*"))]
        folder = rng.choice([path for path in classes if path.is_dir()])
        change = rng.choice(CHANGES)
        try:
            change(folder, number)
        except (StopIteration, OSError):
            continue
        expected = without_index(root, tmp_path)
        time.sleep(TICK)
        assert listed(root) == expected, (seed, number, change)
        # From the index alone, where nothing changed.
        assert listed(root) == expected, (seed, number, change)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_each_change_is_noticed(root, tmp_path, cache, change):
    (tmp_path / "outside").mkdir()
    for part in ("train", "val"):
        for number in range(2):
            listed(root)
            change(root / part / "dog", number)
            expected = without_index(root, tmp_path)
            time.sleep(TICK)
            assert listed(root) == expected
            if change in (rename_class, remove_class):
                break


def test_changes_one_after_the_other(root, tmp_path, cache):
    check_changes(root, tmp_path, seed=0, steps=25)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 21))
def test_many_changes(root, tmp_path, cache, seed):
    check_changes(root, tmp_path, seed, steps=150)


def test_only_what_changed_is_listed_again(root, cache, scanned):
    first = listed(root)
    assert {"train/cat", "val/dog"} < set(scanned)
    scanned.clear()
    assert listed(root) == first
    assert scanned == []
    write(root / "train" / "dog" / "9.jpg")
    listed(root)
    assert scanned == ["train/dog"]
    assert not [path for path in root.rglob("*") if path.suffix not in ("", ".jpg")]
    # By its real path, under whatever name.
    (root.parent / "link").symlink_to(root)
    time.sleep(TICK)
    listed(root)
    scanned.clear()
    listed(root.parent / "link")
    assert scanned == []


def test_what_names_do_not_decide_is_listed_each_time(root, cache, scanned):
    (root / "train" / "cat" / "link.jpg").symlink_to(root / "train" / "dog" / "0.jpg")
    write(root / "train" / "dog" / "notes.txt")
    time.sleep(TICK)
    for _ in range(2):
        scanned.clear()
        listed(root)
    assert scanned == ["train/cat", "train/dog"]


@pytest.mark.parametrize("why", ["recent", "unstamped", "small"])
def test_what_an_index_may_not_notice_is_not_kept(root, cache, scanned, monkeypatch, why):
    name, value = {
        "recent": ("SETTLED_NS", 10**10),
        "unstamped": ("STAMPING", ("vfat",)),
        "small": ("SMALLEST", 30),
    }[why]
    monkeypatch.setattr(listings, name, value)
    listed(root)
    scanned.clear()
    listed(root)
    assert "train/cat" in scanned
    assert not cache.exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-30],
        lambda content: content.replace(b"jpg", b"png", 1),
        lambda content: b"no archive",
    ],
)
def test_a_damaged_index_is_written_anew(root, cache, scanned, damage):
    first = listed(root)
    (index,) = cache.glob("*.npz")
    index.write_bytes(damage(index.read_bytes()))
    assert listed(root) == first
    scanned.clear()
    assert listed(root) == first
    assert scanned == []


@pytest.mark.parametrize("arrays", [{}, {"version": 2}, {"version": [[1]], "stamps": 3}])
def test_an_index_of_another_kind_is_written_anew(root, cache, scanned, arrays):
    first = listed(root)
    (index,) = cache.glob("*.npz")
    with np.load(index) as whole:
        np.savez(index, **({**whole, **arrays} if arrays else {"x": 1}))
    assert listed(root) == first
    scanned.clear()
    assert listed(root) == first
    assert scanned == []


def test_no_cache_is_no_error(root, tmp_path, cache, monkeypatch):
    first = listed(root)
    (tmp_path / "file").touch()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
    assert listed(root) == first
    monkeypatch.delenv("KERAS_HOME")

    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(listings.files.Path, "home", no_home)
    assert listed(root) == first


def test_several_programs_at_once(root, cache, scanned):
    with ThreadPoolExecutor(4) as pool:
        results = [*pool.map(listed, [root] * 8)]
    assert all(result == results[0] for result in results)
    scanned.clear()
    assert listed(root) == results[0]
    assert scanned == []
    assert [path.suffix for path in cache.iterdir() if path.suffix != ".lock"] == [".npz"]


def test_the_file_system_of_a_path(tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "22 1 8:1 / / rw - ext4 /dev/a rw\n"
        "23 22 8:2 / /media/my\\040stick rw master:1 - vfat /dev/b rw\n"
        "24 22 0:9 / /media rw - fuse.s3fs s3fs rw\n"
    )
    monkeypatch.setattr(listings, "MOUNTS", str(mounts))
    found = [
        listings._file_system(path)
        for path in ("/data", "/media/my stick/a", "/media/my sticks", "/mediatheque")
    ]
    assert found == ["ext4", "vfat", "fuse.s3fs", "ext4"]
    monkeypatch.setattr(listings, "MOUNTS", str(tmp_path / "none"))
    assert listings._file_system("/data") == ""


def test_names_of_files():
    texts = ["a.jpg", os.fsdecode(b"caf\xe9.png"), "", "d/é.png", "a.jpg"]
    names = FileNames.of(texts)
    assert [*names] == texts
    assert names[-2] == "d/é.png"
    assert "d/é.png" in names
    below = names.below("/data/")
    assert [*below] == [f"/data/{text}" for text in texts]
    assert [*below[1:3]] == [f"/data/{text}" for text in texts[1:3]]
    assert [*below[np.array([4, 1, 1])]] == [below[i] for i in (4, 1, 1)]
    assert [*FileNames.joined([names, FileNames.of([]), names])] == texts * 2
    assert len(FileNames.joined([])) == 0
    with pytest.raises(IndexError):
        names[5]


def test_a_few_names_of_many_hold_little():
    names = FileNames.of(f"train/n{number:08d}/{number}.JPEG" for number in range(10_000))
    few = names[np.arange(5_000, 5_010)]
    assert len(few.encoded) < 400
    assert [*few] == [*names[5_000:5_010]]
    assert len(names.encoded) + names.starts.nbytes + names.lengths.nbytes < 50 * len(names)
