"""The page of a diagnosis, its charts, and the cases of this package's own runs."""

import dataclasses
import json
import math
import re

import keras
import numpy as np
import pytest

from keras_classics.diagnosis import diagnose
from keras_classics.diagnosis.charts import Axis, Series, bars, line_chart, number
from keras_classics.diagnosis.findings import Diagnosis, Finding
from keras_classics.diagnosis.page import write_diagnosis
from keras_classics.diagnosis.runs import case_of_recipe, case_of_run
from keras_classics.diagnosis.steps import StepResult
from keras_classics.diagnosis.trial import Trial
from keras_classics.errors import UserError
from keras_classics.training import recipes, train


@pytest.fixture(scope="module")
def found() -> Diagnosis:
    """A diagnosis with a finding whose texts are not safe for HTML."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 3))
    outputs = keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, outputs)
    x = np.random.default_rng(0).uniform(size=(48, 6, 6, 3)).astype("float32")
    model.compile("sgd", "sparse_categorical_crossentropy")
    history = [{"loss": 1.1, "val_loss": 1.2}, {"loss": math.nan, "val_loss": 1.3}]
    diagnosis = diagnose(model, (x, np.arange(48) % 3), history=history)
    finding = Finding("made_up", "<script>", "a & b", "none", values={"loss": math.inf})
    return dataclasses.replace(diagnosis, findings=(*diagnosis.findings, finding))


def test_the_page_holds_all_and_loads_nothing(found, tmp_path):
    before = [StepResult(1.0, 0.3), StepResult(math.nan, 0.3)]
    trial = Trial(found.findings[-1], before, [StepResult(1.0, 0.3), StepResult(0.1, 1.0)])
    write_diagnosis(tmp_path / "out", found, [trial])
    page = (tmp_path / "out/index.html").read_text()
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert not re.search(r"(src|href)=\"(?!data:image/png)", page)
    for heading in ("What the network sees", "What reaches each layer", "The mend, tried"):
        assert heading in page
    assert "no finite loss after 2 steps without the mend" in page
    content = json.loads((tmp_path / "out/diagnosis.json").read_text())
    assert content["findings"][-1]["values"] == {"loss": "inf"}
    assert content["trials"][0]["before_loss"] == [1.0, "nan"]


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0, "0"), (1e-4, "0.0001"), (3.2e-6, "3.2e-6"), (12345.6, "12,346"), (math.nan, "nan")],
)
def test_numbers(value, said):
    assert number(value) == said


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 1e-3), (5, 5), (1e-9, 2e-9), (0, 1e6)])
def test_ticks_lie_on_the_axis(low, high):
    axis = Axis.over([low, high, math.nan])
    assert 1 <= len(axis.ticks()) <= 7
    assert all(-1e-6 <= axis.fraction(tick) <= 1 + 1e-6 for tick in axis.ticks())


def test_charts_leave_gaps():
    lines = [Series("a", [1, 2, 3, 4], [1.0, math.nan, 2.0, math.inf])]
    assert "".join(line_chart(lines, "x", "y")).count("<polyline") == 2
    assert "".join(line_chart([Series("a", [], [])], "x", "y", marks={"m": 1.0})).count("<svg") == 1
    drawn = "".join(bars("sizes", {"a": 0.0, "b": 1e-9, "c": 1.0, "d": math.nan}, log=True))
    assert drawn.count("width:0.0%") == 2


@pytest.fixture(scope="module")
def recipe():
    short = {"dataset": "digits", "epochs": 2, "limit_train": 96, "limit_test": 40}
    return dataclasses.replace(recipes.LENET5["modern"], **short)


@pytest.mark.slow
def test_a_run_that_goes_on_is_only_read(recipe, few_digits, tmp_path):
    seen = []

    def look(progress, plan):
        if progress.epoch and not seen:
            files = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
            seen.append(case_of_run(run))
            after = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
            assert after == files

    run = tmp_path / "run"
    result = train(recipe, run, data=few_digits, on_progress=look)
    alone = train(recipe, tmp_path / "alone", data=few_digits)
    assert result["outcome_sha256"] == alone["outcome_sha256"]
    assert not seen[0].history  # The first epoch's checkpoint follows.
    finished = case_of_run(run)
    assert len(finished.history) == 2
    start = case_of_recipe(recipe, few_digits)
    np.testing.assert_array_equal(start.inputs(), finished.inputs())
    weights = [case.model.get_weights()[0] for case in (start, seen[0], finished)]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert (weights[0] != weights[2]).any()


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(UserError, match="holds no run: there is no"):
        case_of_run(tmp_path)
