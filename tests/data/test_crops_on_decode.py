"""Crops decoded from image files: the right part, of all formats."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from keras_classics.data.crops_on_decode import decode_crop
from keras_classics.data.image_files import decode
from keras_classics.data.random_crops import AlexNetCrop, RandomResizedCrop, ScaleJitter
from tests.helpers.image_files import FATAL, JPEG, READABLE, encoded
from tests.helpers.images import photograph

# Not whole blocks of a JPEG.
HEIGHT, WIDTH = 197, 251
PHOTO = Image.fromarray(photograph())


@dataclass(frozen=True)
class Window:
    """A crop of a part that is given."""

    top: float
    left: float
    height: float
    width: float
    size: int
    colour: None = None
    num_random: ClassVar[int] = 3

    def box(self, height, width, random):
        return tf.constant([self.top, self.left, self.height, self.width], tf.float32)

    def of(self, image):
        return image[self.top : self.top + self.height, self.left : self.left + self.width]


def cut_out(crop, content, random=(0.5, 0.5, 0.5)):
    image = decode_crop(crop, tf.constant(content), tf.constant(random, tf.float32))
    assert image.dtype == tf.uint8
    assert image.shape == (crop.size, crop.size, 3)
    return image.numpy()


def coordinates(height=HEIGHT, width=WIDTH):
    """An image whose red is the row and whose green is the column."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, 0 * rows], axis=-1).astype("uint8")


# A grey JPEG each, because colours of a JPEG are only nearly what they were.
ROWS, COLUMNS = (
    encoded(Image.fromarray(coordinates()[..., channel]), "JPEG", quality=100)
    for channel in range(2)
)
PNG = encoded(Image.fromarray(coordinates()), "PNG")


@pytest.mark.parametrize("place", [(0, 0), (0, 32), (32, 0), (5, 17), (32, 32)])
def test_views_cut_whole_pixels_where_nothing_is_scaled(place):
    image = coordinates(256, 256)
    content = encoded(Image.fromarray(image), "PNG")
    top, left = place
    expected = image[top : top + 224, left : left + 224]
    # One draws from 33 places, the other from all between 0 and 32.
    of_view = {
        AlexNetCrop(): [(number + 0.5) / 33 for number in place],
        ScaleJitter(256, 256): [min(number / 32, 0.999) for number in place],
    }
    for crop, random in of_view.items():
        for third in (0.5, 0.999):
            got = cut_out(crop, content, [*random, third, 0])
            np.testing.assert_array_equal(got, expected)
        for third in (0, 0.5 - 2.0**-23):
            got = cut_out(crop, content, [*random, third, 0])
            np.testing.assert_array_equal(got, expected[:, ::-1])


def ratio_of(window):
    """How far the decoder reduces a JPEG, by the rule."""
    shrinking = min(window.height, window.width) / window.size
    return max(ratio for ratio in (1, 2, 4, 8) if ratio == 1 or shrinking >= ratio)


@st.composite
def windows(draw):
    top, left = draw(st.integers(0, HEIGHT - 1)), draw(st.integers(0, WIDTH - 1))
    height, width = draw(st.integers(1, HEIGHT - top)), draw(st.integers(1, WIDTH - left))
    return Window(top, left, height, width, draw(st.sampled_from([1, 4, 7, 16, 40])))


@settings(deadline=None, max_examples=60)
@given(window=windows(), mirror=st.booleans())
def test_geometry_is_right_to_half_a_decoded_pixel(window, mirror):
    random = [0, 0, 0.25 if mirror else 0.75]
    for kind in ("PNG", "JPEG"):
        if kind == "PNG":
            got = cut_out(window, PNG, random).astype(float)
            # Values are rounded to whole ones, half a pixel here.
            bound = 0.51
        else:
            parts = [cut_out(window, content, random)[..., 0] for content in (ROWS, COLUMNS)]
            got = np.stack(parts, axis=-1).astype(float)
            # A reduced image rounds once more, and ends between two pixels.
            ratio = ratio_of(window)
            bound = 0.51 + (0 if ratio == 1 else 0.5 + ratio / 2)
        got = got[:, ::-1] if mirror else got
        middles = (np.arange(window.size) + 0.5) / window.size
        sides = ((window.top, window.height), (window.left, window.width))
        for axis, (start, length) in enumerate(sides):
            expected = start + np.clip(middles * length - 0.5, 0, length - 1)
            error = got[..., axis] - (expected[:, np.newaxis] if axis == 0 else expected)
            if kind == "PNG":
                # At the part's ends the mean over what is merged is that of less.
                error = error[1:-1, 1:-1]
            assert np.abs(error).max(initial=0) <= bound


@pytest.mark.parametrize(
    ("shrinking", "ratio"), [(0.5, 1), (1.9, 1), (2, 2), (3.9, 2), (4, 4), (7.9, 4), (8, 8), (9, 8)]
)
def test_a_jpeg_is_decoded_at_a_half_a_quarter_or_an_eighth(monkeypatch, shrinking, ratio):
    ratios = []
    decode_and_crop = tf.io.decode_and_crop_jpeg

    def spy(contents, crop_window, channels, ratio, **rest):
        ratios.append(ratio)
        return decode_and_crop(contents, crop_window, channels, ratio, **rest)

    monkeypatch.setattr(tf.io, "decode_and_crop_jpeg", spy)
    side = round(40 * shrinking)
    window = Window(420 - side, 200, side, side + 20, size=40)
    content = encoded(PHOTO, "JPEG", quality=95)
    got = cut_out(window, content)
    assert ratios == [ratio]
    # The result is the part of the whole image, each pixel the mean of its area.
    part = tf.constant(window.of(decode(tf.constant(content)).numpy()))
    expected = tf.image.resize(part, (40, 40), method="area" if shrinking > 1 else "bilinear")
    off = np.abs(got - expected.numpy()).mean()
    assert off < 12
    # A part two pixels of the result beside it is less like it.
    moved = Window(420 - side, 200 + round(2 * shrinking), side, side + 20, size=40)
    assert np.abs(cut_out(moved, content).astype(float) - expected).mean() > 1.5 * off


@pytest.mark.parametrize("name", READABLE)
def test_all_kinds_of_files_are_cut_alike(name):
    content, _ = READABLE[name]
    whole = decode(tf.constant(content)).numpy()
    window = Window(11, 13, 40, 40, size=40)
    np.testing.assert_array_equal(cut_out(window, content), window.of(whole))
    half = Window(10, 14, 80, 80, size=40)
    expected = tf.image.resize(tf.constant(half.of(whole)), (40, 40), method="area").numpy()
    off = np.abs(cut_out(half, content) - expected)
    # Not each averages with the same weights; 1 bit is black or white.
    assert off.mean() < (20 if name == "bit.png" else 4)


def test_grey_becomes_three_equal_channels():
    for crop in (Window(3, 5, 60, 60, size=60), Window(3, 5, 64, 64, size=32)):
        for name in ("grey.jpg", "grey_alpha.png"):
            image = cut_out(crop, READABLE[name][0])
            assert (image == image[..., :1]).all()
            assert image.std() > 30


@pytest.mark.parametrize(("row", "column"), [(0, 0), (17, 101), (196, 250), (197, 251)])
def test_a_part_of_less_than_a_pixel_is_that_pixel(row, column):
    window = Window(row, column, 0.2, 0.2, size=3)
    row, column = min(row, HEIGHT - 1), min(column, WIDTH - 1)
    expected = np.broadcast_to([row, column, 0], (3, 3, 3))
    np.testing.assert_array_equal(cut_out(window, PNG), expected)
    for content, number in ((ROWS, row), (COLUMNS, column)):
        assert np.abs(cut_out(window, content).astype(int) - number).max() <= 1


@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (40, 2)])
def test_small_images_are_enlarged(file_format, shape):
    values = np.arange(np.prod(shape)).reshape(shape)
    content = encoded(Image.fromarray(values.astype("uint8")), file_format, quality=100)
    random = tf.random.stateless_uniform((5, 23), (3, 4)).numpy()
    for crop in (AlexNetCrop(), ScaleJitter(256, 480), RandomResizedCrop()):
        for row in random:
            image = cut_out(crop, content, row).astype(int)
            assert values.min() - 1 <= image.min() <= image.max() <= values.max() + 1
    whole = cut_out(Window(0, 0, *shape, size=240), content)[..., 0].astype(int)
    corners = whole[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert np.abs(corners - values[[0, 0, -1, -1], [0, -1, 0, -1]]).max() <= 1


@pytest.mark.parametrize("name", FATAL)
def test_an_incomplete_image_is_refused(name):
    with pytest.raises(tf.errors.InvalidArgumentError):
        cut_out(Window(0, 0, 90, 120, size=64), FATAL[name][0])


def test_a_jpeg_that_is_cut_below_the_part_is_read():
    # Rows are decoded from the top, and those below the part are not looked at.
    content = JPEG[: len(JPEG) // 2]
    window = Window(0, 10, 25, 25, size=25)
    np.testing.assert_array_equal(cut_out(window, content), cut_out(window, JPEG))
    with pytest.raises(tf.errors.InvalidArgumentError):
        cut_out(Window(60, 10, 25, 25, size=25), content)
