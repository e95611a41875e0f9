"""Augmentation of images in memory, pixel by pixel and in the pipeline."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_classics.data import pipeline
from keras_classics.data.augment import AffineDistortion, CropFlip, WithColour
from keras_classics.data.colour import GreyShift, PCAColour
from keras_classics.data.random_crops import AlexNetCrop, RandomResizedCrop, ScaleJitter
from keras_classics.errors import UserError
from tests.helpers.images import random_images
from tests.helpers.pipelines import STEP, numbered, plan
from tests.helpers.replicas import mirrored

NONE = AffineDistortion(shift=0, scale=0, squeeze=0, shear=0)


def distorted(images, random, **amounts):
    distortion = dataclasses.replace(NONE, **amounts)
    return distortion(tf.constant(images), tf.constant(random, tf.float32)).numpy()


def test_the_middle_of_all_draws_changes_nothing():
    images = random_images(3, 9, 7, 2)
    got = AffineDistortion()(tf.constant(images), tf.fill((3, 5), 0.5))
    np.testing.assert_allclose(got, images, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1])
def test_shift(axis):
    images = random_images(1, 8, 8, 1)
    random = np.full((1, 5), 0.5)
    random[0, axis] = 1.0
    got = distorted(images, random, shift=2)[0]
    # The first draw moves to the right, the second one down; background comes in.
    expected = np.full_like(images[0], -0.1)
    if axis == 0:
        expected[:, 2:] = images[0, :, :-2]
    else:
        expected[2:] = images[0, :-2]
    np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "draw", "high", "wide"),
    [
        ("scale", 2, 2, 2),
        ("squeeze", 3, 0.5, 2),
    ],
)
def test_scale_and_squeeze_about_the_middle(name, draw, high, wide):
    image = np.full((1, 41, 41, 1), -0.1, "float32")
    image[:, 15:26, 15:26] = 1.0
    random = np.full((1, 5), 0.5)
    random[0, draw] = 1.0
    got = distorted(image, random, **{name: np.log(2.0)})[0, ..., 0] > 0.45
    rows, columns = np.flatnonzero(got.any(axis=1)), np.flatnonzero(got.any(axis=0))
    assert len(rows) == pytest.approx(11 * high, abs=1)
    assert len(columns) == pytest.approx(11 * wide, abs=1)
    assert rows.mean() == columns.mean() == 20


def test_shear_moves_rows_apart():
    image = np.full((1, 21, 21, 1), -0.1, "float32")
    image[:, :, 10] = 1.0
    random = np.full((1, 5), 0.5)
    random[0, 4] = 1.0
    got = distorted(image, random, shear=0.5)[0, ..., 0].argmax(axis=1)
    assert got[10] == 10
    assert abs(got[20] - got[0]) == 10


def augmented_epoch(plan_, strategy=None, first_block=0):
    strategy = strategy or tf.distribute.get_strategy()
    split = dataclasses.replace(numbered(50), images=np.tile(np.arange(50, dtype="uint8"), 36))
    split = dataclasses.replace(split, images=split.images.reshape(50, 6, 6, 1))
    blocks = pipeline.training_blocks(
        split, lambda images: tf.cast(images, tf.float32), plan_, strategy, first_block
    )
    return np.concatenate(
        [
            np.concatenate(
                [np.asarray(part) for part in strategy.experimental_local_results(images)], axis=1
            )
            for images, _ in blocks
        ]
    )


def test_augmentation_is_of_seed_epoch_and_place_alone():
    changed = plan(augmentation=AffineDistortion())
    whole = augmented_epoch(changed)
    np.testing.assert_array_equal(whole, augmented_epoch(changed))
    # Another cut into blocks rounds in other places.
    for other in (
        augmented_epoch(dataclasses.replace(changed, steps_per_block=5)),
        augmented_epoch(changed, mirrored(2)),
    ):
        np.testing.assert_allclose(whole, other, atol=1e-4)
    np.testing.assert_array_equal(whole[8:], augmented_epoch(changed, first_block=3))
    assert (whole != augmented_epoch(dataclasses.replace(changed, seed=8))).any()


@settings(deadline=None, max_examples=50)
@given(
    right=st.integers(-2, 2), down=st.integers(-2, 2), flip=st.booleans(), seed=st.integers(0, 99)
)
def test_crop_flip_takes_a_window_of_the_padded_image(right, down, flip, seed):
    image = np.random.default_rng(seed).normal(size=(6, 7, 2)).astype("float32")
    random = [[(right + 2.5) / 5, (down + 2.5) / 5, 0.4 if flip else 0.6]]
    got = CropFlip(padding=2, fill=-0.5)(tf.constant(image[np.newaxis]), tf.constant(random))
    padded = np.pad(image, [(2, 2), (2, 2), (0, 0)], constant_values=-0.5)
    padded = padded[:, ::-1] if flip else padded
    np.testing.assert_array_equal(got[0], padded[down + 2 : down + 8, right + 2 : right + 9])


@pytest.mark.parametrize(("draw", "flips"), [(0, True), (0.5 - STEP, True), (0.5, False)])
def test_crop_flip_flips_half_of_all_draws(draw, flips):
    images = random_images(1, 5, 6, 1)
    # The middle place of nine.
    got = CropFlip()(tf.constant(images), tf.constant([[0.5, 0.5, draw]]))
    np.testing.assert_array_equal(got, images[:, :, ::-1] if flips else images)


def test_defaults_are_the_papers():
    # He et al. 2015, section 4.2; Krizhevsky et al. 2012, section 4.1; Szegedy et al. 2015.
    assert CropFlip() == CropFlip(padding=4, fill=0.0)
    assert PCAColour() == PCAColour(deviation=0.1, scale="code", until=None)
    assert AlexNetCrop() == AlexNetCrop(size=224, whole=256, colour=PCAColour())
    assert ScaleJitter(256, 512) == ScaleJitter(256, 512, size=224, colour=PCAColour())
    resized = RandomResizedCrop(size=224, area=(0.08, 1), shape=(3 / 4, 4 / 3), colour=None)
    assert RandomResizedCrop() == resized
    assert GreyShift(90).deviation == 0.1
    # Ours.
    assert dataclasses.astuple(AffineDistortion()) == (2.0, 0.1, 0.1, 0.15, -0.1)


@pytest.mark.parametrize(("colour", "channels"), [(PCAColour(), 3), (GreyShift(90), 3)])
def test_with_colour_shifts_all_pixels_of_an_image_alike(colour, channels):
    images, first = random_images(4, 6, 7, channels), CropFlip(padding=2)
    augmentation = WithColour(first, colour)
    assert augmentation.num_random == 3 + colour.num_random
    random = tf.random.stateless_uniform((4, augmentation.num_random), (1, 2))
    got = augmentation(tf.constant(images), random).numpy()
    shifts = got - first(tf.constant(images), random[:, :3]).numpy()
    expected = colour(random[:, 3:], tf.constant(0, tf.int64)).numpy()
    expected = np.broadcast_to(expected[:, None, None], got.shape)
    np.testing.assert_allclose(shifts, expected, atol=1e-4)
    # Each image by another amount.
    assert len(np.unique(np.round(shifts[:, 0, 0, 0], 2))) == 4


def test_with_colour_is_of_seed_epoch_and_place_alone():
    changed = plan(augmentation=WithColour(CropFlip(padding=1), GreyShift(pixels=90)))
    whole = augmented_epoch(changed)
    np.testing.assert_allclose(whole, augmented_epoch(changed, mirrored(2)), atol=1e-4)
    np.testing.assert_array_equal(whole[8:], augmented_epoch(changed, first_block=3))


def test_a_colour_that_is_to_end_is_refused_in_memory():
    with pytest.raises(UserError, match="in-memory images. Received: until=3. Use until=None."):
        WithColour(CropFlip(), PCAColour(until=3))


def test_random_numbers_per_image():
    assert (AffineDistortion.num_random, CropFlip.num_random) == (5, 3)
