"""Training on images with any number of labels, to a known answer; and what such a run leaves."""

import csv
import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_classics.data import ImageData
from keras_classics.errors import UserError
from keras_classics.export.exported import of_network
from keras_classics.models.losses import BinaryCrossEntropy
from keras_classics.training import Adam, Recipe, load_data, load_run, train
from keras_classics.training.optimizer import copies
from keras_classics.training.schedules import Constant
from keras_classics.training.step import _correct
from keras_classics.training.trainer import Trainer
from tests.helpers.cards import accuracies
from tests.helpers.programs import assert_one_line
from tests.helpers.replicas import mirrored
from tests.helpers.runs import history
from tests.helpers.several_labels import CLASSES, write_table

EVALUATE = ("-m", "keras_classics.cli", "evaluate")

RECIPE = Recipe(
    name="several",
    model="lenet5",
    dataset="",
    epochs=8,
    batch_size=20,
    optimizer=Adam(),
    schedule=Constant(0.002),
    model_arguments={"input_shape": (32, 32, 3)},
    loss="binary_cross_entropy",
    preprocessing_arguments={"channels": 3},
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    table = write_table(tmp_path_factory.mktemp("images"), 200, 60)
    return load_data(dataclasses.replace(RECIPE, dataset=f"multilabel:{table}"))


@pytest.fixture(scope="module")
def several(data, tmp_path_factory):
    """The directory of a finished run on images with several labels, and its result."""
    run_dir = tmp_path_factory.mktemp("several") / "run"
    return run_dir, train(dataclasses.replace(RECIPE, dataset=data.name), run_dir, data=data)


def test_generated_images_are_told_apart(several):
    run_dir, result = several
    metrics = result["metrics"]
    assert metrics["test_mean_average_precision"] > 0.98
    assert metrics["test_f1_micro"] > 0.95
    assert metrics["test_accuracy"] == metrics["test_exact_match"] > 0.85
    assert history(run_dir)[-1]["train_accuracy"] > 0.85
    assert min(result["by_class"]["average_precision"]) > 0.97
    assert result["class_names"] == sorted(CLASSES)
    assert sorted(path.name for path in (run_dir / "plots").iterdir()) == ["curves.png"]


def test_the_run_is_read_back(several, data):
    run_dir, result = several
    run = load_run(run_dir)
    probabilities = run.model(run.preprocessing(tf.constant(data.test.images))).numpy()
    assert run.model.layers[-1].activation is keras.activations.sigmoid
    right = ((probabilities > 0.5) == data.test.labels).all(axis=1)
    assert right.mean() == pytest.approx(result["metrics"]["test_accuracy"])
    losses = -np.where(data.test.labels, np.log(probabilities), np.log1p(-probabilities))
    assert losses.mean() == pytest.approx(result["metrics"]["test_loss"], rel=1e-4)


@pytest.mark.slow
def test_two_replicas_train_as_one_device(data):
    recipe = dataclasses.replace(RECIPE, dataset=data.name, limit_train=40, epochs=1)
    epochs = []
    for strategy in (tf.distribute.get_strategy(), mirrored(2)):
        run = Trainer(recipe, data, recipe.make_preprocessing(), strategy)
        blocks = run.blocks()
        while not run.at_end_of_epoch:
            run.train_block(blocks)
        kernel = copies(run.variables[0])[0].numpy()
        epochs.append((run.progress.loss_sum, run.progress.correct, kernel))
    for one, two in zip(*epochs, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-6)


def test_evaluate(several, run_program, tmp_path):
    run_dir, result = several
    card = accuracies((run_dir / "README.md").read_text())
    assert set(card.values()) == {
        result["metrics"]["test_mean_average_precision"],
        result["metrics"]["test_exact_match"],
    }
    out = tmp_path / "out"
    done = run_program(*EVALUATE, f"--model={run_dir}", f"--out={out}")
    assert done.returncode == 0, done.stderr
    metrics = result["metrics"]
    assert f"mAP             {100 * metrics['test_mean_average_precision']:6.2f}\n" in done.stdout
    assert f"exact match     {100 * metrics['test_accuracy']:6.2f}\n" in done.stdout
    assert "top-1" not in done.stdout
    stored = json.loads((out / "evaluation.json").read_text())
    assert stored["f1_macro"] == pytest.approx(metrics["test_f1_macro"])
    rows = list(csv.DictReader((out / "classes.csv").read_text().splitlines()))
    assert [row["class"] for row in rows] == sorted(CLASSES)
    mean = np.mean([float(row["average_precision"]) for row in rows])
    assert mean == pytest.approx(metrics["test_mean_average_precision"])
    assert not list(out.glob("*.png"))
    compared = run_program(*EVALUATE, f"--compare={out},{out}")
    assert_one_line(compared, 2, "--compare tests predictions of one label for each image")


def test_predict_answers_with_all_labels_above_one_half(several, data, run_program, tmp_path):
    run_dir, _ = several
    folder = Path(data.name.partition(":")[2]).parent
    images = sorted(folder.glob("*.png"))[:24]
    run = load_run(run_dir)
    network = of_network(run.model, run.preprocessing, run.class_names, upright=False)
    assert network.multilabel
    outputs = network.predict([path.read_bytes() for path in images])
    out = tmp_path / "answers.csv"
    command = ("-m", "keras_classics.cli", "predict", f"--model={run_dir}", f"--out={out}")
    done = run_program(*command, *map(str, images))
    assert done.returncode == 0, done.stderr
    found: dict[str, set[str]] = {}
    for row in csv.DictReader(out.read_text().splitlines()):
        found.setdefault(row["image"], set()).update(filter(None, [row["label"]]))
    expected = {
        str(path): {name for name, p in zip(run.class_names, row, strict=True) if p > 0.5}
        for path, row in zip(images, outputs, strict=True)
    }
    assert found == expected
    assert {len(names) for names in found.values()} == {0, 1, 2, 3}


def test_the_loss_is_keras_s_and_stable():
    scores = np.float32([[-200, 3, 0.5], [200, -1, 0]])
    labels = np.int32([[0, 1, 0], [1, 1, 0]])
    expected = np.logaddexp(0, np.where(labels, -scores, scores).astype("float64")).mean(axis=1)
    got = BinaryCrossEntropy().call(tf.constant(labels), tf.constant(scores))
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_an_image_is_right_if_all_its_labels_are():
    probabilities = tf.constant([[0.6, 0.4], [0.6, 0.6], [0.5, 0.2]])
    labels = tf.constant([[1, 0], [1, 0], [0, 0]])
    assert _correct(probabilities, labels).numpy().tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "cross_entropy"}, "any number of labels each, .* --set=loss=binary_cross_entr"),
        ({"class_weights": "balanced"}, "need one label for each image"),
        ({"sampling": "balanced"}, "need one label for each image"),
    ],
)
def test_what_does_not_go_together_is_refused(data, changes, message):
    with pytest.raises(UserError, match=message):
        start(dataclasses.replace(RECIPE, **changes), data)


def test_images_of_one_label_are_refused(few_digits):
    with pytest.raises(UserError, match="digits have one label each, .* --set=loss=cross_entropy"):
        start(RECIPE, few_digits)


def start(recipe: Recipe, data: ImageData) -> None:
    Trainer(recipe, data, recipe.make_preprocessing(), tf.distribute.get_strategy())
