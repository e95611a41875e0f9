"""Preprocessing of published weights, and names of the classes."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.image_preprocessing import ImagePreprocessing
from keras_classics.weights.imagenet import IDS
from tests.helpers import presets
from tests.helpers.images import photograph

RGB = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3)).astype("uint8")


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("vgg16/imagenet_keras", keras.applications.vgg16),
        ("resnet50/imagenet_keras", keras.applications.resnet),
        ("resnet50/imagenet_keras_v2", keras.applications.resnet_v2),
    ],
)
def test_arithmetic_is_that_of_keras(name, theirs):
    expected = theirs.preprocess_input(RGB.astype("float32"))
    model, weights = name.split("/")
    found = kc.preprocess_input(RGB, model=model, weights=weights)
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    tensor = kc.preprocess_input(tf.constant(RGB), model=model, weights=weights)
    np.testing.assert_allclose(tensor, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("version", presets.VERSIONS)
def test_arithmetic_is_that_of_torchvision(version):
    stored = json.loads(presets.PATH.read_text())[version]
    found = kc.preprocess_input(presets.noise(), "resnet50", f"imagenet_torchvision{version}")
    np.testing.assert_allclose(presets.some(found), stored["arithmetic"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("version", presets.VERSIONS)
def test_a_photograph_is_preprocessed_as_by_torchvision(version):
    """torchvision rounds to integers twice: differences below 2 of 255, a third of 1 on average."""
    stored = json.loads(presets.PATH.read_text())[version]
    layer = kc.preprocessing(f"resnet50/imagenet_torchvision{version}")
    found = presets.some(layer(photograph()[np.newaxis])[0].numpy())
    level = 1 / (255 * 0.225)
    distance = np.abs(found - stored["photograph"]) / level
    assert distance.max() < 2
    assert distance.mean() < 0.4


@settings(max_examples=30, deadline=None)
@given(height=st.integers(20, 300), width=st.integers(20, 300), resize=st.integers(16, 64))
def test_resizing_is_that_of_pillow(height, width, resize):
    photo = photograph()[60 : 60 + height, 200 : 200 + width]
    crop = resize - resize // 8
    found = ImagePreprocessing(resize, crop).resize(photo[np.newaxis])[0].numpy()
    short = min(height, width)
    size = (int(resize * width / short), int(resize * height / short))
    resized = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BILINEAR))
    top, left = round((size[1] - crop) / 2), round((size[0] - crop) / 2)
    expected = resized[top : top + crop, left : left + crop].astype("float32")
    assert np.abs(found - expected).max() < 2
    assert np.abs(found - expected).mean() < 0.4


def test_an_image_of_the_right_size_is_cropped_alone():
    image = RGB[:, :200, :160]
    found = ImagePreprocessing(160, 150).resize(image).numpy()
    np.testing.assert_array_equal(found, image[:, 25:175, 5:155].astype("float32"))


def test_grey_images_and_batches_in_a_graph():
    layer = kc.preprocessing("resnet18/imagenet_torchvision")
    grey = RGB[..., :1]
    coloured = np.repeat(grey, 3, axis=-1)
    np.testing.assert_allclose(layer(grey), layer(coloured))

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)])
    def prepared(images):
        return layer(images)

    assert prepared.get_concrete_function().output_shapes == (None, 224, 224, 3)
    np.testing.assert_allclose(prepared(RGB), layer(RGB), atol=1e-5)


def test_layers_save_and_load(tmp_path):
    layer = kc.preprocessing("vgg16/imagenet_keras")
    model = keras.Sequential([keras.Input((None, None, 3), dtype="uint8"), layer])
    model.save(tmp_path / "a.keras")
    loaded = keras.models.load_model(tmp_path / "a.keras")
    np.testing.assert_array_equal(loaded(RGB), layer(RGB))
    assert loaded.layers[-1].get_config()["bgr"] is True


def test_wrong_sizes_are_refused():
    with pytest.raises(UserError, match="crop must be at most resize, 200. Received: 224"):
        ImagePreprocessing(resize=200)
    with pytest.raises(UserError, match="Unknown weights 'resnet50/imagenets'"):
        kc.preprocessing("resnet50/imagenets")


def test_names_of_the_classes():
    names = kc.find_weights("resnet50/imagenet").labels
    assert len(names) == 1000
    assert (names[0], names[281], names[999]) == ("tench", "tabby", "toilet tissue")
    scores = np.zeros((2, 1000))
    scores[0, 0], scores[0, 7], scores[1, 999] = 0.7, 0.2, 0.9
    first, second = kc.decode_predictions(scores, top=2)
    assert first == [("n01440764", "tench", 0.7), ("n01514668", "cock", 0.2)]
    assert second[0] == ("n15075141", "toilet tissue", 0.9)
    assert len(kc.decode_predictions(tf.constant(scores))[0]) == 5
    with pytest.raises(UserError, match=r"shape \(images, 1000\).*Received: \(2, 10\)"):
        kc.decode_predictions(scores[:, :10])


def test_ids_of_the_classes_are_in_order():
    labels = Path(tfds.__file__).parent / "datasets" / "imagenet2012" / "labels.txt"
    assert list(IDS) == labels.read_text().split() == sorted(IDS)
