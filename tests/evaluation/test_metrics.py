"""Metrics against scikit-learn's, to 1e-12."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn import metrics as sklearn_metrics

from keras_classics.evaluation import Evaluation
from keras_classics.evaluation.metrics import ClassMetrics, roc_auc


@st.composite
def evaluations(draw, most_classes: int = 6) -> Evaluation:
    """Few images, so that classes without images or predictions are frequent; many ties."""
    count, classes = draw(st.integers(1, 20)), draw(st.integers(2, most_classes))
    labels = draw(arrays.arrays("int32", count, elements=st.integers(0, classes - 1)))
    tenths = draw(arrays.arrays("int32", (count, classes), elements=st.integers(0, 10)))
    return Evaluation((tenths / 10).astype("float32"), np.zeros(count, "float32"), labels)


@settings(max_examples=100, deadline=None)
@given(evaluations())
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_metrics_are_scikit_learn_s(evaluation):
    labels, predictions = evaluation.labels, evaluation.predictions
    classes = ClassMetrics.of_confusion(evaluation.confusion)
    got = evaluation.metrics
    names = ("precision", "recall", "f1")
    every = range(evaluation.probabilities.shape[1])
    expected = sklearn_metrics.precision_recall_fscore_support(
        labels, predictions, labels=every, zero_division=0
    )
    for name, values in zip((*names, "labelled"), expected, strict=True):
        np.testing.assert_allclose(getattr(classes, name), values, rtol=0, atol=1e-12)
    for average in ("macro", "weighted"):
        expected = sklearn_metrics.precision_recall_fscore_support(
            labels, predictions, average=average, zero_division=0
        )
        for name, value in zip(names, expected, strict=False):
            assert got[f"{name}_{average}"] == pytest.approx(value, abs=1e-12, rel=0)
    balanced = sklearn_metrics.balanced_accuracy_score(labels, predictions)
    assert got["balanced_accuracy"] == pytest.approx(balanced, abs=1e-12, rel=0)


@settings(max_examples=100, deadline=None)
@given(evaluations(most_classes=2))
def test_the_area_under_the_roc_curve_is_scikit_learn_s(evaluation):
    got = evaluation.metrics
    labels, scores = evaluation.labels, evaluation.probabilities[:, 1]
    if len(np.unique(labels)) < 2:
        assert "roc_auc" not in got
        return
    expected = sklearn_metrics.roc_auc_score(labels, scores)
    assert got["roc_auc"] == pytest.approx(expected, abs=1e-12, rel=0)


@st.composite
def several_labels(draw) -> Evaluation:
    shape = draw(st.tuples(st.integers(1, 12), st.integers(2, 4)))
    labels = draw(arrays.arrays("int32", shape, elements=st.integers(0, 1)))
    tenths = draw(arrays.arrays("int32", shape, elements=st.integers(0, 10)))
    return Evaluation((tenths / 10).astype("float32"), np.zeros(shape[0], "float32"), labels)


@settings(max_examples=100, deadline=None)
@given(several_labels())
def test_metrics_of_several_labels_are_scikit_learn_s(evaluation):
    labels, probabilities = evaluation.labels, evaluation.probabilities
    decided = (probabilities > 0.5).astype(int)
    got = evaluation.metrics
    names = ("precision", "recall", "f1")

    def scores(average):
        return sklearn_metrics.precision_recall_fscore_support(
            labels, decided, average=average, zero_division=0
        )

    for name, values in zip((*names, "labelled"), scores(None), strict=True):
        np.testing.assert_allclose(
            getattr(evaluation.class_metrics, name), values, rtol=0, atol=1e-12
        )
    for average in ("micro", "macro", "weighted"):
        for name, value in zip(names, scores(average), strict=False):
            assert got[f"{name}_{average}"] == pytest.approx(value, abs=1e-12, rel=0)
    exact = sklearn_metrics.accuracy_score(labels, decided)
    assert got["exact_match"] == evaluation.accuracy == pytest.approx(exact, abs=1e-12, rel=0)
    present = labels.any(axis=0)
    if not present.any():
        assert "mean_average_precision" not in got
        return
    mean = sklearn_metrics.average_precision_score(labels[:, present], probabilities[:, present])
    assert got["mean_average_precision"] == pytest.approx(mean, abs=1e-12, rel=0)


def test_metrics_of_many_images_and_of_more_classes():
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, 50_000)
    scores = draw.normal(size=50_000).round(2) + labels
    expected = sklearn_metrics.roc_auc_score(labels, scores)
    assert roc_auc(labels == 1, scores) == pytest.approx(expected, abs=1e-12, rel=0)
    three = Evaluation(np.eye(3, dtype="float32"), np.zeros(3, "float32"), np.arange(3))
    assert "roc_auc" not in three.metrics
    assert three.metrics["f1_macro"] == 1
