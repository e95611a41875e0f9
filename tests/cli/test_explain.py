"""`keras-classics explain`: which pictures it writes of which images."""

import csv
import json

import numpy as np
import pytest

import keras_classics as kc
from keras_classics.analysis import explain
from keras_classics.cli.explain import pixels_of
from keras_classics.errors import UserError
from tests.helpers.folders import write_image
from tests.helpers.images import read_png
from tests.helpers.programs import assert_one_line

EXPLAIN = ("-m", "keras_classics.cli", "explain", "--model=lenet5", "--weights=digits")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("explain") / "photos"
    for name in ("a/1.png", "b/1.png"):
        write_image(root / name, height=40, width=32)
    (root / "broken.png").write_bytes(b"no image")
    return root


def rows(path) -> list[dict[str, str]]:
    with open(path / "explanations.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_picture_for_each_image_and_a_row_for_each_class(run_program, folder, tmp_path):
    out = tmp_path / "out"
    methods = "--method=grad_cam,gradient,occlusion"
    done = run_program(*EXPLAIN, str(folder), methods, "--top=2", f"--out={out}", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["images"], summary["faults"]) == (2, 1)
    assert "1 of 3 images cannot be used" in done.stderr
    found = rows(out)
    assert [row["picture"] for row in found] == ["1.png", "1.png", "1_2.png", "1_2.png", ""]
    assert found[-1]["fault"]
    assert found[0]["label"] == found[0]["class"]
    assert float(found[0]["score"]) > float(found[1]["score"])
    picture = read_png(out / "1.png")
    # Two rows of an image and three methods.
    assert 1.7 < picture.shape[1] / picture.shape[0] < 1.8
    assert {path.name for path in out.iterdir()} == {"1.png", "1_2.png", "explanations.csv"}


def test_all_methods_that_the_network_allows(run_program, folder, tmp_path):
    image = str(folder / "a" / "1.png")
    arguments = ("--method=all", "--target=3", "--layer=c3", f"--out={tmp_path / 'out'}")
    done = run_program(*EXPLAIN, image, *arguments)
    assert done.returncode == 0, done.stderr
    for name in ("cam", "guided_backpropagation", "deconvolution"):
        assert f"{name} is left out." in done.stderr
    (row,) = rows(tmp_path / "out")
    assert row["class"] == "3"


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--method=grad_kam", "Unknown method 'grad_kam'. Did you mean grad_cam"),
        ("--target=12", "A target must be a label, 0 to 9, or the name of a class. Received: 12"),
        ("--out=FILE", "--out must be a folder. Received"),
        ("--top=2 --target=1", "Give --target or --top. Received: both."),
    ],
)
def test_wrong_flags(run_program, folder, tmp_path, flag, message):
    image = folder / "a" / "1.png"
    arguments = flag.replace("FILE", str(image)).split()
    done = run_program(*EXPLAIN, str(image), f"--out={tmp_path / 'out'}", *arguments)
    assert_one_line(done, 2, message)
    assert not (tmp_path / "out" / "explanations.csv").exists()


@pytest.mark.parametrize("name", ["vgg16/imagenet_keras", "resnet50/imagenet_torchvision"])
def test_pixels_are_those_that_the_network_sees(name):
    preprocessing = kc.preprocessing(name)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 9, 8, 3)).astype("uint8")
    inputs = np.asarray(preprocessing.normalize(pixels))
    np.testing.assert_array_equal(pixels_of(preprocessing, inputs), pixels)


def test_pixels_of_a_canvas(digits):
    preprocessing = kc.preprocessing("lenet5/digits")
    inputs = np.asarray(preprocessing(np.stack([digits.test.image(0)])))
    pixels = pixels_of(preprocessing, inputs)
    assert pixels.shape == inputs.shape
    np.testing.assert_allclose(
        preprocessing.normalize(pixels.astype("float32")), inputs, atol=0.003
    )


def test_overlays(tmp_path):
    grey = np.full((8, 6, 1), 100, "uint8")
    values = np.array([[-1.0, 1.0]], "float32")
    picture = explain.overlay(grey, values, "gray", opacity=1.0)
    assert picture.shape == (8, 6, 3)
    assert picture.dtype == np.uint8
    # Negative values are as none, and the largest is white.
    assert (picture.min(), picture.max()) == (0, 255)
    np.testing.assert_array_equal(explain.overlay(grey, values, opacity=0.0), grey.repeat(3, -1))
    pixels = np.zeros((8, 6, 3), "float32")
    pixels[2, 3] = (0.0, -2.0, 1.0)
    assert explain.heat(pixels)[2, 3] == 1.0
    assert not explain.heat(np.zeros((8, 6))).any()
    explain.grid(grey, {"a $class$": {str(i): values for i in range(9)}}, tmp_path / "grid.png")
    height, width, _ = read_png(tmp_path / "grid.png").shape
    # Seven methods are a line, and two are the next.
    assert 3.3 < width / height < 3.6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((8, 6, 3)), np.zeros((2, 2))), "must be uint8 of shape"),
        ((np.zeros((8, 6, 4), "uint8"), np.zeros((2, 2))), "must be uint8 of shape"),
        ((np.zeros((8, 6, 3), "uint8"), np.zeros((1, 2, 2, 3))), "Take one: maps.0."),
        ((np.zeros((8, 6, 3), "uint8"), np.zeros((2, 2)), "gay"), "a colour map of matplotlib"),
        ((np.zeros((8, 6, 3), "uint8"), np.zeros((2, 2)), "gray", 2), "opacity must be 0 to 1"),
    ],
)
def test_wrong_overlays(arguments, message):
    with pytest.raises(UserError, match=message):
        explain.overlay(*arguments)
