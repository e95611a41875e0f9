"""Distortions, pixel by pixel and in the pipeline, and which parts are cut out of pictures."""

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from keras_classics.data import augment, pipeline
from keras_classics.data.augment import (
    AffineDistortion,
    AlexNetCrop,
    CropFlip,
    GreyShift,
    PCAColour,
    RandomResizedCrop,
    ScaleJitter,
    WithColour,
)
from keras_classics.errors import UserError
from tests.helpers.images import random_images
from tests.helpers.pipelines import numbered, plan
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


# TensorFlow draws float32 in [0, 1) from a grid.
STEP = 2.0**-23
LAST = 1 - STEP


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


sides = st.integers(1, 5000)


def random_numbers(count):
    draw = st.integers(0, 2**23 - 1).map(lambda number: number * STEP)
    return st.lists(draw, min_size=count, max_size=count)


def box(crop, height, width, random):
    """Top, left, height and width of a crop's part."""
    height, width = tf.constant([height, width], tf.float32)
    return crop.box(height, width, tf.constant(random, tf.float32)).numpy().astype(float)


def whole_number(draw, count):
    """Which of so many a draw means, in TensorFlow's float32."""
    return int(np.float32(draw) * np.float32(count))


def ends(number, count):
    """The first and the last draw that mean a number, to where float32 rounds to the next."""
    first = number / count + STEP if number else 0.0
    return first, (number + 1) / count - STEP


def assert_inside(part, height, width):
    top, left, high, wide = part
    assert top >= 0
    assert left >= 0
    assert top + high <= height * (1 + 1e-6)
    assert left + wide <= width * (1 + 1e-6)
    assert min(high, wide) > 0


@settings(deadline=None, max_examples=60)
@given(height=sides, width=sides, random=random_numbers(3))
@example(height=375, width=500, random=[0, 0, 0])
@example(height=375, width=500, random=[LAST, LAST, LAST])
def test_alexnet_s_part_lies_in_the_middle_square(height, width, random):
    part = box(AlexNetCrop(), height, width, random)
    assert_inside(part, height, width)
    short = min(height, width)
    # 33 x 33 places of 224 pixels in 256.
    expected = [
        (height - short) / 2 + whole_number(random[0], 33) / 256 * short,
        (width - short) / 2 + whole_number(random[1], 33) / 256 * short,
        224 / 256 * short,
        224 / 256 * short,
    ]
    assert part == pytest.approx(expected, rel=1e-5, abs=1e-3)


def test_alexnet_s_33_places_are_equally_likely():
    for place in range(33):
        for draw in ends(place, 33):
            part = box(AlexNetCrop(), 256, 256, [draw, 0.99, 0])
            np.testing.assert_array_equal(part, [place, 32, 224, 224])


@settings(deadline=None, max_examples=60)
@given(height=sides, width=sides, random=random_numbers(4), low=st.integers(32, 60))
@example(height=30, width=40, random=[LAST] * 4, low=32)
@example(height=30, width=40, random=[0] * 4, low=32)
def test_scale_jitter_brings_the_short_side_to_a_length_within_bounds(height, width, random, low):
    part = box(ScaleJitter(low, 64, size=32), height, width, random)
    assert_inside(part, height, width)
    length = low + whole_number(random[3], 65 - low)
    assert low <= length <= 64
    side = 32 / length * min(height, width)
    expected = [random[0] * (height - side), random[1] * (width - side), side, side]
    assert part == pytest.approx(expected, rel=1e-5, abs=2e-3)


def test_scale_jitter_s_lengths_are_equally_likely():
    for number in (0, 1, 100, 255, 256):
        for draw in ends(number, 257):
            side = box(ScaleJitter(256, 512), 1000, 1000, [0, 0, 0, draw])[2]
            assert 224 * 1000 / side == pytest.approx(256 + number, rel=1e-6)
    fixed = [box(ScaleJitter(384, 384), 1000, 1000, [0, 0, 0, draw])[2] for draw in (0, LAST)]
    assert fixed == pytest.approx([1000 * 224 / 384] * 2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ScaleJitter(223, 480), "size <= low <= high. Received: size=224, low=223"),
        (lambda: ScaleJitter(480, 256), "Received: size=224, low=480, high=256"),
        (lambda: AlexNetCrop(size=227, whole=226), "size <= whole. Received: size=227"),
    ],
)
def test_parts_larger_than_the_picture_are_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()


def resized_crop(height, width, random, area=(0.08, 1), shape=(3 / 4, 4 / 3)):
    """The part as torchvision's RandomResizedCrop finds it, but for whole pixels, and its try."""
    for number in range(10):
        target = height * width * (area[0] + random[3 + number] * (area[1] - area[0]))
        low, high = math.log(shape[0]), math.log(shape[1])
        aspect = math.exp(low + random[13 + number] * (high - low))
        wide, high = math.sqrt(target * aspect), math.sqrt(target / aspect)
        # Where rounding decides whether it fits, there is nothing to compare.
        assume(abs(wide / width - 1) > 1e-5)
        assume(abs(high / height - 1) > 1e-5)
        if wide <= width and high <= height:
            return [random[0] * (height - high), random[1] * (width - wide), high, wide], number
    if width / height < shape[0]:
        high, wide = width / shape[0], width
    elif width / height > shape[1]:
        high, wide = height, height * shape[1]
    else:
        high, wide = height, width
    return [(height - high) / 2, (width - wide) / 2, high, wide], None


@settings(deadline=None, max_examples=100)
@given(height=sides, width=sides, random=random_numbers(23))
@example(height=100, width=3000, random=[0.1] * 23)
@example(height=3000, width=100, random=[0.1] * 23)
# A tenth try that fits, after nine that are too high for a square picture.
@example(height=99, width=99, random=[0.3, 0.6, 0] + [LAST] * 9 + [0.5] + [0] * 9 + [0.7])
# And none that fits, which leaves the whole picture.
@example(height=99, width=99, random=[0.3, 0.6, 0] + [LAST] * 10 + [0] * 10)
def test_random_resized_crop_is_torchvision_s(height, width, random):
    expected, number = resized_crop(height, width, random)
    part = box(RandomResizedCrop(), height, width, random)
    assert part == pytest.approx(expected, rel=1e-5, abs=2e-3)
    assert_inside(part, height, width)
    assert 0.74999 < part[3] / part[2] < 1.33334
    if number is not None:
        assert 0.07999 < part[2] * part[3] / (height * width) <= 1.00001


def test_random_resized_crop_falls_back_to_the_largest_part_in_the_middle():
    assert box(RandomResizedCrop(), 300, 30, [0.1] * 23) == pytest.approx([130, 0, 40, 30])
    assert box(RandomResizedCrop(), 30, 300, [0.1] * 23) == pytest.approx([0, 130, 30, 40])
    too_high = [0.1] * 3 + [LAST] * 10 + [0] * 10
    assert box(RandomResizedCrop(), 50, 50, too_high) == pytest.approx([0, 0, 50, 50])


def test_numbers_behind_the_view_s_own_are_left_to_the_colour():
    for crop in (AlexNetCrop(), ScaleJitter(256, 480), RandomResizedCrop(colour=PCAColour())):
        own = np.linspace(0.05, 0.95, crop.num_random)
        longer = [*own, 0.5, 0.5, 0.5]
        assert pipeline.num_random_of(crop) == len(longer)
        np.testing.assert_array_equal(box(crop, 300, 400, longer), box(crop, 300, 400, own))


# Deviation along the first direction, of 255, by the three readings.
@pytest.mark.parametrize(("scale", "first"), [("code", 12.2), ("torch", 5.5), ("paper", 1483)])
def test_pca_colour_s_deviations(scale, first):
    random = tf.random.stateless_uniform((100_000, 3), (1, 2))
    shifts = PCAColour(scale=scale)(random, tf.constant(0, tf.int64)).numpy().astype(float)
    along = shifts @ np.array(augment.DIRECTIONS)
    deviations = along.std(axis=0)
    assert deviations[0] == pytest.approx(first, rel=0.01)
    squared = np.array([121.78, 37.09, 19.72]) ** 2
    expected = {"code": np.sqrt(squared), "torch": [55.46, 4.79, 1.15], "paper": squared}[scale]
    assert deviations == pytest.approx(0.1 * np.array(expected), rel=0.01)
    assert (np.abs(along.mean(axis=0)) < 4 * deviations / np.sqrt(len(random))).all()
    assert np.abs(np.corrcoef(along.T) - np.eye(3)).max() < 0.015
    # Most of it is brightness.
    assert np.corrcoef(shifts.T).min() > 0.7


def test_pca_colour_s_directions_are_orthonormal():
    directions = np.array(augment.DIRECTIONS)
    np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=1e-3)
    np.testing.assert_allclose(directions @ directions.T, np.eye(3), atol=1e-3)
    # The first one is that of cuda-convnet2, but for its sign.
    np.testing.assert_allclose(directions[:, 0], [-0.5635, -0.5762, -0.5920], atol=0.01)


def test_pca_colour_is_finite_and_symmetric_at_the_ends_of_the_draws():
    ends = tf.constant([[0.0] * 3, [LAST] * 3, [0.5 - STEP / 2] * 3])
    lowest, highest, middle = PCAColour(deviation=1.0)(ends, tf.constant(0)).numpy()
    assert np.isfinite([lowest, highest]).all()
    np.testing.assert_array_equal(lowest, -highest)
    # A normal deviate of 5.3, the first of its direction.
    along = lowest @ np.array(augment.DIRECTIONS)
    assert along == pytest.approx(-5.295 * np.array([121.78, 37.09, 19.72]), rel=1e-3)
    np.testing.assert_allclose(middle, 0, atol=1e-4)


def test_pca_colour_ends_after_its_passes():
    random = tf.constant([[0.1, 0.2, 0.3]])
    shifts = PCAColour(until=2)
    for epoch in range(4):
        got = shifts(random, tf.constant(epoch, tf.int64)).numpy()
        expected = PCAColour()(random, tf.constant(epoch, tf.int64)).numpy()
        np.testing.assert_array_equal(got, expected if epoch < 2 else 0 * expected)
        assert (expected != 0).all()


def test_grey_shift_s_deviation():
    random = tf.random.stateless_uniform((100_000, 1), (1, 2))
    shifts = GreyShift(pixels=90, deviation=0.1)(random, tf.constant(0)).numpy()
    assert shifts.shape == (100_000, 1)
    assert shifts.std() == pytest.approx(9.0, rel=0.01)
    assert abs(shifts.mean()) < 4 * 9 / np.sqrt(len(shifts))
    # A normal deviate lies below -1 in 15.87 of 100 draws.
    assert (shifts < -9).mean() == pytest.approx(0.1587, abs=0.005)
    ends = GreyShift(pixels=90)(tf.constant([[0.0], [LAST]]), tf.constant(0)).numpy()
    assert np.isfinite(ends).all()


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
    with pytest.raises(UserError, match="to the end. Received: until=3. Take until=None."):
        WithColour(CropFlip(), PCAColour(until=3))
