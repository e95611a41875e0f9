"""What a finished run leaves in its directory."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_classics import files
from keras_classics.analysis import plots
from keras_classics.training import load_run, train
from keras_classics.training.card import write_run_card
from keras_classics.training.result import outcome_digest
from keras_classics.training.run_directory import HISTORY_COLUMNS, RunDirectory
from tests.helpers.cards import accuracies, head
from tests.helpers.runs import MODERN, RESULT, history


def test_a_run_directory_holds_what_the_contract_says(finished):
    run_dir, result = finished
    names = {str(path.relative_to(run_dir)) for path in run_dir.rglob("*") if path.is_file()}
    assert {
        "recipe.json",
        "environment.json",
        "history.csv",
        "final.weights.h5",
        "model.keras",
        "README.md",
        "result.json",
        "plots/curves.png",
        "plots/confusion.png",
        "plots/mistakes.png",
    } <= names
    assert len([name for name in names if name.startswith("checkpoints/")]) == 2
    assert any(name.startswith("events/events.out.tfevents") for name in names)
    assert not any(".aside-" in name for name in names)
    assert json.loads((run_dir / "result.json").read_text()) == result


def test_result(finished):
    run_dir, result = finished
    assert result["images"] == 40
    assert result["train_images"] == 96
    assert result["steps"] == 3 * 8
    assert result["parameters"] == 61_706
    assert result["paper"]["value"] == 0.0095
    assert result["metrics"]["test_error"] == 1 - result["metrics"]["test_accuracy"]
    environment = result["environment"]
    assert environment == json.loads((run_dir / "environment.json").read_text())
    assert environment["versions"]["keras"] == keras.__version__
    assert (environment["strategy"], environment["replicas"]) == ("one_device", 1)
    assert environment["threads"].keys() == {"intra_op", "inter_op"}
    assert environment["command"].startswith("python ")
    assert result["protocol"] == "single view, whole test split, after the last epoch"


def test_the_hash_of_the_outcome_is_that_of_metrics_and_weights(finished):
    run_dir, result = finished
    model = load_run(run_dir).model
    assert result["outcome_sha256"] == outcome_digest(result["metrics"], model)
    first = model.get_layer("c1").bias
    first.assign(np.nextafter(first.numpy(), np.float32(1)))
    assert outcome_digest(result["metrics"], model) != result["outcome_sha256"]
    other = {**result["metrics"], "test_loss": 0.5}
    assert outcome_digest(other, load_run(run_dir).model) != result["outcome_sha256"]
    # Rows of results hold hashes of before there were more metrics than these.
    names = ("test_accuracy", "test_error", "test_loss", "train_accuracy", "train_loss")
    five = {name: result["metrics"][name] for name in names}
    assert outcome_digest(five, load_run(run_dir).model) == result["outcome_sha256"]


def test_metrics_of_the_classes(finished):
    _, result = finished
    by_class, metrics = result["by_class"], result["metrics"]
    assert {len(values) for values in by_class.values()} == {10}
    assert sum(by_class["images"]) == 40
    right = np.dot(by_class["images"], by_class["recall"])
    assert right == pytest.approx(40 * metrics["test_accuracy"])
    assert metrics["test_balanced_accuracy"] == pytest.approx(np.mean(by_class["recall"]))
    assert metrics["test_recall_weighted"] == pytest.approx(metrics["test_accuracy"])
    assert metrics["test_f1_macro"] == pytest.approx(np.mean(by_class["f1"]))
    assert "test_roc_auc" not in metrics


def test_history(finished):
    run_dir, result = finished
    rows = history(run_dir)
    assert list(rows[0]) == list(HISTORY_COLUMNS)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [row["step"] for row in rows] == [8, 16, 24]
    assert rows[-1]["test_accuracy"] == result["metrics"]["test_accuracy"]
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]


def test_saved_model_is_the_trained_one(finished, digits):
    run_dir, result = finished
    model = keras.models.load_model(run_dir / "model.keras")
    test = digits.limited(96, 40).test
    images = MODERN.make_preprocessing()(tf.constant(test.images))
    accuracy = np.mean(model(images).numpy().argmax(axis=1) == test.labels)
    assert accuracy == pytest.approx(result["metrics"]["test_accuracy"])


def test_a_finished_run_is_not_done_again(finished):
    run_dir, result = finished
    before = {p: p.stat().st_mtime_ns for p in run_dir.rglob("*.h5")}
    assert train(MODERN, run_dir) == result
    assert before == {p: p.stat().st_mtime_ns for p in run_dir.rglob("*.h5")}


SHORT = dataclasses.replace(MODERN, epochs=1, limit_train=24, limit_test=10)


@pytest.mark.plots
def test_names_of_classes_are_no_code(tmp_path, few_digits):
    names = ("$5_$", "\udcff", "a\nb", "$", "\\frac", *"56789")
    result = train(SHORT, tmp_path, data=dataclasses.replace(few_digits, class_names=names))
    assert load_run(tmp_path).class_names == names
    assert result["class_names"] == list(names)
    assert len(list((tmp_path / "plots").iterdir())) == 3


@pytest.mark.plots
def test_no_plot_stops_a_result(tmp_path, few_digits, monkeypatch, caplog):
    def fail(*arguments):
        # The result is there already.
        assert (tmp_path / "result.json").exists()
        raise MemoryError("too large")

    monkeypatch.setattr(plots, "confusion", fail)
    result = train(SHORT, tmp_path, data=few_digits)
    messages = [r.getMessage() for r in caplog.records if r.name.startswith("keras_classics")]
    assert messages == [f"{tmp_path}/plots/confusion.png cannot be drawn: too large"]
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        "curves.png",
        "mistakes.png",
    ]
    assert train(SHORT, tmp_path, data=few_digits) == result


def test_the_card_of_a_run_says_what_its_result_says(finished):
    run_dir, result = finished
    card = (run_dir / "README.md").read_text()
    assert accuracies(card) == {("digits", "accuracy"): result["metrics"]["test_accuracy"]}
    said = head(card)
    assert said["datasets"] == ["digits"]
    assert said["library_name"] == "keras"
    assert "license" not in said
    for name in ("recipe", "epochs", "steps", "seed", "train_images", "parameters"):
        assert f"`{result[name]}`" in card
    assert "- background: `-0.1`" in card
    assert '["0", "1", "2", "3"' in card
    assert "started from" not in card


def test_the_card_of_a_fine_tuning_says_where_it_started(tmp_path):
    first = dataclasses.replace(MODERN, model_arguments={"weights": "fashion_mnist"})
    run = RunDirectory(tmp_path / "head")
    run.path.mkdir()
    files.write_json(run.path / "recipe.json", first.to_json())
    second = dataclasses.replace(MODERN, initial_weights=str(run.weights))
    for recipe, expected in [
        (first, "`lenet5/fashion_mnist`"),
        (second, "`head/final.weights.h5, which started from lenet5/fashion_mnist`"),
        (dataclasses.replace(second, initial_weights="gone/a.weights.h5"), "`gone/a.weights.h5`"),
    ]:
        write_run_card(run, recipe, recipe.make_preprocessing(), RESULT)
        assert f"- started from: {expected}\n" in run.card.read_text()
        assert str(tmp_path) not in run.card.read_text()
