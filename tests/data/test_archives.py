"""Images in tar and zip archives, read where they lie; and archives that are refused."""

import io
import os
import stat
import tarfile
import zipfile

import numpy as np
import pytest

from keras_classics.data import ArchiveSplit, load, load_test
from keras_classics.data.unreadable import unreadable
from keras_classics.errors import UserError
from keras_classics.evaluation.predictions import digest
from tests.helpers.folders import folder_of_images
from tests.helpers.image_files import JPEG, PNG, WEBP, side
from tests.helpers.splits import contents


@pytest.fixture
def root(tmp_path):
    return folder_of_images(tmp_path / "images")


def files_of(root):
    """Content of each file by its path."""
    paths = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def write_zip(path, members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def write_tar(path, members, mode="w", **format_of_headers):
    with tarfile.open(path, mode, **format_of_headers) as archive:
        for name, content in members.items():
            head = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            content = b"" if isinstance(content, tarfile.TarInfo) else content
            head.size = len(content)
            archive.addfile(head, io.BytesIO(content))
    return path


WRITERS = {
    "stored.zip": write_zip,
    "deflated.zip": lambda path, members: write_zip(path, members, zipfile.ZIP_DEFLATED),
    "gnu.tar": lambda path, members: write_tar(path, members, format=tarfile.GNU_FORMAT),
    "pax.tar": lambda path, members: write_tar(path, members, format=tarfile.PAX_FORMAT),
    "ustar.tar": lambda path, members: write_tar(path, members, format=tarfile.USTAR_FORMAT),
}


# One of each format; the others write the same otherwise.
QUICK = ("deflated.zip", "pax.tar")


@pytest.mark.parametrize(
    "kind", [k if k in QUICK else pytest.param(k, marks=pytest.mark.slow) for k in WRITERS]
)
def test_an_archive_is_the_folder(root, tmp_path, kind):
    (root / "train" / "cat" / "a.jfif").write_bytes(JPEG)
    (root / "train" / "cat" / "kittens").mkdir()
    (root / "train" / "cat" / "kittens" / "b").write_bytes(WEBP)
    (root / "train" / "cat" / "notes.txt").write_bytes(b"words" * 99)
    name = "dir" * (25 if kind == "ustar.tar" else 60)
    (root / "train" / "dog" / f"{name}.png").write_bytes(PNG)
    members = dict(reversed(files_of(root).items()))
    path = WRITERS[kind](tmp_path / kind, members)
    for encoded in (True, False):
        resize = None if encoded else lambda images: images[:, :5, :5]
        folder, packed = (load(f"folder:{p}", None, resize, encoded) for p in (root, path))
        assert packed.class_names == folder.class_names
        if encoded:
            assert isinstance(packed.train, ArchiveSplit)
            assert contents(packed.train) == contents(folder.train)
            assert digest(packed.test) == digest(folder.test)
        else:
            np.testing.assert_array_equal(packed.train.images, folder.train.images)
    assert len(load_test(f"folder:{path}", encoded=True)[0]) == 6


def test_a_folder_in_the_archive(root, tmp_path):
    members = {f"./my set/{name}": content for name, content in files_of(root).items()}
    path = write_tar(tmp_path / "a.tar", {**members, "__MACOSX/train/x/._0.png": b"junk"})
    assert contents(load(f"folder:{path}", encoded=True).train) == contents(
        load(f"folder:{root}", encoded=True).train
    )


def test_images_of_an_archive_are_turned(root, tmp_path):
    members = {**files_of(root), "train/cat/0.jpg": side(6)}
    path = write_zip(tmp_path / "a.zip", members)
    lying, upright = (load(f"{n}:{path}", encoded=True).train for n in ("folder", "folder_exif"))
    np.testing.assert_array_equal(upright.image(0), np.rot90(lying.image(0), -1))


def test_links_in_a_tar(root, tmp_path):
    hard, soft, lost = (tarfile.TarInfo(f"train/cat/{name}.png") for name in "xyz")
    hard.type, hard.linkname = tarfile.LNKTYPE, "train/cat/0.png"
    soft.type, soft.linkname = tarfile.SYMTYPE, "../dog/1.png"
    lost.type, lost.linkname = tarfile.SYMTYPE, "/etc/passwd"
    links = {head.name: head for head in (hard, soft, lost)}
    path = write_tar(tmp_path / "a.tar", {**files_of(root), **links})
    split = load(f"folder:{path}", encoded=True).train
    found = {split.names[i]: split.read(i)[1] for i in range(len(split))}
    assert found["train/cat/x.png"] == found["train/cat/0.png"]
    assert found["train/cat/y.png"] == found["train/dog/1.png"]
    assert "train/cat/z.png" not in found


@pytest.mark.parametrize("name", ["../out.png", "/etc/out.png", "train/cat/../../../out.png"])
@pytest.mark.parametrize("kind", ["stored.zip", "gnu.tar"])
def test_members_that_would_escape(root, tmp_path, kind, name):
    path = WRITERS[kind](tmp_path / kind, {**files_of(root), name: PNG})
    with pytest.raises(UserError, match=r"must hold files below its own folder. Received: the m"):
        load(f"folder:{path}")


@pytest.mark.parametrize("mode", ["gz", "bz2", "xz"])
def test_a_compressed_tar(root, tmp_path, mode):
    path = write_tar(tmp_path / "a.tar", files_of(root), f"w:{mode}")
    with pytest.raises(UserError, match=r"is compressed by .*zip2?|xz: .*Unpack it, or repack it"):
        load(f"folder:{path}")


def test_other_zip_archives(root, tmp_path):
    path = write_zip(tmp_path / "a.zip", files_of(root), zipfile.ZIP_LZMA)
    with pytest.raises(UserError, match=r"stored or deflated files. Received: .* by lzma. Unpack"):
        load(f"folder:{path}")
    content = bytearray(write_zip(tmp_path / "b.zip", files_of(root)).read_bytes())
    for place in range(len(content) - 4):
        if content[place : place + 4] == b"PK\1\2":
            content[place + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a.zip is encrypted"):
        load(f"folder:{path}")


def test_a_link_in_a_zip_archive_is_no_image(root, tmp_path):
    path = write_zip(tmp_path / "a.zip", files_of(root))
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("train/cat/link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    assert len(load(f"folder:{path}", encoded=True).train) == 6


@pytest.mark.parametrize("kind", ["stored.zip", "deflated.zip", "gnu.tar"])
def test_cut_and_altered_archives(root, tmp_path, kind):
    """Each is refused in one line, or gives images; a byte in an image may go unnoticed."""
    whole = WRITERS[kind](tmp_path / kind, files_of(root)).read_bytes()
    draw = np.random.default_rng(0)
    path = tmp_path / f"damaged_{kind}"
    for attempt in range(60):
        content = bytearray(whole)
        if attempt % 2:
            content = content[: draw.integers(len(content))]
        else:
            for place in draw.integers(len(content), size=4):
                content[place] = draw.integers(256)
        path.write_bytes(content)
        said, read = [], []
        try:
            split = load(f"folder:{path}", encoded=True).train
            read = [split.read(i)[1] for i in range(len(split))]
        except UserError as error:
            said = str(error).splitlines()
        assert len(said) == (not read)
        assert all(str(path) in line for line in said)
        assert sum(map(len, read)) < 10 * len(whole)


def test_a_bomb_is_not_unpacked(root, tmp_path):
    path = write_zip(tmp_path / "a.zip", {**files_of(root), "train/cat/x.png": bytes(10**7)}, 8)
    content = path.read_bytes()
    # Its size, in its header and in the index, is said to be less.
    path.write_bytes(content.replace((10**7).to_bytes(4, "little"), (99).to_bytes(4, "little")))
    split = load(f"folder:{path}", encoded=True).train
    with pytest.raises(UserError, match=r"x.png is damaged: it does not hold the 99 bytes"):
        [split.read(i) for i in range(len(split))]


def test_a_damaged_image_is_named(root, tmp_path):
    path = write_tar(tmp_path / "a.tar", {**files_of(root), "train/cat/9.png": PNG[:60]})
    split = load(f"folder:{path}", encoded=True).train
    message = str(unreadable(split, range(len(split))))
    assert message.startswith(f"{path}/train/cat/9.png cannot be used: PNG, cut short. Repair or")
    with pytest.raises(UserError, match=r"a.tar/train/cat/9.png cannot be used"):
        load(f"folder:{path}")
    os.remove(path)
    assert "a.tar cannot be used: cannot be read (No such file" in str(unreadable(split, [0]))


def test_no_archive(tmp_path):
    (tmp_path / "notes.txt").write_text("words")
    with pytest.raises(UserError, match=r"takes a folder of images, or a tar or zip archive of on"):
        load(f"folder:{tmp_path / 'notes.txt'}")
    (tmp_path / "a.tar").write_bytes(bytes(10240))
    with pytest.raises(UserError, match=r"a.tar"):
        load(f"folder:{tmp_path / 'a.tar'}")
