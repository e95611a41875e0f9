"""`keras-classics export` and `predict`, one after the other, and with mistakes."""

import importlib.util
import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

import keras_classics as kc
from keras_classics.cli._answers import Answers
from keras_classics.cli._image_arguments import NamedImage
from keras_classics.data.image_files import upright
from keras_classics.errors import UserError
from keras_classics.export import load_exported
from tests.helpers.image_files import side
from tests.helpers.programs import assert_one_line

EXPORT = ("-m", "keras_classics.cli", "export", "--model=lenet5", "--weights=digits")
PREDICT = ("-m", "keras_classics.cli", "predict")
FORMS = (
    "",
    "saved_model",
    "model.tflite",
    "model_int8.tflite",
    "model.onnx",
    "model_int8.onnx",
    "model.keras",
)


@pytest.fixture(scope="module")
def image(digits, tmp_path_factory):
    """A digit of the test split as a PNG file."""
    path = tmp_path_factory.mktemp("image") / "digit.png"
    path.write_bytes(tf.io.encode_png(digits.test.images[0]).numpy())
    return path


@pytest.fixture(scope="module")
def exported(run_program, tmp_path_factory):
    out = tmp_path_factory.mktemp("exported") / "out"
    formats = ("--formats=saved_model,tflite,onnx", "--quantize=none,int8", "--dataset=digits")
    return run_program(*EXPORT, *formats, f"--out={out}", "--limit_test=64"), out


def test_says_how_well_each_form_does(exported):
    done, out = exported
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    first, head, *lines, same, accuracy, files = done.stdout.splitlines()
    if importlib.util.find_spec("openvino") is None:
        assert (
            lines.pop() == "not checked in OpenVINO, which is not installed: pip install openvino"
        )
    lines = [line for line in lines if ", OpenVINO" not in line]
    assert "compared on 64 of 360 test images of digits (more with --limit_test)" in first
    assert head.split() == ["MB", "ms,", "p50", "p95", "same", "accuracy", "before"]
    names = [form for form in FORMS if form and form != "model.keras"]
    assert [line.split()[0] for line in lines] == names
    for line in lines:
        after, before = (float(line.split()[place]) for place in (-4, -2))
        assert before > 95
        assert abs(after - before) < 2
    assert same.startswith("same  ")
    assert accuracy.endswith("before: of the network itself")
    assert files == f"files   {out}/"


@pytest.mark.parametrize("form", FORMS)
def test_every_form_answers(exported, digits, image, form):
    network = load_exported(exported[1] / form)
    assert network.labels == digits.class_names
    encoded = [image.read_bytes()] * 2
    model, layer = kc.lenet5(weights="digits"), kc.preprocessing("lenet5/digits")
    expected = model(layer(digits.test.images[:1])).numpy()
    tolerance = 0.05 if "int8" in form else 1e-5
    got = network.predict(encoded)
    np.testing.assert_allclose(got, np.repeat(expected, 2, axis=0), atol=tolerance)


@pytest.mark.parametrize("form", ["saved_model", "model.tflite"])
def test_an_image_that_cannot_be_read_does_not_stop_the_others(exported, image, tmp_path, form):
    network, encoded = load_exported(exported[1] / form), image.read_bytes()
    contents = {"a.png": encoded, "b.png": encoded[:40], "c.png": encoded, "d.png": b""}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    images = [NamedImage(str(tmp_path / name)) for name in contents]
    first, cut, last, empty = Answers(network, images, turn=False)
    assert cut.fault == "cannot be used: PNG, cut short"
    assert empty.fault == "cannot be used: empty"
    for answer in (first, last):
        np.testing.assert_allclose(answer.outputs, network.predict([encoded])[0], atol=1e-6)
    with pytest.raises(UserError, match="Image 1, counted from 0, cannot be used: PNG, cut short"):
        network.predict(list(contents.values()))
    # A SavedModel decodes images itself, and they are not decoded before.
    assert isinstance(network.prepare(encoded), bytes) == (form == "saved_model")


def test_predict(run_program, exported, digits, image):
    done = run_program(*PREDICT, f"--model_path={exported[1]}", str(image), str(image))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == lines[6] == str(image)
    assert lines[1].split()[0] == str(digits.test.labels[0])
    assert sum(float(line.split()[1]) for line in lines[1:6]) == pytest.approx(100, abs=0.1)


@pytest.mark.parametrize("trained_on", ["applied", "ignored"])
def test_predict_turns_photos_if_the_network_was_trained_on_such(
    run_program, exported, tmp_path, trained_on
):
    for name in ("model.tflite", "manifest.json"):
        shutil.copy(exported[1] / name, tmp_path)
    path = tmp_path / "manifest.json"
    stated = json.loads(path.read_text()) | {"exif_orientation": trained_on}
    path.write_text(json.dumps(stated))
    photos = {"lying.png": side(6, "PNG"), "upright.png": upright(side(6, "PNG"))}
    for name, content in photos.items():
        (tmp_path / name).write_bytes(content)
    files = [str(tmp_path / name) for name in photos]
    done = run_program(*PREDICT, f"--model_path={tmp_path}/model.tflite", *files)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert (lines[1:6] == lines[7:]) == (trained_on == "applied")


def test_what_is_no_export(exported, tmp_path):
    out = exported[1]
    with pytest.raises(UserError, match=r"manifest.json, which defines the preprocessing"):
        load_exported(tmp_path)
    with pytest.raises(UserError, match="The export must exist. Received: .*none.onnx"):
        load_exported(out / "none.onnx")
    with pytest.raises(UserError, match="a file that ends in .tflite, .onnx, .keras. Received"):
        load_exported(out / "manifest.json")


@pytest.mark.parametrize(
    "file",
    [
        "model.tflite",
        "model_int8.tflite",
        "model.onnx",
        "model_int8.onnx",
        "model.keras",
        "saved_model/saved_model.pb",
        "saved_model/variables/variables.index",
        "saved_model/variables/variables.data-00000-of-00001",
    ],
)
@pytest.mark.parametrize("kept", [0.0, 0.4, 0.999])
def test_an_export_that_was_cut(exported, tmp_path, file, kept):
    shutil.copytree(exported[1], tmp_path, dirs_exist_ok=True)
    size = (tmp_path / file).stat().st_size
    os.truncate(tmp_path / file, int(kept * size))
    form = file.split("/")[0]
    with pytest.raises(UserError, match=f"{form} .*Export it again") as said:
        load_exported(tmp_path / form)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ([], "manifest.json, which defines the preprocessing and the labels, cannot be read"),
        ({"output": {"labels": ["a"]}, "exports": {"model.onnx": {}}}, "cannot be read"),
        ({"output": {}, "preprocessing": {"layer": "Canvas"}}, "cannot be read"),
        ({"preprocessing": {"layer": "Canvas"}}, "Unknown preprocessing 'Canvas'. Known: Canvas"),
    ],
)
def test_a_manifest_that_does_not_say_it(exported, tmp_path, manifest, message):
    shutil.copy(exported[1] / "model.onnx", tmp_path)
    if "preprocessing" in manifest:
        manifest = json.loads((exported[1] / "manifest.json").read_text()) | manifest
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=message):
        load_exported(tmp_path / "model.onnx")


def test_says_what_is_wrong(run_program, exported, image, tmp_path):
    out = exported[1]
    there = run_program(*EXPORT, f"--out={out}")
    assert_one_line(there, 2, "out already exists")
    uncalibrated = run_program(*EXPORT, f"--out={tmp_path / 'new'}", "--quantize=int8")
    assert_one_line(uncalibrated, 2, "--quantize=int8 needs images to calibrate on")
    assert "Add --dataset=NAME" in uncalibrated.stderr
    assert not list(tmp_path.iterdir())
    (tmp_path / "cut.png").write_bytes(image.read_bytes()[:40])
    wrong = run_program(*PREDICT, f"--model_path={out}", str(tmp_path / "cut.png"))
    assert_one_line(wrong, 2, "cut.png cannot be used: PNG, cut short")
    assert_one_line(
        run_program(*PREDICT, f"--model_path={out}"), 2, "Takes the arguments IMAGES... besides"
    )
