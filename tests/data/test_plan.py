"""The plan of a run: a function of (seed, epoch), complete at any cut and on any replicas."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_classics.data import pipeline
from keras_classics.data.plan import Plan, steps_per_block
from tests.helpers.pipelines import as_float, labels_of, numbered, plan
from tests.helpers.replicas import mirrored

SIZES = {"batch": st.integers(1, 9), "block": st.integers(1, 7), "seed": st.integers(0, 2**31)}


@settings(max_examples=25, deadline=None)
@given(images=st.integers(1, 60), **SIZES)
def test_an_epoch_takes_no_image_twice_and_leaves_out_less_than_a_batch(images, batch, block, seed):
    batch = min(batch, images)
    steps = images // batch
    order = labels_of(
        plan(images=images, batch_size=batch, steps_per_block=block, seed=seed, steps=2 * steps)
    )
    assert order.shape == (2 * steps, batch)
    for epoch in np.split(order, 2):
        assert len(np.unique(epoch)) == steps * batch


def test_the_order_is_of_seed_and_epoch_alone():
    order = labels_of(plan())
    np.testing.assert_array_equal(order, labels_of(plan()))
    np.testing.assert_array_equal(order, labels_of(plan(steps_per_block=5)))
    first, second, _ = np.split(order, 3)
    assert (first != second).any()
    assert (first != np.split(labels_of(plan(seed=8)), 3)[0]).any()


def test_a_constant_order_is_the_first_one_s():
    first, second, third = np.split(labels_of(plan(reshuffle=False)), 3)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, third)
    np.testing.assert_array_equal(first, np.split(labels_of(plan()), 3)[0])


@settings(max_examples=6, deadline=None)
@given(images=st.integers(2, 60), **SIZES)
def test_what_is_carried_over_makes_each_epoch_complete(images, batch, block, seed):
    batch = min(batch, images)
    run = plan(images=images, batch_size=batch, steps_per_block=block, seed=seed, carry=True)
    run = dataclasses.replace(run, steps=run.first_step(3))
    assert run.epochs == 3
    order = labels_of(run).flatten()
    assert 3 * images <= len(order) < 3 * images + batch
    # An epoch that leaves out nothing has the same order, whatever the batches.
    one_by_one = plan(images=images, batch_size=1, steps=4 * images, seed=seed)
    np.testing.assert_array_equal(order, labels_of(one_by_one).flatten()[: len(order)])


@pytest.mark.parametrize("carry", [False, True])
@pytest.mark.parametrize("block", range(9))
def test_a_run_goes_on_at_any_block(block, carry):
    run = plan(carry=carry)
    whole = labels_of(run)
    steps = sum(run.steps_of(*divmod(b, 3)) for b in range(block))
    np.testing.assert_array_equal(labels_of(run, first_block=block), whole[steps:])


def steps_by_hand(plan_: Plan) -> list[list[int]]:
    """Steps of each block of each epoch, counted one after the other."""
    left, epochs, images = plan_.steps, [], 0
    while left:
        blocks = []
        images = images + plan_.images if plan_.carry else plan_.images
        while left and (images > 0 if plan_.carry else images >= plan_.batch_size):
            if not blocks or blocks[-1] == plan_.steps_per_block:
                blocks.append(0)
            blocks[-1] += 1
            left -= 1
            images -= plan_.batch_size
        epochs.append(blocks)
    return epochs


@settings(max_examples=60, deadline=None)
@given(
    images=st.integers(1, 60),
    batch=st.integers(1, 9),
    steps=st.integers(1, 40),
    block=st.integers(1, 7),
    carry=st.booleans(),
)
def test_a_run_may_end_in_the_midst_of_an_epoch(images, batch, steps, block, carry):
    batch = min(batch, images)
    run = plan(images=images, batch_size=batch, steps=steps, steps_per_block=block, carry=carry)
    expected = steps_by_hand(run)
    assert run.epochs == len(expected)
    assert [run.blocks_of(epoch) for epoch in range(run.epochs)] == [len(e) for e in expected]
    assert run.blocks == sum(len(epoch) for epoch in expected)
    numbers = [
        [run.steps_of(epoch, i) for i in range(run.blocks_of(epoch))] for epoch in range(run.epochs)
    ]
    assert numbers == expected
    # Each block begins where the one before it ended.
    block, place = 0, 0
    for epoch, sizes in enumerate(expected):
        place = place - images if carry and epoch else 0
        for size in sizes:
            got, places = run.epoch_and_positions(tf.constant(block, tf.int64))
            assert got == epoch
            following = np.arange(place, place + size * batch)
            np.testing.assert_array_equal(places, following.reshape(size, batch))
            block, place = block + 1, place + size * batch


@pytest.mark.parametrize("first", [0, 3, 9, 10, 12])
def test_the_random_numbers_of_what_is_carried_over_are_the_next_epoch_s(first):
    run = plan(images=10, carry=True)
    first, epoch = tf.constant(first, tf.int64), tf.constant(4, tf.int64)
    whole = [run.random_numbers(e, 0 * epoch, 10, 3) for e in (epoch, epoch + 1)]
    expected = tf.concat(whole, 0)[int(first) : int(first) + 5]
    np.testing.assert_array_equal(run.random_numbers(epoch, first, 5, 3), expected)


@pytest.mark.parametrize("steps", [1, 8, 20])
def test_a_shorter_run_is_the_beginning_of_a_longer_one(steps):
    short = plan(steps=steps)
    np.testing.assert_array_equal(labels_of(short), labels_of(plan())[:steps])
    last = labels_of(short, first_block=short.blocks - 1)
    np.testing.assert_array_equal(last, labels_of(plan())[steps - len(last) : steps])
    one = tf.distribute.get_strategy()
    assert not list(pipeline.training_blocks(numbered(50), as_float, short, one, short.blocks))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    epoch=st.integers(0, 2**31),
    first=st.integers(0, 200),
    count=st.integers(1, 40),
    num_random=st.integers(1, 26),
)
def test_random_numbers_are_rows_of_tensorflow_s_table(seed, epoch, first, count, num_random):
    table = tf.random.stateless_uniform(
        (first + count, num_random), tf.constant([seed, epoch], tf.int64), alg="philox"
    )
    first, epoch = tf.constant(first, tf.int64), tf.constant(epoch, tf.int64)
    got = plan(seed=seed).random_numbers(epoch, first, count, num_random)
    assert got.shape == (count, num_random)
    np.testing.assert_array_equal(got, table[first:])


@pytest.mark.parametrize("num_random", [1, 3, 7, 26])
def test_random_numbers_go_on_far_behind(num_random):
    def random(first, count):
        epoch, first = tf.constant(3, tf.int64), tf.constant(first, tf.int64)
        return plan().random_numbers(epoch, first, count, num_random).numpy()

    # Where a count of four numbers passes 32 bits, too.
    for far in (10**6 + 1, 2**34 // num_random - 5):
        whole = random(far, 20)
        for later in (1, 2, 3, 11):
            np.testing.assert_array_equal(random(far + later, 20 - later), whole[later:])
        assert len(np.unique(whole)) == 20 * num_random


@pytest.mark.parametrize("carry", [False, True])
@pytest.mark.parametrize("replicas", [2, 3])
def test_replicas_share_the_same_global_batches(replicas, carry):
    run = plan(carry=carry)
    np.testing.assert_array_equal(labels_of(run, mirrored(replicas)), labels_of(run))


def test_blocks_hold_what_fits():
    assert steps_per_block(4 * 32 * 32, 32, 10_000) == 256
    assert steps_per_block(4 * 32 * 32, 1, 60_000) == 1000
    assert steps_per_block(4 * 32 * 32, 32, 44) == 44
    assert steps_per_block(4 * 224 * 224 * 3, 256, 5000) == 1
