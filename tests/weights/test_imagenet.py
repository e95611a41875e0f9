"""ImageNet's classes and the most probable ones of an image."""

import numpy as np
import pytest

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.weights.decode import decode_predictions
from keras_classics.weights.imagenet import CLASSES, IDS


def test_classes():
    assert len(CLASSES) == len(IDS) == len(set(IDS)) == 1000
    assert list(IDS) == sorted(IDS)
    assert (IDS[0], CLASSES[0]) == ("n01440764", "tench")
    # A name may be of several words.
    assert any(" " in name for name in CLASSES)


def test_the_best_come_first_and_of_equal_ones_the_lower():
    predictions = np.zeros((2, 1000), "float32")
    predictions[0, [7, 3, 999]] = [0.5, 0.2, 0.3]
    first, second = decode_predictions(predictions)
    assert [CLASSES.index(name) for _, name, _ in first] == [7, 999, 3, 0, 1]
    assert first[0] == (IDS[7], CLASSES[7], 0.5)
    assert [identity for identity, _, _ in second] == list(IDS[:5])
    assert [len(row) for row in decode_predictions(predictions, top=2)] == [2, 2]


@pytest.mark.parametrize("shape", [(1000,), (1, 999), (1, 1, 1000)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(UserError, match=r"of shape \(images, 1000\)"):
        decode_predictions(np.zeros(shape))


@pytest.mark.parametrize("name", ["lenet5/digits", "lenet5/fashion_mnist", "resnet20"])
def test_packaged_weights_know_their_labels(name):
    labels = kc.find_weights(name).labels
    predictions = np.eye(10)[[3, 8]]
    (first, *_), (second, *_) = decode_predictions(predictions, weights=name)
    assert first == ("3", labels[3], 1.0)
    assert second == ("8", labels[8], 1.0)
    with pytest.raises(UserError, match=r"weights='lenet5/digits' or 'lenet5/fashion_mnist' or"):
        decode_predictions(predictions)
    with pytest.raises(UserError, match=r"of shape \(images, 10\), for the classes of"):
        decode_predictions(np.ones((1, 1000)), weights=name)


def test_preprocessing_of_the_only_weights():
    images = np.zeros((1, 32, 32, 1), "float32")
    expected = kc.preprocess_input(images, "resnet20", "fashion_mnist")
    np.testing.assert_array_equal(kc.preprocess_input(images, "resnet20"), expected)
    with pytest.raises(UserError, match="lenet5 has several weights. Name one of them: lenet5/d"):
        kc.preprocess_input(images, "lenet5")
