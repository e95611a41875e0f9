"""ILSVRC-2012 as it is kept: flat validation images, devkit, Kaggle's table, the two archives."""

import io
import shutil
import tarfile

import numpy as np
import pytest
import scipy.io

from keras_classics.data import load, load_test
from keras_classics.errors import UserError
from tests.helpers.image_files import PHOTO, encoded
from tests.helpers.splits import contents

# In the order of the devkit's numbers, which is not that of the IDs.
IDS = ["n02119789", "n02100735", "n01440764", "n15075141"]
TRUTH = [3, 1, 4, 4, 2, 3]
SORTED = tuple(sorted(IDS))


def jpeg(number: int) -> bytes:
    return encoded(PHOTO.rotate(number).resize((20, 16)), "JPEG", quality=90)


def meta(ids=IDS, groups=("n00001740",)) -> bytes:
    """The devkit's table of synsets: classes first, then groups of them."""
    rows = [*((name, 0) for name in ids), *((name, 2) for name in groups)]
    fields = ["ILSVRC2012_ID", "WNID", "words", "num_children"]
    synsets = np.zeros((len(rows), 1), [(name, object) for name in fields])
    for number, (name, children) in enumerate(rows, start=1):
        synsets[number - 1, 0] = (np.uint16(number), name, "words, more", np.uint8(children))
    content = io.BytesIO()
    scipy.io.savemat(content, {"synsets": synsets})
    return content.getvalue()


def write_train(root):
    for c, name in enumerate(IDS):
        (root / "train" / name).mkdir(parents=True)
        for i in range(2):
            (root / "train" / name / f"{name}_{i}.JPEG").write_bytes(jpeg(10 * c + i))


def write_val(root):
    (root / "val").mkdir(parents=True)
    for i in range(len(TRUTH)):
        (root / "val" / f"ILSVRC2012_val_{i + 1:08}.JPEG").write_bytes(jpeg(100 + i))


def write_devkit(folder, truth=TRUTH, classes=None):
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{number}\n" for number in truth)
    (folder / "ILSVRC2012_validation_ground_truth.txt").write_text(lines)
    (folder / "meta.mat").write_bytes(meta() if classes is None else classes)


def write_kaggle(path):
    rows = [
        f"ILSVRC2012_val_{i + 1:08},{IDS[n - 1]} 1 2 3 4 {IDS[n - 1]} 5 6 7 8 \n"
        for i, n in enumerate(TRUTH)
    ]
    path.write_text("ImageId,PredictionString\n" + "".join(reversed(rows)))


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "ILSVRC2012"
    write_train(root)
    write_val(root)
    return root


def assert_validation_labels(split, class_names):
    assert [class_names[label] for label in split.labels] == [IDS[n - 1] for n in TRUTH]
    assert [content for content, _ in contents(split)] == [jpeg(100 + i) for i in range(6)]


PLACES = ["", "val", "ILSVRC2012_devkit_t12/data", "data", "../ILSVRC2012_devkit_t12/data"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("train", [True, False])
def test_labels_of_the_devkit(root, place, train):
    write_devkit(root / place)
    if not train:
        shutil.rmtree(root / "train")
        split, class_names = load_test(f"folder:{root}", encoded=True)
    else:
        data = load(f"folder:{root}", encoded=True)
        split, class_names = data.test, data.class_names
        assert [class_names[label] for label in data.train.labels] == sorted(IDS * 2)
    assert class_names == SORTED
    assert_validation_labels(split, class_names)


def test_the_flat_folder_itself(root):
    write_devkit(root)
    split, class_names = load_test(f"folder:{root / 'val'}", encoded=True)
    assert class_names == SORTED
    assert_validation_labels(split, class_names)
    with pytest.raises(UserError, match="val has test images and no train"):
        load(f"folder:{root / 'val'}", encoded=True)


def test_the_archive_of_the_devkit(root, tmp_path):
    write_devkit(tmp_path / "kit" / "data")
    with tarfile.open(root / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "kit", "ILSVRC2012_devkit_t12")
    assert_validation_labels(load(f"folder:{root}", encoded=True).test, SORTED)
    content = (root / "ILSVRC2012_devkit_t12.tar.gz").read_bytes()
    for damaged in (content[: len(content) // 2], b"\x1f\x8b junk", b""):
        (root / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(damaged)
        with pytest.raises(UserError, match=r"devkit_t12.tar.gz (is damaged|must hold)") as raised:
            load(f"folder:{root}", encoded=True)
        assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("kaggle", [True, False])
def test_labels_of_kaggle(root, tmp_path, kaggle):
    if kaggle:
        target = tmp_path / "kaggle" / "ILSVRC" / "Data" / "CLS-LOC"
        shutil.copytree(root, target)
        (target / "test").mkdir()
        (target / "test" / "ILSVRC2012_test_00000001.JPEG").write_bytes(jpeg(1))
        (tmp_path / "kaggle" / "ILSVRC" / "Annotations").mkdir()
        root = tmp_path / "kaggle"
    write_kaggle(root / "LOC_val_solution.csv")
    data = load(f"folder:{root}", encoded=True)
    assert data.class_names == SORTED
    assert_validation_labels(data.test, data.class_names)


def test_the_two_archives(root, tmp_path):
    kept = tmp_path / "archives"
    kept.mkdir()
    with tarfile.open(kept / "ILSVRC2012_img_val.tar", "w") as archive:
        for path in (root / "val").iterdir():
            archive.add(path, path.name)
    with tarfile.open(kept / "ILSVRC2012_img_train.tar", "w") as archive:
        for folder in (root / "train").iterdir():
            inner = tmp_path / f"{folder.name}.tar"
            with tarfile.open(inner, "w") as of_class:
                for path in folder.iterdir():
                    of_class.add(path, path.name)
            archive.add(inner, inner.name)
    write_devkit(kept)
    write_devkit(root)
    found, expected = (load(f"folder:{path}", encoded=True) for path in (kept, root))
    assert found.class_names == expected.class_names
    assert contents(found.train) == contents(expected.train)
    assert contents(found.test) == contents(expected.test)
    content = (kept / "ILSVRC2012_img_train.tar").read_bytes()
    (kept / "ILSVRC2012_img_train.tar").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"ILSVRC2012_img_train.tar is .*(cut short|damaged)"):
        load(f"folder:{kept}", encoded=True)


def test_without_labels(root):
    with pytest.raises(UserError, match=r"without their labels. Put ILSVRC2012_devkit_t12.tar.gz"):
        load(f"folder:{root}", encoded=True)


@pytest.mark.parametrize(
    ("truth", "classes", "message"),
    [
        (TRUTH[:4], None, "images without a label. Received: number 5, of 4 labels"),
        ([*TRUTH[:5], 9], None, "ILSVRC2012_IDs of meta.mat. Received: 9"),
        ([*TRUTH[:5], "x"], None, "a number on each line"),
        (TRUTH, b"junk", "must hold the synsets"),
        (TRUTH, meta()[:-40], "must hold the synsets"),
        (TRUTH, meta(["cat", *IDS[1:]]), "a WordNet ID of its own"),
        (TRUTH, meta([IDS[1], *IDS[1:]]), "a WordNet ID of its own"),
        (TRUTH, meta([*IDS[:3], "n99999999"]), "has others: n99999999"),
    ],
)
def test_devkits_that_are_refused(root, truth, classes, message):
    write_devkit(root, truth, classes)
    with pytest.raises(UserError, match=message) as raised:
        load(f"folder:{root}", encoded=True)
    assert len(str(raised.value).splitlines()) == 1


def test_tables_of_kaggle_that_are_refused(root):
    for content in ("", "a,b\n1,2\n", "ImageId,PredictionString\nILSVRC2012_val_1,n01440764 1\n"):
        (root / "LOC_val_solution.csv").write_text(content)
        with pytest.raises(UserError, match=r"LOC_val_solution.csv must have rows|without a label"):
            load(f"folder:{root}", encoded=True)


def test_other_images_among_them(root):
    write_devkit(root)
    (root / "val" / "photo.JPEG").write_bytes(jpeg(1))
    with pytest.raises(UserError, match=r"validation images alone, or a folder for each class"):
        load(f"folder:{root}", encoded=True)
