"""Whole runs on image files: what they see, how they resume, and errors about bad files."""

import dataclasses
import json
import os
import shutil
import signal
import tarfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_classics.data import load
from keras_classics.data.crops_on_decode import decode_crop
from keras_classics.data.image_files import decode
from keras_classics.data.random_crops import ScaleJitter
from keras_classics.errors import StoppedError, UserError
from keras_classics.models import get_model
from keras_classics.training import Recipe, RunOptions, load_data, load_run, train
from keras_classics.training.optimizer import Momentum
from keras_classics.training.schedules import Constant
from tests.helpers.runs import assert_same_bits, history

CROP = ScaleJitter(32, 48, size=32)
SIZES = {"resize": 40, "crop": 32, "std": (50, 50, 50)}


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory):
    """A folder of 3 classes with 8 training and 3 test images each."""
    from reproduce.harness.synthetic_images import generate

    return generate(tmp_path_factory.mktemp("images") / "set", 3, 8, 3, size=(60, 45))


def recipe(folder, **changes) -> Recipe:
    values = {
        "name": "images",
        "model": "resnet20",
        "dataset": f"folder:{folder}",
        "batch_size": 6,
        "optimizer": Momentum(momentum=0.9),
        "schedule": Constant(0.01),
        "epochs": 2,
        "preprocessing": "image",
        "preprocessing_arguments": {**SIZES, "mean": "per_pixel"},
        "augmentation": CROP,
        **changes,
    }
    return Recipe(**values)


def quick(folder, **changes) -> Recipe:
    """A run over the same images that takes little time, of a network without batch statistics."""
    changes = {"model_arguments": {"input_shape": (32, 32, 3)}, "epochs": 1, **changes}
    return recipe(folder, model="lenet5", **changes)


@pytest.fixture(scope="module")
def finished(image_folder, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "run"
    return run_dir, train(recipe(image_folder), run_dir)


def fitted_mean(paths) -> np.ndarray:
    layer = recipe("").make_preprocessing()
    images = [layer.resize(decode(tf.constant(p.read_bytes()))[np.newaxis])[0] for p in paths]
    return np.mean(np.array(images, "float64"), axis=0)


def test_result(finished):
    run_dir, result = finished
    assert json.loads((run_dir / "result.json").read_text()) == result
    expected = {
        "train_images": 24,
        "images": 9,
        "epochs": 2,
        "steps": 8,
        "class_names": ["n00", "n01", "n02"],
        "bad_images": 0,
        "parameters": 269_722 - 7 * 65,
    }
    assert {name: result[name] for name in expected} == expected
    assert result["preprocessing"]["mean"] == "per_pixel"
    assert np.isfinite(list(result["metrics"].values())).all()
    assert [row["step"] for row in history(run_dir)] == [4, 8]
    assert not (run_dir / "bad_images.json").exists()
    assert (run_dir / "plots" / "mistakes.png").exists()


def test_the_mean_is_that_of_the_training_images(finished, image_folder):
    run_dir, _ = finished
    mean = np.load(run_dir / "mean.npy")
    assert mean.dtype == np.float32
    expected = fitted_mean(sorted((image_folder / "train").rglob("*.jpg")))
    np.testing.assert_allclose(mean, expected, rtol=1e-6)


def test_the_saved_model_is_evaluated_on_the_middle_of_the_images(finished, image_folder):
    run_dir, result = finished
    model = keras.models.load_model(run_dir / "model.keras")
    layer = load_run(run_dir).preprocessing
    paths = sorted((image_folder / "validation").rglob("*.jpg"))
    images = [layer(decode(tf.constant(path.read_bytes()))[np.newaxis])[0] for path in paths]
    probabilities = model(np.array(images)).numpy()
    labels = np.repeat(np.arange(3), 3)
    metrics = result["metrics"]
    assert metrics["test_accuracy"] == pytest.approx(np.mean(probabilities.argmax(1) == labels))
    loss = -np.log(probabilities[np.arange(9), labels]).mean()
    assert metrics["test_loss"] == pytest.approx(loss, rel=1e-3)


def test_the_first_loss_is_that_of_the_views_cut_by_hand(image_folder, tmp_path):
    # All images in one step, rate 0.
    run = quick(image_folder, batch_size=24, schedule=Constant(0.0), seed=5)
    train(run, tmp_path)
    split = load(run.dataset, encoded=True).train
    order = tf.random.experimental.index_shuffle(np.arange(24), [5, 0], 23).numpy()
    table = tf.random.stateless_uniform((24, CROP.num_random + 3), [5, 0])
    mean = fitted_mean(sorted((image_folder / "train").rglob("*.jpg")))
    views = [
        decode_crop(CROP, split.read(position)[1], random).numpy()
        + CROP.colour(random[CROP.num_random :], 0).numpy()
        for position, random in zip(order, table, strict=True)
    ]
    keras.utils.set_random_seed(5)
    model = get_model("lenet5", classes=3, input_shape=(32, 32, 3))
    probabilities = model(((np.array(views) - mean) / 50).astype("float32")).numpy()
    loss = -np.log(probabilities[np.arange(24), split.labels[order]]).mean()
    assert history(tmp_path)[0]["train_loss"] == pytest.approx(loss, rel=1e-5)


def stopped_after(blocks: int):
    """A watch that raises SIGTERM after so many steps."""
    seen = []

    def watch(progress, plan):
        seen.append(progress)
        if len(seen) == blocks:
            os.kill(os.getpid(), signal.SIGTERM)

    return watch


@pytest.mark.slow  # With the network of the other; a small one does it below.
def test_a_stopped_run_goes_on_to_the_same_bits(finished, image_folder, tmp_path):
    whole, result = finished
    with pytest.raises(StoppedError, match="step 6 is saved"):
        train(
            recipe(image_folder),
            tmp_path,
            on_progress=stopped_after(6),
            options=RunOptions(checkpoint_steps=1),
        )
    taken = (tmp_path / "mean.npy").stat().st_mtime_ns
    again = train(recipe(image_folder), tmp_path)
    assert (tmp_path / "mean.npy").stat().st_mtime_ns == taken
    assert_same_bits(whole, tmp_path)
    assert again["metrics"] == result["metrics"]
    measured = ("images_per_second", "seconds")
    for one, two in zip(history(whole), history(tmp_path), strict=True):
        assert {k: v for k, v in one.items() if k not in measured} == {
            k: v for k, v in two.items() if k not in measured
        }


@pytest.mark.slow
def test_a_run_of_steps_ends_and_goes_on_in_the_midst_of_an_epoch(image_folder, tmp_path):
    run = quick(image_folder, epochs=None, steps=6)
    result = train(run, tmp_path / "whole")
    assert result["steps"] == 6
    assert result["epochs"] == 2
    assert [row["step"] for row in history(tmp_path / "whole")] == [4, 6]
    # Looking for bad images changes nothing if there are none.
    options = RunOptions(checkpoint_steps=1)
    with pytest.raises(StoppedError, match="step 5 is saved"):
        train(
            run, tmp_path / "cut", max_bad_images=1, on_progress=stopped_after(5), options=options
        )
    again = train(run, tmp_path / "cut", max_bad_images=1)
    assert_same_bits(tmp_path / "whole", tmp_path / "cut")
    assert again["bad_images"] == 0
    assert json.loads((tmp_path / "cut" / "bad_images.json").read_text()) == []


def damaged(image_folder, tmp_path, *names, keep=300):
    """A copy of the set in which some files end early."""
    folder = shutil.copytree(image_folder, tmp_path / "set")
    paths = [folder / name for name in names]
    for path in paths:
        path.write_bytes(path.read_bytes()[:keep])
    return folder, paths


TRAIN = ("train/n01/n01_00003.jpg", "train/n02/n02_00000.jpg")
VALIDATION = "validation/n02/n02_00001.jpg"


# Noticed when the mean is taken, or in a step.
@pytest.mark.parametrize("changes", [{}, {"preprocessing_arguments": SIZES, "batch_size": 24}])
def test_a_bad_image_to_train_on_is_named(image_folder, tmp_path, changes):
    folder, (path,) = damaged(image_folder, tmp_path, TRAIN[0])
    with pytest.raises(UserError) as raised:
        train(quick(folder, **changes), tmp_path / "run")
    assert str(raised.value).startswith(f"{path} cannot be used: JPEG, cut short. Repair or remove")
    assert "--max_bad_images" in str(raised.value)


def test_a_bad_image_to_evaluate_on_is_named(image_folder, tmp_path):
    folder, (path,) = damaged(image_folder, tmp_path, VALIDATION)
    with pytest.raises(UserError) as raised:
        train(quick(folder), tmp_path / "run")
    assert str(raised.value).startswith(f"{path} cannot be used: JPEG, cut short.")


def test_a_missing_image_is_named(image_folder, tmp_path):
    folder, (path,) = damaged(image_folder, tmp_path, TRAIN[0])
    run = quick(folder, preprocessing_arguments=SIZES)
    data = load_data(run)
    path.unlink()
    with pytest.raises(UserError) as raised:
        train(run, tmp_path / "run", data=data)
    reason = "cannot be read (No such file or directory)"
    assert str(raised.value).startswith(f"{path} cannot be used: {reason}.")


def test_bad_images_are_left_out(image_folder, tmp_path):
    # Cut so late that some parts of it could be read.
    folder, paths = damaged(image_folder, tmp_path, TRAIN[0], VALIDATION, keep=-20)
    result = train(quick(folder), tmp_path / "run", max_bad_images=2)
    assert result["bad_images"] == 2
    assert result["train_images"] == 23
    assert result["images"] == 8
    listed = json.loads((tmp_path / "run" / "bad_images.json").read_text())
    assert listed == [{"path": str(path), "fault": "JPEG, cut short"} for path in paths]
    left = sorted(set((folder / "train").rglob("*.jpg")) - set(paths))
    mean = np.load(tmp_path / "run" / "mean.npy")
    np.testing.assert_allclose(mean, fitted_mean(left), rtol=1e-6)


@pytest.mark.slow
def test_bad_images_of_an_archive_are_left_out(image_folder, tmp_path):
    folder, _ = damaged(image_folder, tmp_path, TRAIN[0], VALIDATION)
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(folder, "set")
    result = train(quick(path), tmp_path / "run", max_bad_images=2)
    assert (result["bad_images"], result["train_images"], result["images"]) == (2, 23, 8)
    listed = json.loads((tmp_path / "run" / "bad_images.json").read_text())
    assert listed == [
        {"path": f"{path}/set/{name}", "fault": "JPEG, cut short"}
        for name in (TRAIN[0], VALIDATION)
    ]
    with pytest.raises(UserError, match=f"{path}/set/{TRAIN[0]} cannot be used: JPEG, cut short"):
        train(quick(path), tmp_path / "other")


def test_too_many_bad_images(image_folder, tmp_path):
    folder, paths = damaged(image_folder, tmp_path, *TRAIN, VALIDATION)
    with pytest.raises(UserError) as raised:
        train(quick(folder), tmp_path / "run", max_bad_images=2)
    assert str(raised.value) == (
        f"3 images cannot be read, the first {paths[0]}: JPEG, cut short. Received: "
        f"max_bad_images=2. All are listed in {tmp_path / 'run' / 'bad_images.json'}."
    )
    listed = json.loads((tmp_path / "run" / "bad_images.json").read_text())
    assert [row["path"] for row in listed] == [str(path) for path in paths]
    assert not (tmp_path / "run" / "recipe.json").exists()
    # Nothing of it is left for the run that comes when they are mended.
    shutil.rmtree(folder)
    shutil.copytree(image_folder, folder)
    assert train(quick(folder), tmp_path / "run", max_bad_images=2)["bad_images"] == 0


def test_a_run_that_did_not_begin_leaves_no_mean_to_the_next(image_folder, tmp_path):
    with pytest.raises(UserError, match="batch_size"):
        train(quick(image_folder, batch_size=25), tmp_path)
    assert (tmp_path / "mean.npy").exists()
    other = quick(
        image_folder, preprocessing_arguments={"resize": 32, "crop": 32, "mean": "per_channel"}
    )
    train(other, tmp_path)
    assert np.load(tmp_path / "mean.npy").shape == (3,)


def test_only_image_files_are_looked_at(few_digits, tmp_path):
    run = dataclasses.replace(quick("x"), dataset="digits", augmentation=None)
    with pytest.raises(UserError, match="needs the image files of folder:PATH.* digits"):
        train(run, tmp_path, data=few_digits, max_bad_images=1)
