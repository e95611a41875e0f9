"""Balanced sampling: equally many images of each class, each equally often, at any cut."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_classics.data.plan import Plan
from keras_classics.data.sampling import BalancedSampling
from tests.helpers.pipelines import labels_of, plan
from tests.helpers.replicas import mirrored

# 50 images of classes 0 (30), 2 (13) and 3 (7); class 1 has none.
LABELS = np.random.default_rng(0).permutation(np.repeat([0, 2, 3], [30, 13, 7]).astype("int32"))


def balanced(labels=LABELS, **changes) -> Plan:
    return plan(images=len(labels), sampling=BalancedSampling.of(labels), **changes)


def epoch_of(run: Plan, epoch: int) -> np.ndarray:
    positions = tf.range(run.images_per_epoch, dtype=tf.int64)
    return run.order(tf.constant(epoch, tf.int64), positions).numpy()


def spread(counts: np.ndarray) -> int:
    return counts.max() - counts.min()


@settings(max_examples=20, deadline=None)
@given(
    counts=st.lists(st.integers(0, 12), min_size=2, max_size=5),
    batch=st.integers(1, 9),
    seed=st.integers(0, 2**31),
    carry=st.booleans(),
    reshuffle=st.booleans(),
)
def test_classes_and_the_images_of_a_class_come_equally_often(
    counts, batch, seed, carry, reshuffle
):
    labels = np.repeat(np.arange(len(counts)), [*counts[:-1], counts[-1] + 1]).astype("int32")
    sampling = BalancedSampling.of(labels)
    if sampling is None:
        return
    batch = min(batch, len(labels))
    run = balanced(labels, batch_size=batch, seed=seed, carry=carry, reshuffle=reshuffle)
    drawn = np.zeros(len(labels), int)
    for epoch in range(3):
        indices = epoch_of(run, epoch)
        assert len(indices) == len(labels) // (1 if carry else batch) * (1 if carry else batch)
        present = np.unique(labels)
        assert spread(np.bincount(labels[indices], minlength=len(counts))[present]) <= 1
        np.add.at(drawn, indices, 1)
        of_classes = [drawn[labels == label] for label in present]
        assert spread(np.array([of.sum() for of in of_classes])) <= 1
        assert all(spread(of) <= 1 for of in of_classes)


def test_classes_of_equal_size_are_shuffled_as_without_sampling():
    assert BalancedSampling.of(np.repeat([4, 0, 2], 7)) is None
    assert BalancedSampling.of(np.zeros(5, "int32")) is None


def test_the_order_is_of_seed_and_epoch_alone():
    order = labels_of(balanced())
    np.testing.assert_array_equal(order, labels_of(balanced(steps_per_block=5)))
    assert (order != labels_of(balanced(seed=8))).any()
    first, second, _ = np.split(order, 3)
    assert (first != second).any()
    # A class that repeats has another order each time.
    rare = [image for image in order.flatten() if LABELS[image] == 3]
    assert sorted(rare[:7]) != rare[:7]


def test_an_order_that_stays_still_takes_all_images_of_a_frequent_class():
    orders = [epoch_of(balanced(reshuffle=False), epoch) for epoch in range(2)]
    of_classes = [LABELS[order] for order in orders]
    assert spread(np.bincount(np.concatenate(of_classes))[[0, 2, 3]]) <= 1
    frequent = np.concatenate(orders)[np.concatenate(of_classes) == 0]
    assert len(np.unique(frequent)) == 30


@pytest.mark.parametrize("carry", [False, True])
@pytest.mark.parametrize("block", range(1, 9, 3))
def test_a_run_goes_on_at_any_block(block, carry):
    run = balanced(carry=carry)
    steps = sum(run.steps_of(*divmod(b, 3)) for b in range(block))
    np.testing.assert_array_equal(labels_of(run, first_block=block), labels_of(run)[steps:])


def test_what_is_carried_over_makes_each_epoch_complete():
    run = balanced(carry=True)
    run = dataclasses.replace(run, steps=run.first_step(3))
    expected = np.concatenate([epoch_of(run, epoch) for epoch in range(3)])
    np.testing.assert_array_equal(labels_of(run).flatten()[:150], expected)


@pytest.mark.parametrize("carry", [False, True])
def test_replicas_share_the_same_global_batches(carry):
    run = balanced(carry=carry)
    np.testing.assert_array_equal(labels_of(run, mirrored(2)), labels_of(run))
