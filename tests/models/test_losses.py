"""Losses against their formulas, their defaults and what they store."""

import keras
import numpy as np
import pytest

from keras_classics.models.losses import CodeDistance, DiscriminativeMAP, SmoothedCrossEntropy

VALUES = np.float32([[3.0, 5.0, 4.0], [2.0, 1.0, 9.0]])
LABELS = np.array([0, 2])
TRUE = np.array([3.0, 9.0])


def test_code_distance():
    assert CodeDistance(reduction=None)(LABELS, VALUES).numpy().tolist() == TRUE.tolist()
    # Labels may also stand in a column.
    assert float(CodeDistance()(LABELS[:, None], VALUES)) == TRUE.mean()


@pytest.mark.parametrize("arguments", [{}, {"j": 2.5}])
def test_discriminative_map(arguments):
    loss = DiscriminativeMAP(**arguments, reduction=None)
    j = arguments.get("j", 1.0)
    # LeCun et al. 1998, equation 9.
    expected = TRUE + np.log(np.exp(-j) + np.exp(-VALUES).sum(axis=1))
    np.testing.assert_allclose(loss(LABELS, VALUES), expected, rtol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_smoothed_cross_entropy(smoothing):
    share = smoothing / 3 + (1 - smoothing) * np.eye(3)[LABELS]
    log_probabilities = VALUES - np.log(np.exp(VALUES).sum(axis=1, keepdims=True))
    expected = -(share * log_probabilities).sum(axis=1)
    loss = SmoothedCrossEntropy(smoothing, reduction=None)
    np.testing.assert_allclose(loss(LABELS, VALUES), expected, rtol=1e-5, atol=1e-6)
    if not smoothing:
        default = SmoothedCrossEntropy()
        assert float(default(LABELS, VALUES)) == pytest.approx(expected.mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        (CodeDistance(), "code_distance"),
        (DiscriminativeMAP(j=3.0), "discriminative_map"),
        (SmoothedCrossEntropy(0.2), "smoothed_cross_entropy"),
    ],
)
def test_they_are_stored_whole(loss, name):
    stored = keras.saving.serialize_keras_object(loss)
    assert stored["registered_name"] == f"keras_classics>{type(loss).__name__}"
    again = keras.saving.deserialize_keras_object(stored)
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()
    assert loss.name == name
    assert float(again(LABELS, VALUES)) == float(loss(LABELS, VALUES))
