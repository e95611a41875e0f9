"""Ensembles: the mean of probabilities and losses, by weight."""

import dataclasses

import numpy as np
import pytest

from keras_classics.errors import UserError
from keras_classics.evaluation import Evaluation, average


def member(seed: int) -> Evaluation:
    draw = np.random.default_rng(seed)
    return Evaluation(
        draw.dirichlet(np.ones(3), 4).astype("float32"),
        draw.uniform(size=4).astype("float32"),
        np.int32([0, 1, 2, 0]),
    )


def test_an_ensemble_averages():
    a, b = member(0), member(1)
    alone = average([a])
    assert (alone.probabilities == a.probabilities).all()
    assert (alone.losses == a.losses).all()
    both = average([a, b])
    np.testing.assert_allclose(both.probabilities, (a.probabilities + b.probabilities) / 2, 1e-6)
    weighed = average([a, b], weights=[3, 1])
    np.testing.assert_allclose(weighed.losses, 0.75 * a.losses + 0.25 * b.losses, 1e-6)
    other = Evaluation(np.ones((4, 2), "float32"), a.losses, a.labels)
    with pytest.raises(UserError, match="the same classes. Received: 3, 2 classes"):
        average([a, other])
    with pytest.raises(UserError, match="evaluated on the same images"):
        average([a, dataclasses.replace(b, labels=b.labels[::-1])])
    with pytest.raises(UserError, match="one weight for each of its 2 members"):
        average([a, b], weights=[1])
    with pytest.raises(UserError, match="at least one member"):
        average([])


def test_a_member_may_weigh_nothing_but_not_all_of_them_nor_less():
    a, b = member(0), member(1)
    alone = average([a, b], weights=[0, 2])
    np.testing.assert_allclose(alone.probabilities, b.probabilities, 1e-6)
    assert alone.probabilities.dtype == alone.losses.dtype == np.float32
    assert (alone.labels == a.labels).all()
    for weights in ([0, 0], [2, -1]):
        with pytest.raises(UserError, match="none negative and not all 0. Received:"):
            average([a, b], weights=weights)
