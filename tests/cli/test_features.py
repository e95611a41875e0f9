"""`keras-classics features`: files, classifiers of stored features, similar images, the page."""

import csv
import json
import os
import re
import shutil

import numpy as np
import pytest

from keras_classics.analysis import page
from keras_classics.cli import _features_page
from keras_classics.cli._feature_images import of_arguments, of_dataset, of_stored
from keras_classics.cli._features_page import write_page
from keras_classics.cli._image_arguments import NamedImage
from keras_classics.errors import UserError
from keras_classics.evaluation import StoredFeatures, write_features
from tests.helpers.browser import Browser, needs_browser
from tests.helpers.folders import folder_of_images, write_image
from tests.helpers.programs import assert_one_line

FEATURES = ("-m", "keras_classics.cli", "features")
DIGITS = ("--model=lenet5", "--weights=digits")

# Names that a page could take for something else.
NAMES = ["</script><script>document.title='!'</script>.png", "a&amp;'b'.png", "caf\udce9.png"]


def read_index(path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def digits(run_program, tmp_path_factory):
    """Features of some digits, and what the command says about them."""
    out = tmp_path_factory.mktemp("features") / "digits.npy"
    limits = ("--dataset=digits", "--limit_train=150", "--limit_test=40")
    done = run_program(*FEATURES, *DIGITS, *limits, f"--out={out}", "--probe", "--knn", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return out, json.loads(done.stdout)


def test_a_data_set(digits):
    out, said = digits
    assert (said["out"], said["images"], said["channels"], said["faults"]) == (str(out), 190, 84, 0)
    stored = StoredFeatures.open(out)
    assert stored.features.shape == (190, 84)
    assert [(stored.parts == part).sum() for part in ("train", "test")] == [150, 40]
    data = of_dataset("digits", None, None, None, (150, 40))
    expected = np.concatenate([split.labels for split in data.parts.values()])
    np.testing.assert_array_equal(stored.labels, expected)
    assert stored.row_classes == tuple(str(label) for label in expected)
    assert (stored.images[0], stored.images[150]) == ("digits/train/0", "digits/test/0")
    assert stored.about["weights"] == "digits"
    for name, setting in (("probe", "C"), ("knn", "k")):
        found = said[name]
        assert found["low"] <= found["error"] <= found["high"]
        # Trained on these digits.
        assert found["error"] < 0.2
        assert (found["test_images"], found["train_images"]) == (40, 150)
        assert found[setting] > 0
        chosen = found["held_out_errors"][f"{found[setting]:g}"]
        assert chosen == min(found["held_out_errors"].values())


def test_stored_features_give_the_same(digits, run_program):
    out, said = digits
    done = run_program(*FEATURES, f"--from={out}", "--probe", "--knn")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for line, name in zip(lines, ("probe", "knn"), strict=True):
        low, high = 100 * said[name]["low"], 100 * said[name]["high"]
        assert line.startswith(
            f"{name:<7} error {100 * said[name]['error']:.2f} % ({low:.2f} to {high:.2f}) of 40 "
        )


def test_images_of_a_folder_and_a_query(run_program, tmp_path):
    folder = tmp_path / "photos"
    for name in ("a/1.png", "a/2.png", "b/3.png"):
        write_image(folder / name, height=32, width=32)
    (folder / "a" / "cut.png").write_bytes((folder / "a" / "1.png").read_bytes()[:40])
    os.mkfifo(folder / "b" / "fifo.png")
    out, page_ = tmp_path / "f.npy", tmp_path / "f.html"
    query = f"--query={folder / 'b' / '3.png'}"
    arguments = (str(folder / "a"), str(folder / "b" / "*.png"))
    command = (*FEATURES, *DIGITS, query, "--level=2")
    done = run_program(*command, f"--out={out}", f"--page={page_}", *arguments)
    assert_one_line(done, 0, "2 of 5 images cannot be used. The first, ")
    rows = read_index(out.with_suffix(".csv"))
    assert [row["row"] for row in rows] == ["0", "1", "", "2", ""]
    assert rows[2]["fault"] == "cannot be used: PNG, cut short"
    assert rows[4]["fault"] == "cannot be read: it is no file"
    assert np.load(out).shape == (3, 16)
    lines = done.stdout.splitlines()
    assert lines[0].startswith(
        f"files   {out} and {out.with_suffix('.csv')}: 3 images, 16 channels"
    )
    assert lines[1] == f"similar to {folder / 'b' / '3.png'}"
    assert lines[2] == f"  1.0000  {folder / 'b' / '3.png'}"
    assert lines[-1] == f"page    {page_}"
    assert page_.read_text("utf-8").count("<figure>") == 4
    # The stored ones, with the level that they have.
    again = run_program(*FEATURES, *DIGITS, query, f"--from={out}", "--json")
    assert again.returncode == 0, again.stderr
    found = json.loads(again.stdout)["similar"]
    assert (found[0]["row"], len(found)) == (2, 3)
    other = run_program(
        *FEATURES, "--model=lenet5", "--weights=fashion_mnist", query, f"--from={out}"
    )
    assert_one_line(other, 2, "with weights digits. Received: fashion_mnist.")
    # Named by itself it is an error, after the others are written.
    cut = str(folder / "a" / "cut.png")
    done = run_program(
        *FEATURES, *DIGITS, f"--out={tmp_path / 'g.npy'}", cut, str(folder / "a" / "1.png")
    )
    assert_one_line(done, 2, f"1 of 2 images cannot be used. The first, {cut}, cannot be used")
    assert len(np.load(tmp_path / "g.npy")) == 1
    # Nothing is written if none can be used.
    done = run_program(*FEATURES, *DIGITS, f"--out={tmp_path / 'none' / 'h.npy'}", cut)
    assert_one_line(done, 2, f"{cut} cannot be used: PNG, cut short.")
    assert list((tmp_path / "none").iterdir()) == []


OUT = "--out=f.npy"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((OUT,), "--from=FILE.npy those that are stored. Received: none of them."),
        ((OUT, "--dataset=digits", "a.png"), "Received: IMAGES and --dataset."),
        (("--from=f.npy", "--dataset=digits"), "Received: --dataset and --from."),
        (("--from=f.npy", OUT), "--out is for new features. Received: --from too."),
        (
            ("a.png", OUT, "--limit_train=9"),
            "--limit_train is for --dataset. Received: IMAGES instead. Leave it out.",
        ),
        (("--from=none.npy", "--probe"), "none.npy cannot be read as features: No such file"),
        (("--dataset=digits",), "Features need a file to be written to: --out=FILE.npy."),
        (("--dataset=digits", "--out=a.csv"), "--out must end in .npy. Received: a.csv."),
        (("--dataset=digits", OUT, "--level=9"), "has the levels 0, 1, 2. Received: 9."),
        (("--dataset=digits", OUT, "--level=x"), "or pool. Received: --level=x."),
        (("--dataset=digits", OUT, "--map=umap"), "flag --map=umap"),
        (("--dataset=digits", OUT, "--limit_train=0"), "flag --limit_train=0"),
        (("--dataset=nosuch", OUT), "Unknown dataset 'nosuch'"),
        (("--dataset=digits", OUT, "--page=/proc/none/a.html"), "cannot be written"),
        ((OUT, "--probe", "a.png"), "need images with labels: --dataset=NAME"),
        ((OUT, "none.png"), "none.png cannot be read: No such file or directory."),
    ],
)
def test_wrong_flags(run_program, flags, message):
    done = run_program(*FEATURES, *DIGITS, *flags)
    assert_one_line(done, 2, message)
    assert done.stdout == ""


def test_a_query_of_stored_features_needs_the_network(run_program):
    done = run_program(*FEATURES, "--from=f.npy", "--query=a.png")
    assert_one_line(done, 2, "--query needs the network that wrote --from. Name it with --model.")


ABOUT = {
    **dict.fromkeys(("dataset", "data_dir", "validation_share", "limit_train", "limit_test")),
    **dict.fromkeys(("model", "weights", "level", "digest"), "text"),
    "upright": False,
}


def stored_features(path, images, parts=("train", "test"), labels=(0, 1), **about):
    """Writes features of some images, with parts and labels in turn."""
    rows = [
        (
            {
                "image": name,
                "part": parts[i % len(parts)],
                "label": labels[i // 2 % len(labels)],
                "class": f"class {labels[i // 2 % len(labels)]}",
            },
            np.random.default_rng(i).normal(size=4).astype("float32"),
        )
        for i, name in enumerate(images)
    ]
    write_features(path, rows, len(rows), 4, ABOUT | about)
    return path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": ("0 1", "1")}, "need one label for each image"),
        ({"labels": ("",)}, "need one label for each image"),
        ({"labels": (3,)}, "training images of two classes. Received: 20 of 1."),
        ({"parts": ("train",)}, "need training and test images. Received: f.npy, with 40 and 0."),
        ({"parts": ("test",)}, "need training and test images. Received: f.npy, with 0 and 40."),
    ],
)
def test_features_that_cannot_be_probed(run_program, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    path = stored_features(tmp_path / "f.npy", [f"train/a/{i}" for i in range(40)], **options)
    done = run_program(*FEATURES, f"--from={path}", "--probe")
    assert_one_line(done, 2, message.replace("f.npy", str(path)))


def test_a_folder_of_classes(tmp_path):
    root = folder_of_images(tmp_path / "images")
    name = f"folder:{root}"
    images = of_dataset(name, None, None, None, (None, None))
    assert images.class_names == ("cat", "dog")
    assert len(images) == 12
    assert images.name("test", 0) == str(root / "validation" / "cat" / "0.png")
    names = [images.name(part, i) for part in ("train", "test") for i in range(6)]
    stored = StoredFeatures.open(stored_features(tmp_path / "f.npy", names, dataset=name))
    shown = of_stored(stored)
    for number in range(len(names)):
        np.testing.assert_array_equal(shown.image(number), images.image(number))
    os.remove(names[3])
    assert shown.image(3) is None
    assert shown.image(12) is None
    shutil.rmtree(root / "train" / "dog")
    shutil.rmtree(root / "validation" / "dog")
    with pytest.raises(UserError, match="Training needs two classes"):
        of_dataset(name, None, None, None, (None, None))


def points_of(text: str) -> dict:
    (content,) = re.findall(r'<script type="application/json" id="points">(.*?)</script>', text)
    return json.loads(content)


def write_map(tmp_path, method="pca", query=None):
    paths = [tmp_path / "images" / f"{i}.png" for i in range(60)]
    for path in paths:
        write_image(path, height=20, width=30)
    paths[7].unlink()
    names = [*NAMES, *map(str, paths)]
    stored = StoredFeatures.open(stored_features(tmp_path / "f.npy", names))
    target = tmp_path / "map.html"
    shown = of_arguments([NamedImage(name) for name in names], upright=False)
    write_page(target, stored, shown.image, method, ["probe   error 1.00 %"], query)
    return target


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_a_page(tmp_path, monkeypatch, method):
    monkeypatch.setattr(_features_page, "POINTS", 50)
    similar = {"row": 9, "image": NAMES[0], "class": "class 0", "similarity": 0.5}
    query = (str(tmp_path / "images" / "0.png"), [similar])
    text = write_map(tmp_path, method, query).read_text("utf-8")
    found = points_of(text)
    assert found["classes"] == ["class 0", "class 1"]
    points = found["points"]
    assert len(points) == 50
    assert "It shows 50 of 63 images" in text
    assert [point["name"] for point in points if point["marked"]] == [
        str(tmp_path / "images/6.png")
    ]
    assert all(0 <= point[axis] <= 1 for point in points for axis in "xy")
    assert {point["name"] for point in points if not point["image"]} <= {
        *(name.encode(errors="backslashreplace").decode() for name in NAMES),
        str(tmp_path / "images/7.png"),
    }
    # Nothing comes from elsewhere, and names are text.
    assert page.POLICY in text
    assert "http" not in text.replace('http-equiv="Content', "")
    assert text.count("</script>") == 2
    assert text.count("<figure>") == 2
    assert "<b>0.5000 class 0</b>&lt;/script&gt;" in text


@needs_browser
def test_a_page_in_a_browser(tmp_path):
    browser = Browser()
    try:
        browser.open(write_map(tmp_path).as_uri())
        assert browser.run("return document.title") == "Features of images by text"
        buttons = "return [...document.querySelectorAll('#classes button')].map(b => b.innerText)"
        assert browser.run(buttons) == ["class 0", "class 1"]
        # 63 images are few enough to be drawn as pictures at once.
        assert browser.run("return document.body.dataset.pictures") == "true"
        browser.run("document.querySelector('#classes button').click()")
        browser.run("document.getElementById('closer').click()")
        browser.run(
            "const map = document.querySelector('#map canvas');"
            "const point = points.find((one) => one.class === 1);"
            "const [x, y] = place(point);"
            "show({ point, at: [x, y] });"
        )
        assert browser.run("return document.getElementById('shown').innerText").startswith(
            "class 1"
        )
        assert browser.errors() == []
        assert {address[:5] for address in browser.requests()} == {"file:", "data:"}
    finally:
        browser.close()
