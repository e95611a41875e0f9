"""`keras-classics evaluate`: by all protocols, as an ensemble, in comparison, and with mistakes."""

import csv
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from keras_classics.data import load_test
from keras_classics.data.random_crops import ScaleJitter
from keras_classics.evaluation import Dense, Evaluator, Views, average
from keras_classics.evaluation.predictions import Predictions, digest
from keras_classics.training import Momentum, Recipe, load_run, train
from keras_classics.training.run_directory import STAGES
from keras_classics.training.schedules import Constant
from tests.helpers.folders import folder_of_images
from tests.helpers.images import photograph
from tests.helpers.programs import assert_one_line
from tests.helpers.workers import worker_configs

EVALUATE = ("-m", "keras_classics.cli", "evaluate")
DIGITS = (*EVALUATE, "--model=lenet5", "--weights=digits", "--dataset=digits")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Parts of a photograph in two classes, in several sizes, as JPEG files."""
    root = tmp_path_factory.mktemp("images")
    for part, name, row in (("train", "roof", 60), ("train", "sky", 0)):
        for i in range(4):
            height, width = 48 + 4 * i, 64 - 4 * i
            image = photograph()[row : row + height, 40 * i : 40 * i + width]
            for folder in (root / part / name, root / "validation" / name):
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{i}.jpg").write_bytes(tf.io.encode_jpeg(image).numpy())
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory, images):
    """A finished run of a narrow VGG on them, which subtracts a mean image."""
    folder = tmp_path_factory.mktemp("run")
    recipe = Recipe(
        name="narrow",
        model="vgg11",
        dataset=f"folder:{images}",
        batch_size=4,
        steps=2,
        optimizer=Momentum(momentum=0.9),
        schedule=Constant(0.001),
        model_arguments={
            "filters": (4, 4, 8, 8, 8),
            "hidden": (16, 16),
            "input_shape": (32, 32, 3),
        },
        preprocessing="image",
        preprocessing_arguments={"resize": 36, "crop": 32, "mean": "per_pixel"},
        augmentation=ScaleJitter(36, 40, size=32, colour=None),
    )
    train(recipe, folder)
    return folder


def test_errors_classes_and_files(run_program, tmp_path):
    out = tmp_path / "out"
    done = run_program(*DIGITS, f"--out={out}")
    assert done.returncode == 0, done.stderr
    assert "lenet5 on 360 images of digits: single" in done.stdout
    result = json.loads((out / "evaluation.json").read_text())
    saved = Predictions.load(out / "predictions.npz")
    error = (saved.probabilities.argmax(axis=1) != saved.labels).mean()
    assert result["top1_error"] == pytest.approx(error)
    assert result["top1_low"] < error < result["top1_high"]
    assert f"top-1 error, %  {100 * error:6.2f}   (95 %: " in done.stdout
    assert (result["protocol"], result["members"], result["images"]) == ("single", 1, 360)
    command = "keras-classics evaluate --dataset=digits --model=lenet5"
    assert result["environment"]["command"] == f"{command} --out={out} --weights=digits"
    assert result["environment"]["strategy"] == "one_device"
    rows = list(csv.DictReader((out / "classes.csv").read_text().splitlines()))
    assert sum(int(row["images"]) for row in rows) == 360
    for name in ("precision", "recall", "f1"):
        mean = np.mean([float(row[name]) for row in rows])
        assert result[f"{name}_macro"] == pytest.approx(mean)
        assert result[f"{name}_weighted"] == pytest.approx(mean, abs=0.02)
    assert f"bal. accuracy   {100 * result['balanced_accuracy']:6.2f}\n" in done.stdout
    assert f"F1, macro       {100 * result['f1_macro']:6.2f}\n" in done.stdout
    assert (out / "confusion.png").exists()
    assert (out / "mistakes.png").exists()
    both = tmp_path / "both"
    limited = run_program(*DIGITS, "--limit_test=20")
    assert "lenet5 on 20 of 360 images of digits: single" in limited.stdout
    done = run_program(
        *DIGITS, "--model=lenet5", "--flip", "--ensemble_weights=3,1", f"--out={both}"
    )
    assert done.returncode == 0, done.stderr
    assert "lenet5 + lenet5 on 360 images of digits: single, flip" in done.stdout
    done = run_program(*EVALUATE, f"--compare={out},{both}")
    assert done.returncode == 0, done.stderr
    assert f"A  {100 * error:6.2f} %  lenet5: single  ({out})" in done.stdout
    assert "McNemar's exact test: p = " in done.stdout


@pytest.mark.slow
def test_images_by_two_protocols(run_program, run, tmp_path):
    """A run by its folder; its answers are those of the library."""
    out = tmp_path / "out"
    flags = ("--protocol=dense,multi_crop", "--scales=36,44", "--ensemble_weights=1,3")
    done = run_program(*EVALUATE, f"--model={run}", *flags, f"--out={out}")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    read = load_run(run)
    split, _ = load_test(read.result["dataset"], encoded=True)
    members = []
    for shown in (
        Dense(read.preprocessing, scales=[36, 44]),
        Views("multi_crop", read.preprocessing, scales=[36, 44]),
    ):
        network = shown.network(read.model)
        members.append(Evaluator(network, read.loss, split, shown, batch_size=1)())
    saved = Predictions.load(out / "predictions.npz")
    expected = average(members, [1, 3])
    np.testing.assert_allclose(saved.probabilities, expected.probabilities, atol=1e-6)
    assert saved.labels.tolist() == split.labels.tolist()
    assert saved.images == digest(split)
    assert saved.protocol == (
        "dense, flip, scales 36 44, bilinear antialiased + "
        "multi_crop, scales 36 44, crop 32, bilinear antialiased"
    )
    # Two classes have no best five.
    assert "top5_error" not in json.loads((out / "evaluation.json").read_text())


def test_predict_says_of_an_image_what_evaluate_does(run_program, run, images, tmp_path):
    """A fine-tuning by the folder of both its stages."""
    read = load_run(run)
    split, class_names = load_test(read.result["dataset"], encoded=True)
    view = Views("single", read.preprocessing)
    expected = Evaluator(view.network(read.model), read.loss, split, view)().probabilities
    tuned = tmp_path / "tuned"
    for stage in STAGES:
        shutil.copytree(run, tuned / stage)
    files = [str(images / "validation" / "roof" / f"{i}.jpg") for i in range(4)]
    done = run_program("-m", "keras_classics.cli", "predict", f"--model_path={tuned}", *files)
    assert done.returncode == 0, done.stderr
    lines = iter(done.stdout.splitlines())
    for file, probabilities in zip(files, expected, strict=False):
        assert next(lines) == file
        shown = dict(next(lines).split()[:2] for _ in class_names)
        percent = [f"{100 * p:.2f}" for p in probabilities]
        assert shown == dict(zip(class_names, percent, strict=True))


def test_a_finished_run_is_read_back(run):
    read = load_run(run)
    assert read.class_names == ("roof", "sky")
    assert read.model.name == "vgg11"
    np.testing.assert_array_equal(
        np.array(read.preprocessing.mean, "float32"), np.load(run / "mean.npy")
    )


def test_a_test_split_alone_will_do(run_program, run, images, tmp_path):
    (tmp_path / "validation").symlink_to(images / "validation")
    done = run_program(*EVALUATE, f"--model={run}", f"--dataset=folder:{tmp_path}")
    assert done.returncode == 0, done.stderr
    assert "vgg11 on 8 images" in done.stdout


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--protocol=tenn",), "Unknown protocol 'tenn'. Did you mean ten"),
        (("--protocol=multi_crop", "--scales=36,20"), "Scales must be at least 32, the side of"),
        (("--ensemble_weights=inf",), "--ensemble_weights takes numbers"),
        (("--scales=big",), "--scales takes numbers, such as 256,384. Received: big"),
        (
            ("--model=lenet5", "--weights=digits"),
            "Name the data set with --dataset: the models",
        ),
        (("--dataset=digits",), "digits has 10 classes. Received: vgg11 with 2"),
        (("--model=runs/none",), "runs/none holds no finished run: there is no"),
        (("--out=/dev/null/out",), "/dev/null/out cannot be written"),
    ],
)
def test_says_what_is_wrong(run_program, run, flags, message):
    assert_one_line(run_program(*EVALUATE, f"--model={run}", *flags), 2, message)


def test_says_what_is_wrong_with_images(run_program, run, tmp_path):
    command = (*EVALUATE, f"--model={run}", f"--dataset=folder:{folder_of_images(tmp_path)}")
    for part in ("train", "validation"):
        for name, of_network in (("cat", "roof"), ("dog", "sky")):
            (tmp_path / part / name).rename(tmp_path / part / of_network)
    (tmp_path / "validation" / "bird").mkdir()
    assert_one_line(run_program(*command), 2, "validation has others: bird")
    (tmp_path / "validation" / "bird").rmdir()
    cut = tmp_path / "validation" / "roof" / "0.png"
    cut.write_bytes(cut.read_bytes()[:40])
    assert_one_line(run_program(*command), 2, "0.png cannot be used: PNG, cut short")


def test_says_what_is_wrong_in_a_comparison(run_program, tmp_path):
    def save(name: str, images: str) -> str:
        Predictions(
            np.float32([[0.5, 0.5]]), np.int32([0]), "digits", images, ("0", "1"), "single", "net"
        ).save(tmp_path / name / "predictions.npz")
        return str(tmp_path / name)

    a, b = save("a", "1234"), save("b", "5678")
    compared = run_program(*EVALUATE, f"--compare={a},{b}")
    assert_one_line(compared, 2, "predictions of other images")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "result.json").write_text("{}")
    for folder, network in {"run": str(tmp_path / "run"), "nowhere": "NETWORK"}.items():
        compared = run_program(*EVALUATE, f"--compare={a},{tmp_path / folder}")
        assert_one_line(compared, 2, "takes folders that --out wrote")
        assert f"keras-classics evaluate --model={network} --out=FOLDER" in compared.stderr
    assert_one_line(run_program(*EVALUATE, "--dataset=digits"), 2, "Name at least one --model")


def test_some_classes_of_a_network(run_program, tmp_path):
    """Digits 3 and 8 alone: the answers are restricted to them, and it is said."""
    data = load_test("digits")[0]
    for label in (8, 3):
        (tmp_path / "validation" / str(label)).mkdir(parents=True)
        for i in np.flatnonzero(data.labels == label):
            png = tf.io.encode_png(data.images[i]).numpy()
            (tmp_path / "validation" / str(label) / f"{i}.png").write_bytes(png)
    done = run_program(*DIGITS[:-1], f"--dataset=folder:{tmp_path}", f"--out={tmp_path / 'out'}")
    assert done.returncode == 0, done.stderr
    assert f"lenet5 answers with the 2 classes of folder:{tmp_path} alone, of its 10" in done.stderr
    assert "answers         2 of 10 classes, those of the data set" in done.stdout
    result = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert result["answers"] == "2 of 10"
    assert result["top1_error"] < 0.05
    saved = Predictions.load(tmp_path / "out" / "predictions.npz")
    assert saved.class_names == ("3", "8")
    np.testing.assert_allclose(saved.probabilities.sum(axis=1), 1, atol=1e-5)
    (tmp_path / "order.txt").write_text("8\n3\n")
    again = run_program(
        *DIGITS[:-1],
        f"--dataset=folder:{tmp_path}",
        f"--classes={tmp_path / 'order.txt'}",
        "--json",
    )
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["top1_error"] == result["top1_error"]


@pytest.mark.slow
def test_two_workers_report_once(programs, tmp_path):
    # 101 images: the last step has fewer than its batch on one worker, and none on the other.
    limited = (*DIGITS, "--limit_test=101", "--batch_size=32")
    done = programs.run(*limited, f"--out={tmp_path / 'one'}")
    assert done.returncode == 0, done.stderr
    command = (*limited, "--strategy=multi_worker", f"--out={tmp_path / 'two'}")
    configs = [{"TF_CONFIG": config} for config in worker_configs(2)]
    first, second = programs.run_together(command, configs)
    assert [first.returncode, second.returncode] == [0, 0]
    assert "lenet5 on 101 of 360 images of digits" in first.stdout
    assert second.stdout == ""
    one, two = (Predictions.load(tmp_path / name / "predictions.npz") for name in ("one", "two"))
    np.testing.assert_array_equal(two.labels, one.labels)
    np.testing.assert_allclose(two.probabilities, one.probabilities, atol=1e-6)
    result = json.loads((tmp_path / "two" / "evaluation.json").read_text())
    assert (result["environment"]["workers"], result["environment"]["replicas"]) == (2, 2)
