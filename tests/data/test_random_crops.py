"""Which part of an image each random crop chooses."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from keras_classics.data.colour import PCAColour
from keras_classics.data.random_crops import (
    AlexNetCrop,
    RandomResizedCrop,
    ScaleJitter,
    num_random_of,
)
from keras_classics.errors import UserError
from tests.helpers.pipelines import LAST, STEP

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
def test_parts_larger_than_the_image_are_refused(make, message):
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
# A tenth try that fits, after nine that are too high for a square image.
@example(height=99, width=99, random=[0.3, 0.6, 0] + [LAST] * 9 + [0.5] + [0] * 9 + [0.7])
# And none that fits, which leaves the whole image.
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
        assert num_random_of(crop) == len(longer)
        np.testing.assert_array_equal(box(crop, 300, 400, longer), box(crop, 300, 400, own))


def test_random_numbers_per_image():
    # Two for the place and one for the mirror image; a length; an area and a shape for each try.
    crops = (AlexNetCrop(colour=None), ScaleJitter(256, 512, colour=None), RandomResizedCrop())
    assert [crop.num_random for crop in crops] == [3, 4, 23]
    assert [num_random_of(crop) for crop in crops] == [3, 4, 23]
    assert RandomResizedCrop.tries == 10
    assert num_random_of(AlexNetCrop()) == 6
