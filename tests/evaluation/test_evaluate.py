"""Every image counts once, whatever the batch and the replicas."""

import keras
import numpy as np
import pytest

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.evaluation import Evaluation, Evaluator
from keras_classics.images import CanvasPreprocessing
from tests.conftest import mirrored

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def evaluate(split, strategy, batch_size) -> Evaluation:
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = kc.lenet5()
    return Evaluator(model, LOSS, split, CanvasPreprocessing(), strategy, batch_size)()


@pytest.fixture(scope="module")
def expected(few_digits) -> np.ndarray:
    """Probabilities without the evaluator: the model called on all images at once."""
    keras.utils.set_random_seed(0)
    return kc.lenet5()(CanvasPreprocessing()(few_digits.test.images)).numpy()


@pytest.mark.parametrize("replicas", [1, 2, 3])
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
            kc.lenet5(classifier_activation=None), LOSS, few_digits.test, CanvasPreprocessing()
        )
