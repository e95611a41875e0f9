"""Exports that are killed or fail to write: each is complete, or does not exist."""

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import keras_classics as kc
from keras_classics import export
from keras_classics.errors import UserError
from keras_classics.export.source import Source
from keras_classics.files import process_lock
from keras_classics.image_preprocessing import CanvasPreprocessing
from tests.helpers.programs import ROOT, assert_one_line

PROGRAM = ("-m", "keras_classics.cli", "export", "--model=lenet5", "--weights=digits")
COMMAND = (*PROGRAM, "--dataset=digits", "--limit_test=16", "--overwrite")
ALL = ("--formats=saved_model,tflite,onnx", "--quantize=none,int8")

# Files of an export in the order in which they come: the network itself, each form as it is
# written, and behind its last file as it is checked.
MOMENTS = (
    "model.keras",
    "saved_model/variables",
    "saved_model/variables/variables.index",
    "saved_model/saved_model.pb",
    "saved_model/fingerprint.pb",
    "model.tflite.parts",
    "model.tflite.parts/saved_model.pb",
    "model.tflite",
    "model_int8.tflite.parts",
    "model_int8.tflite",
    "model.onnx",
    "model_int8.onnx.parts",
    "model_int8.onnx.parts/int8.onnx",
    "model_int8.onnx",
)


@pytest.fixture(scope="module")
def given(few_digits) -> dict:
    return {"preprocessing": CanvasPreprocessing(), "labels": few_digits.class_names}


def contents(folder: Path) -> dict[str, bytes]:
    """Returns the content of every file in a folder, by its path."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def folders(folder: Path) -> list[Path]:
    """Its folders; TensorFlow alone leaves files, small ones, and Python what it made of them."""
    return [path for path in folder.iterdir() if path.is_dir() and path.name != "__pycache__"]


def kill(out: Path, moment: str, *command: str) -> None:
    """Starts an export, and kills it after it has written a file in the temporary folder."""
    aside = out.with_name(f".aside-{out.name}")
    # Not what was left by an export that was killed before.
    old = aside / "old"
    if aside.exists():
        old.touch()
    awaited = [aside / name for name in MOMENTS[MOMENTS.index(moment) :]]
    process = subprocess.Popen(
        [sys.executable, *command, f"--out={out}"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(out.parent / "tmp")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while old.exists() or not any(path.exists() for path in awaited):
            assert process.poll() is None
            time.sleep(0.001)
    finally:
        process.kill()
        process.wait()
    assert aside.exists()


@pytest.mark.slow
def test_killed_while_it_replaces(given, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "tmp").mkdir()
    (out / "manifest.json").write_text("before")
    kill(out, "saved_model/variables", *COMMAND)
    assert contents(out) == {"manifest.json": b"before"}
    assert not folders(tmp_path / "tmp")
    export.export_model(kc.lenet5(), out, formats=["tflite"], overwrite=True, **given)
    assert set(contents(out)) == {"README.md", "manifest.json", "model.keras", "model.tflite"}
    assert {path.name for path in tmp_path.iterdir()} == {"out", "tmp"}


@pytest.mark.slow
def test_killed_at_many_moments(run_program, tmp_path):
    out, temporary = tmp_path / "out", tmp_path / "tmp"
    temporary.mkdir()
    before = {}
    for _ in range(2):
        for moment in MOMENTS:
            kill(out, moment, *COMMAND, *ALL)
            assert contents(out) == before
            assert out.exists() == bool(before)
        done = run_program(*COMMAND, *ALL, f"--out={out}", TMPDIR=str(temporary))
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        assert {path.name for path in tmp_path.iterdir()} == {"out", "tmp"}
        assert not folders(temporary)
        before = contents(out)
        assert {"manifest.json", "model.tflite", "model_int8.tflite", "model.onnx"} < set(before)


@pytest.fixture
def disk(tmp_path):
    """A small, empty RAM disk, which `remount` shrinks or makes read-only."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = (
        shutil.which("mount")
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True
        ).returncode
    )
    if not mounted:
        pytest.skip("Nothing can be mounted here: that takes root.")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


# `model.keras` takes 290 kB, each form of it 250 kB or more.
@pytest.mark.parametrize(
    ("size", "form"),
    [("100k", "tflite"), ("400k", "saved_model"), ("400k", "tflite"), ("400k", "onnx")],
)
def test_a_full_disk_leaves_what_was_there(size, form, given, disk):
    out = disk / "out"
    out.mkdir()
    (out / "manifest.json").write_text("before")
    remount(disk, f"size={size}")
    with pytest.raises((UserError, OSError), match="No space left on device"):
        export.export_model(kc.lenet5(), out, formats=[form], overwrite=True, **given)
    assert contents(disk) == {"out/manifest.json": b"before"}
    assert [path.name for path in disk.iterdir()] == ["out"]


def test_a_disk_that_cannot_be_written(given, disk):
    remount(disk, "ro")
    with pytest.raises(UserError, match="out cannot be written: Read-only file system"):
        export.export_model(kc.lenet5(), disk / "out", formats=["tflite"], **given)


@pytest.mark.slow
def test_a_full_disk_is_reported_in_one_line(run_program, disk):
    for size in ("100k", "400k"):
        remount(disk, f"size={size}")
        done = run_program(*COMMAND, f"--out={disk / 'out'}")
        assert_one_line(done, 2, "No space left on device")
        assert not list(disk.iterdir())


@contextlib.contextmanager
def no_file_above(size: int):
    """Limits the size of files that this process writes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("write", [export.export_model, export.saved_model, export.tflite])
def test_a_file_above_the_size_limit(write, given, tmp_path):
    with no_file_above(200_000), pytest.raises((UserError, OSError), match="File too large"):
        write(kc.lenet5(), tmp_path / "out", **given)
    assert not list(tmp_path.iterdir())


def test_images_of_a_wrong_shape(given, tmp_path):
    for shape in ((0, 28, 28, 1), (4, 0, 0, 1), (28, 28, 1)):
        refused(given, tmp_path, shape, "calibration must be uint8 of shape .* with count >= 1")
    refused(given, tmp_path, (4, 28, 28, 4), "that the preprocessing of lenet5 supports.*28, 4")


def refused(given: dict, folder: Path, shape: tuple[int, ...], message: str) -> None:
    images = np.zeros(shape, "uint8")
    with pytest.raises(UserError, match=message):
        export.export_model(
            kc.lenet5(),
            folder / "out",
            formats=["tflite"],
            quantize=["int8"],
            calibration=images,
            **given,
        )
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    "write",
    [pytest.param(export.export_model, marks=pytest.mark.slow), export.saved_model, export.tflite],
)
def test_two_exports_to_one_path(write, given, tmp_path):
    """The second gets one line, and leaves alone what the first is writing."""
    out, lock = tmp_path / "out", tmp_path / ".aside-out.lock"
    (tmp_path / ".aside-out").write_text("half of the first")
    with process_lock(lock), pytest.raises(UserError, match="out is being written by another"):
        write(kc.lenet5(), out, **given)
    assert (tmp_path / ".aside-out").read_text() == "half of the first"
    # As after a kill, with what was left.
    write(kc.lenet5(), out, **given)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def never(*_, **__):
    pytest.fail("Something was computed.")


@pytest.mark.parametrize("write", [export.export_model, export.saved_model, export.tflite])
def test_overwrite_does_not_change_what_a_path_is(write, given, tmp_path, monkeypatch):
    out = tmp_path / "out"
    if write is export.tflite:
        out.mkdir()
        (out / "mine").write_text("mine")
    else:
        out.write_text("mine")
    before = contents(tmp_path)
    monkeypatch.setattr(Source, "__init__", never)
    with pytest.raises(UserError, match="overwrite replaces a f.*Received: .*out, which is a f"):
        write(kc.lenet5(), out, overwrite=True, **given)
    assert contents(tmp_path) == before


def test_the_program_tells_of_a_file_first(run_program, tmp_path):
    out = tmp_path / "out"
    out.write_text("mine")
    # A network that does not exist: nothing is looked at after the path.
    done = run_program(*PROGRAM[:3], "--model=lenet6", "--overwrite", f"--out={out}")
    assert_one_line(done, 2, "overwrite replaces a folder")
    assert out.read_text() == "mine"
