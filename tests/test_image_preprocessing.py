"""Preprocessing, pixel by pixel."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_classics.errors import UserError
from keras_classics.image_preprocessing import CanvasPreprocessing, ImagePreprocessing
from tests.helpers.images import photograph


def image(height: int, width: int, channels: int = 1) -> np.ndarray:
    shape = (2, height, width, channels)
    return np.random.default_rng(0).integers(0, 256, shape, dtype="uint8")


def test_28x28_is_centred_unchanged():
    images = image(28, 28)
    canvas = CanvasPreprocessing()(images).numpy()
    assert canvas.shape == (2, 32, 32, 1)
    # LeCun et al. 1998, section II-B: background -0.1, foreground 1.175.
    expected = np.full((2, 32, 32, 1), -0.1)
    expected[:, 2:30, 2:30] = images / 255 * 1.275 - 0.1
    np.testing.assert_allclose(canvas, expected, atol=1e-6)


def test_static_and_dynamic_sizes_give_the_same():
    layer = CanvasPreprocessing()
    unknown = tf.function(layer, input_signature=[tf.TensorSpec((None, None, None, 1), tf.uint8)])
    for sides in ((28, 28), (8, 8), (100, 60)):
        images = image(*sides)
        np.testing.assert_allclose(unknown(images), layer(images), atol=1e-5)


@pytest.mark.parametrize(
    ("sides", "rows", "columns"),
    [
        ((8, 8), (2, 30), (2, 30)),
        ((56, 28), (2, 30), (9, 23)),
        ((10, 300), (15, 16), (2, 30)),
        ((1, 1), (2, 30), (2, 30)),
    ],
)
def test_the_longer_side_fills_the_box(sides, rows, columns):
    white = np.full((1, *sides, 1), 255, "uint8")
    canvas = CanvasPreprocessing()(white).numpy()[0, ..., 0]
    expected = np.full((32, 32), -0.1)
    expected[slice(*rows), slice(*columns)] = 1.175
    np.testing.assert_allclose(canvas, expected, atol=1e-5)


def test_colour_becomes_grey_and_grey_is_copied():
    grey = CanvasPreprocessing(background=0, foreground=255)(image(28, 28, 3)).numpy()
    weights = [0.2989, 0.5870, 0.1140]
    expected = (image(28, 28, 3) * weights).sum(axis=-1)
    np.testing.assert_allclose(grey[:, 2:30, 2:30, 0], expected, atol=1)
    colour = CanvasPreprocessing(channels=3)(image(28, 28)).numpy()
    assert colour.shape == (2, 32, 32, 3)
    np.testing.assert_array_equal(colour[..., 0], colour[..., 2])


def test_from_config_restores_the_layer():
    layer = CanvasPreprocessing(size=40, border=4, background=-1.0, foreground=1.0)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    np.testing.assert_array_equal(again(image(9, 9)), layer(image(9, 9)))


@pytest.mark.parametrize("method", ["bilinear", "bicubic"])
@pytest.mark.parametrize("sides", [(300, 401), (90, 61), (40, 33)])
def test_images_are_resized_as_pillow_does(sides, method):
    whole = photograph()[40 : 40 + sides[0], 60 : 60 + sides[1]]
    layer = ImagePreprocessing(64, 64, interpolation=method)
    shown = Image.fromarray(whole).resize(
        [64 * side // min(sides) for side in sides[::-1]], Image.Resampling[method.upper()]
    )
    left, top = (round((side - 64) / 2) for side in shown.size)
    differences = np.abs(layer.resize(whole).numpy() - shown.crop((left, top, left + 64, top + 64)))
    assert differences.max() < 2
    assert np.mean(differences < 1) > 0.999


def test_a_bicubic_image_stays_in_range():
    stripes = np.tile(np.uint8([0, 0, 255, 255]), (40, 10))[..., None]
    values = ImagePreprocessing(64, 64, interpolation="bicubic").resize(stripes).numpy()
    assert (values.min(), values.max()) == (0, 255)
    with pytest.raises(UserError, match="Unknown interpolation 'cubic'. Did you mean bicubic"):
        ImagePreprocessing(interpolation="cubic")


@pytest.mark.parametrize("layer", [CanvasPreprocessing(), ImagePreprocessing()])
def test_one_image(layer):
    images = image(300, 260, 3)
    for step in (layer, layer.resize):
        np.testing.assert_array_equal(step(images[0]), step(images)[0])
    assert layer.compute_output_shape(images.shape[1:]) == tuple(layer(images[0]).shape)
    grey = images[..., :1]
    np.testing.assert_array_equal(layer.resize(grey), layer.resize(tf.constant(grey)))
    with pytest.raises(UserError, match=r"shape \(height, width, 1 or 3\), or with a batch"):
        layer.resize(images[..., :2])
    for wrong in (images[0, 0], images[np.newaxis]):
        with pytest.raises(UserError, match=r"shape \(height, width, 1 or 3\), or with a batch"):
            layer.resize(wrong)


def test_a_mean_image_is_for_its_size():
    mean = np.arange(48.0).reshape(4, 4, 3)
    layer = ImagePreprocessing(resize=4, crop=4, mean=mean.tolist())
    images = image(4, 4, 3)
    for given in (images, tf.constant(images)):
        np.testing.assert_array_equal(layer.normalize(given), images - mean.astype("float32"))
    for given in (image(6, 4, 3), tf.constant(image(1, 4, 3))):
        with pytest.raises(UserError, match=r"of its size, 4 x 4\. Received: .*\(2, \d, 4, 3\)"):
            layer.normalize(given)
