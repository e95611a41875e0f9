"""Exports measured in their runtimes, each in a process of its own."""

import dataclasses
import importlib.util
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.export import export_model, measuring, runtime_process
from keras_classics.export.measuring import Form, Measurement, RuntimeProcess
from keras_classics.timing import in_turns
from keras_classics.weights import find_weights
from tests.helpers.exports import arguments
from tests.helpers.programs import ROOT, assert_one_line

CLI = ("-m", "keras_classics.cli", "benchmark")
DIGITS = find_weights("lenet5/digits")
QUICK = ("--turns=1", "--threads=1", "--batches=2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "served"
    export_model(
        kc.lenet5(weights="digits"),
        folder,
        preprocessing=DIGITS.preprocessing(),
        labels=DIGITS.labels,
        formats=["tflite", "onnx"],
    )
    # The tests know which runtimes there are.
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "openvino", None)
        yield folder


@pytest.fixture(scope="module")
def encoded(folder):
    return measuring.generated_files(folder)[:5]


def test_each_form_in_its_runtime(folder, encoded, monkeypatch):
    monkeypatch.setattr(measuring, "TURN_SECONDS", 0.01)
    forms, missing = measuring.forms_of(folder)
    assert [form.name for form in forms] == ["model.tflite in LiteRT", "model.onnx in ONNX Runtime"]
    assert missing == {
        "model.onnx in OpenVINO": "openvino is not installed: pip install openvino",
    }
    rows, failed = measuring.measure(forms, encoded, [1, 2], [1, 3], turns=2)
    assert failed == {}
    assert [(row.name, row.threads, row.batch) for row in rows] == [
        (form.name, threads, batch) for threads in (1, 2) for form in forms for batch in (1, 3)
    ]
    for row in rows:
        assert 0 < row.p50_ms <= row.p95_ms
        assert row.images_per_second > 0
        assert min(row.import_s, row.load_s, row.first_s) > 0
        # NumPy and the runtime, and not TensorFlow, which alone takes hundreds.
        assert 10 < row.peak_mb < 250
        assert row.same_here == row.same_prediction == 1
        assert row.accuracy is row.model_accuracy is None


def test_outputs_are_those_of_the_export(folder, encoded, tmp_path):
    expected = kc.export.load_exported(folder).predict(encoded)
    images = np.concatenate([measuring.prepare_of(folder / "model.onnx")(one) for one in encoded])
    np.save(tmp_path / "images.npy", images)
    for form in measuring.forms_of(folder)[0]:
        process = RuntimeProcess(form, 1, tmp_path / "images.npy")
        np.testing.assert_allclose(process.started["outputs"], expected, atol=1e-5)
        assert len(process.turn(batch=2, seconds=0)["seconds"]) == runtime_process.CALLS
        process.close()


def test_a_form_that_fails_is_named_and_the_others_run(folder, encoded, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / "model.onnx").write_bytes(b"no model")
    rows, failed = measuring.measure(measuring.forms_of(broken)[0], encoded, [1], [1], turns=1)
    assert {row.name for row in rows} == {"model.tflite in LiteRT"}
    assert [*failed] == ["model.onnx in ONNX Runtime"]
    assert failed["model.onnx in ONNX Runtime"].startswith(
        "model.onnx in ONNX Runtime cannot be run: "
    )


def test_a_process_that_ends_is_no_hang(folder, encoded, tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((1, 32, 32, 1), "float32"))
    process = RuntimeProcess(Form(folder / "model.tflite", "LiteRT"), 1, tmp_path / "images.npy")
    process._process.kill()
    with pytest.raises(UserError, match=r"in LiteRT cannot be run: its process ended \(-9\)"):
        process.turn(batch=1)
    process.close()


@pytest.mark.slow
def test_a_saved_model(encoded, tmp_path, monkeypatch):
    model = kc.lenet5()
    export_model(model, tmp_path / "served", **arguments(model), formats=["saved_model"])
    forms, _ = measuring.forms_of(tmp_path / "served")
    rows, failed = measuring.measure(forms, encoded, [1], [1, 4], turns=1)
    assert failed == {}
    assert {row.name for row in rows} == {"saved_model in TensorFlow"}


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs OpenVINO")
def test_openvino(folder, encoded):
    forms = [Form(folder / "model.onnx", runtime) for runtime in ("ONNX Runtime", "OpenVINO")]
    rows, failed = measuring.measure(forms, encoded, [1], [1, 4], turns=1)
    assert failed == {}
    assert all(row.same_here == 1 for row in rows)


def row(export, p50_ms, **others):
    values = dict.fromkeys((field.name for field in dataclasses.fields(Measurement)), 1.0)
    values |= {"export": export, "batch": 1, "p50_ms": p50_ms, "accuracy": None}
    return Measurement(**values | {"model_accuracy": None} | others)


def test_the_fastest_accurate_form_is_recommended():
    exact, int8 = row("exact", 3.0), row("int8", 1.0, same_prediction=0.995)
    assert measuring.recommended([exact, int8]) is int8
    assert measuring.recommended([exact, row("dynamic", 1.0, same_prediction=0.99)]) is exact
    known = row("int8", 1.0, same_prediction=0.98, accuracy=0.916, model_accuracy=0.92)
    assert measuring.recommended([exact, known]) is known
    lossy = row("int8", 1.0, accuracy=0.914, model_accuracy=0.92)
    assert measuring.recommended([exact, lossy]) is exact
    assert measuring.recommended([lossy]) is None
    # By single images, not by batches.
    assert measuring.recommended([row("batch", 0.5, batch=16), exact]) is exact
    assert measuring.recommended([]) is None


def test_turns_treat_all_alike():
    turns = [*in_turns("abc", 3)]
    assert "".join(name for _, name in turns) == "abcbcacab"
    assert [turn for turn, _ in turns] == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_the_command(run_program, folder, tmp_path):
    out = tmp_path / "out"
    done = run_program(*CLI, f"--export={folder}", *QUICK, f"--out={out}", "--json")
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert content == json.loads((out / "benchmark.json").read_text())
    assert content["model"] == "lenet5"
    assert content["machine"].startswith("CPU, ")
    assert content["recommended"] in content["rows"]
    header, *lines = (out / "benchmark.csv").read_text().splitlines()
    assert header.split(",") == [*content["rows"][0]]
    assert len(lines) == len(content["rows"])
    assert (out / "benchmark.png").stat().st_size > 1000


def test_the_command_on_images_and_one_export(run_program, folder, encoded, tmp_path):
    (tmp_path / "a.png").write_bytes(encoded[0])
    done = run_program(*CLI, f"--export={folder / 'model.tflite'}", *QUICK, str(tmp_path))
    assert done.returncode == 0, done.stderr
    first, header, measured, last = done.stdout.splitlines()
    assert f"1 images of {tmp_path}:" in first
    assert header.split()[:4] == ["threads", "batch", "p50", "ms"]
    assert measured.split()[:5] == ["model.tflite", "in", "LiteRT", "1", "2"]
    assert last.startswith("recommended   model.tflite in LiteRT, 1 thread: ")
    assert last.endswith("100.00 % of the network's predictions")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--export=none",), "Name a folder that 'keras-classics export' wrote"),
        (("--export=SERVED/model.keras",), "which is none of model.tflite, model.onnx"),
        (("--export=SERVED", "--threads=0"), "--threads takes numbers from 1 to 1024"),
        (("--export=SERVED", "--batches=1,a"), "Received: '1,a'."),
        (("--export=SERVED", "--out=SERVED"), "already exists"),
        (("--export=SERVED", "none.png"), "none.png cannot be read"),
        (("--export=SERVED", "SERVED/manifest.json"), "cannot be used"),
    ],
)
def test_what_is_wrong(run_program, folder, flags, message):
    words = [word.replace("SERVED", str(folder)) for word in flags]
    assert_one_line(run_program(*CLI, *words), 2, message)


def test_the_process_needs_no_package_but_its_runtime(folder, tmp_path):
    hidden = "import sys\nfor name in ('tensorflow', 'keras', 'keras_classics'):\n"
    (tmp_path / "sitecustomize.py").write_text(f"{hidden}    sys.modules[name] = None\n")
    np.save(tmp_path / "images.npy", np.zeros((1, 32, 32, 1), "float32"))
    words = ("LiteRT", str(folder / "model.tflite"), "1", str(tmp_path / "images.npy"))
    done = subprocess.run(
        [sys.executable, "-P", runtime_process.__file__, *words],
        input="1 0\n",
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
