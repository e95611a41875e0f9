"""Every image counts once, whatever the batch and the replicas."""

import hypothesis.extra.numpy
import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.evaluation import Evaluation, Evaluator, one_view
from keras_classics.image_preprocessing import CanvasPreprocessing
from tests.helpers.replicas import mirrored

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def evaluate(split, strategy, batch_size) -> Evaluation:
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = kc.lenet5()
    views = one_view(CanvasPreprocessing())
    return Evaluator(model, LOSS, split, views, strategy, batch_size)()


@pytest.fixture(scope="module")
def expected(few_digits) -> np.ndarray:
    """Probabilities without the evaluator: the model called on all images at once."""
    keras.utils.set_random_seed(0)
    return kc.lenet5()(CanvasPreprocessing()(few_digits.test.images)).numpy()


@pytest.mark.parametrize("replicas", [1, 2, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("batch_size", [1, 7, 40, 64])
def test_every_image_counts_once(few_digits, expected, replicas, batch_size):
    evaluation = evaluate(few_digits.test, mirrored(replicas), batch_size)
    np.testing.assert_allclose(evaluation.probabilities, expected, atol=1e-6)
    labels = few_digits.test.labels
    losses = -np.log(expected[np.arange(40), labels])
    np.testing.assert_allclose(evaluation.losses, losses, atol=1e-5)
    assert evaluation.loss == pytest.approx(losses.mean(), rel=1e-5)
    assert evaluation.accuracy == (expected.argmax(axis=1) == labels).mean()
    assert evaluation.confusion.sum() == 40


def test_confusion_and_ties():
    evaluation = Evaluation(
        probabilities=np.float32([[0.5, 0.5, 0], [0.1, 0.2, 0.7], [0, 1, 0]]),
        losses=np.float32([1, 2, 6]),
        labels=np.int32([1, 2, 1]),
    )
    # Of equal probabilities the first class is predicted.
    assert evaluation.predictions.tolist() == [0, 2, 1]
    assert evaluation.confusion.tolist() == [[0, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert evaluation.accuracy == pytest.approx(2 / 3)
    assert evaluation.loss == 3


def test_a_network_without_probabilities(few_digits):
    with pytest.raises(UserError, match="must end in probabilities. Received a last layer"):
        Evaluator(
            kc.lenet5(classifier_activation=None),
            LOSS,
            few_digits.test,
            one_view(CanvasPreprocessing()),
        )


@settings(max_examples=50, deadline=None)
@given(hypothesis.extra.numpy.arrays("float32", (5, 7), elements=st.sampled_from([0.0, 0.1, 0.4])))
def test_in_top_takes_the_first_of_equals(probabilities):
    labels = np.int32([0, 1, 3, 5, 6])
    evaluation = Evaluation(probabilities, np.zeros(5, "float32"), labels)
    for count in (1, 3, 5, 7):
        best = [sorted(range(7), key=lambda c, row=row: -row[c])[:count] for row in probabilities]
        expected = [label in row for label, row in zip(labels, best, strict=True)]
        assert evaluation.in_top(count).tolist() == expected
    assert (evaluation.in_top(1) == (evaluation.predictions == labels)).all()
