"""Dense evaluation equals the evaluation of each window on its own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.evaluation import Dense, fully_convolutional
from keras_classics.evaluation.dense import FlattenWindows
from keras_classics.image_preprocessing import ImagePreprocessing
from keras_classics.models.builder import probabilities_of
from tests.helpers.images import photograph
from tests.helpers.networks import every_network

VGGS = every_network("vgg1*")
ALEXNETS = every_network("alexnet*") + every_network("caffenet")


def spread(model: keras.Model) -> keras.Model:
    """Sets weights with which the probabilities of the classes differ, for any initial weights."""
    draw = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if variable.path.endswith("kernel"):
            deviation = np.sqrt(2 / np.prod(variable.shape[:-1]))
            variable.assign(draw.normal(0, deviation, variable.shape))
        elif variable.path.endswith("bias"):
            variable.assign(draw.normal(0, 0.1, variable.shape))
    return model


def images(count: int, height: int, width: int | None = None) -> np.ndarray:
    """Crops of a photograph, with their mean subtracted."""
    photo = tf.image.resize(photograph(), (height + count, (width or height) + count)).numpy()
    parts = [photo[i : i + height, i : i + (width or height)] for i in range(count)]
    return np.stack(parts) - 120


def assert_dense_is_ordinary(model: keras.Model) -> None:
    x = images(2, *model.input_shape[1:3]) / 60
    expected = spread(model)(x).numpy()
    assert expected.std(axis=1).min() > 1e-3
    dense = fully_convolutional(model)
    np.testing.assert_allclose(dense(x), expected, atol=1e-5)
    assert dense.input_shape == (None, None, None, 3)


@pytest.mark.parametrize("side", [224, pytest.param(227, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n == "alexnet" else n for n in ALEXNETS]
)
def test_dense_alexnets_equal_the_ordinary_ones(name, side):
    assert_dense_is_ordinary(kc.get_model(name, classes=10, input_shape=(side, side, 3)))


@pytest.mark.parametrize("name", VGGS)
def test_narrow_dense_vggs_equal_the_ordinary_ones(name):
    narrow = {"filters": (4, 8, 8, 16, 16), "hidden": (24, 24), "classes": 10}
    assert_dense_is_ordinary(kc.get_model(name, **narrow))
    assert_dense_is_ordinary(kc.get_model(name, **narrow, input_shape=(227, 227, 3)))


@pytest.mark.slow
@pytest.mark.parametrize("side", [224, 227])
@pytest.mark.parametrize("name", VGGS)
def test_dense_vggs_equal_the_ordinary_ones(name, side):
    assert_dense_is_ordinary(kc.get_model(name, input_shape=(side, side, 3)))
    keras.backend.clear_session()


@pytest.mark.parametrize("name", ["resnet18", "resnet20"])
def test_a_dense_resnet_equals_the_one_built_at_that_size(name):
    model = spread(kc.get_model(name, classes=10))
    dense = fully_convolutional(model)
    larger = kc.get_model(name, classes=10, input_shape=(72, 104, 3))
    larger.set_weights(model.get_weights())
    x = images(2, 72, 104) / 60
    np.testing.assert_allclose(dense(x), larger(x), atol=1e-6)


def test_lenet5_has_a_dense_form():
    model = kc.lenet5()
    x = np.random.default_rng(0).uniform(size=(2, 32, 32, 1)).astype("float32")
    np.testing.assert_allclose(fully_convolutional(model)(x), model(x), atol=1e-6)


def test_the_map_holds_the_scores_at_all_positions():
    """Compares with a network without padding, applied to each window by hand."""
    side, stride = 20, 4
    image = keras.Input((side, side, 3), name="image")
    x = keras.layers.Conv2D(6, 3, activation="relu", name="conv1")(image)
    x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.Conv2D(8, 2, activation="relu", name="conv2")(x)
    x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(16, activation="relu", name="fc1")(x)
    x = keras.layers.Dropout(0.5)(x)
    scores = keras.layers.Dense(5, name="predictions")(x)
    model = spread(keras.Model(image, probabilities_of(scores)))
    of_part = keras.Model(image, scores)
    dense = fully_convolutional(model)
    scores_map = keras.Model(dense.input, dense.get_layer("map_average").input)
    photo = images(1, 43, 60) / 60
    found = scores_map(photo).numpy()[0]
    # As many places as fit: (43 - 20) // 4 + 1 by (60 - 20) // 4 + 1.
    assert found.shape == (6, 11, 5)
    for row in range(6):
        for column in range(11):
            top, left = stride * row, stride * column
            part = photo[:, top : top + side, left : left + side]
            np.testing.assert_allclose(found[row, column], of_part(part)[0], atol=1e-5)
    mean = tf.nn.softmax(found.mean(axis=(0, 1)))
    np.testing.assert_allclose(dense(photo)[0], mean, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "side", "longer", "places"),
    [
        # Five poolings by two; seven of the map make one place.
        ("vgg16", 384, 512, (6, 10)),
        # 227 + 3 zeros leave 55, 27, 13, 6; 384 and 512 leave 95, 47, 23, 11 and 127, 63, 31, 15.
        ("alexnet", 384, 512, (6, 10)),
    ],
)
def test_the_size_of_the_map(name, side, longer, places):
    narrow = {"filters": (4, 4, 4, 4, 4), "hidden": (8, 8)} if name == "vgg16" else {}
    dense = fully_convolutional(kc.get_model(name, classes=3, **narrow))
    scores_map = keras.Model(dense.input, dense.get_layer("map_average").input)
    assert scores_map(np.zeros((1, side, longer, 3), "float32")).shape == (1, *places, 3)


def test_dense_evaluates_the_whole_image_and_its_mirror_image():
    layer = ImagePreprocessing(resize=40, crop=32, mean=(1.0, 2.0, 3.0), std=(2.0, 2.0, 2.0))
    photo = np.random.default_rng(0).integers(0, 256, (1, 40, 60, 3), dtype="uint8")
    shown = Dense(layer, scales=[40, 80])
    first, second = shown(photo)
    assert (first.shape, second.shape) == ((1, 2, 40, 60, 3), (1, 2, 80, 120, 3))
    np.testing.assert_allclose(first[0, 0], (photo[0] - np.array([1, 2, 3])) / 2, rtol=1e-6)
    np.testing.assert_array_equal(first[0, 1], first[0, 0][:, ::-1])
    assert (shown.views, str(shown)) == (4, "dense, flip, scales 40 80, bilinear antialiased")
    alone = Dense(layer, flip=False, method="bicubic", antialias=False)
    assert (alone.views, str(alone)) == (1, "dense, scale 40, bicubic")


def test_a_mean_image_becomes_the_mean_of_its_channels():
    mean = np.random.default_rng(0).uniform(0, 255, (32, 32, 3))
    layer = ImagePreprocessing(resize=40, crop=32, mean=mean.tolist())
    (shown,) = Dense(layer)(np.zeros((1, 50, 50, 3), "uint8"))
    np.testing.assert_allclose(shown[0, 0, 3, 5], -mean.mean(axis=(0, 1)), rtol=1e-5)


def test_networks_without_a_dense_form_are_refused():
    with pytest.raises(UserError, match="Received: lenet5_1998 with 'distances'"):
        fully_convolutional(kc.lenet5_1998())
    layer = ImagePreprocessing(resize=256, crop=224)
    with pytest.raises(UserError, match="at least 224, the side of vgg11's input"):
        Dense(layer, scales=[200]).network(
            kc.vgg11(filters=(2, 2, 2, 2, 2), hidden=(2, 2), classes=2)
        )
    odd = kc.alexnet_owt(classes=2, input_shape=(320, 320, 3))
    with pytest.raises(UserError, match="before its adaptive pooling"):
        fully_convolutional(odd)


def test_windows_of_a_map():
    layer = FlattenWindows((2, 3))
    assert layer.compute_output_shape((None, 7, None, 4)) == (None, 6, None, 24)
    x = np.arange(2 * 4 * 5 * 1, dtype="float32").reshape(2, 4, 5, 1)
    found = layer(x).numpy()
    assert found.shape == layer.compute_output_shape(x.shape)
    np.testing.assert_array_equal(found[1, 2, 1], x[1, 2:4, 1:4].ravel())
    again = FlattenWindows.from_config(layer.get_config())
    assert again.window == (2, 3)
