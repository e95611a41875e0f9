"""Networks that are evaluated on some of their classes, and classes in another order."""

import logging

import keras
import numpy as np
import pytest

from keras_classics.errors import UserError
from keras_classics.evaluation.answers import labels_in_network
from keras_classics.models import get_model
from keras_classics.models.transfer import with_classes
from keras_classics.weights.imagenet import CLASSES, IDS

# https://github.com/fastai/imagenette: tench, English springer, cassette player, chain saw, church,
# French horn, garbage truck, gas pump, golf ball, parachute.
IMAGENETTE = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
LABELS = [0, 217, 482, 491, 497, 566, 569, 571, 574, 701]


def labels_of(names, known=CLASSES, classes=None):
    return labels_in_network("data", names, "net", known, classes or len(known))


def test_the_ten_of_imagenette_are_found():
    assert labels_of([*IMAGENETTE]) == LABELS
    assert labels_of([*reversed(IMAGENETTE)]) == LABELS[::-1]
    assert [CLASSES[label].split(",")[0] for label in LABELS] == [*IMAGENETTE.values()]
    # A network that was trained on folders named so.
    assert labels_of([*IMAGENETTE], IDS) == LABELS
    assert labels_of(["gas pump", "tench"], ["tench", "x", "gas pump"]) == [2, 0]
    assert labels_of(["574", "0", "9"]) == [574, 0, 9]


@pytest.mark.parametrize("names", [CLASSES, IDS])
def test_all_classes_in_order(names, caplog):
    assert labels_of(names) is None
    assert not caplog.messages


@pytest.mark.parametrize("names", [CLASSES, IDS])
def test_another_order_is_told(names):
    swapped = [names[1], names[0], *names[2:]]
    with pytest.raises(UserError, match=r"of net in another order: label 0 is .*--classes=FILE"):
        labels_of(swapped)


def test_other_names(caplog):
    with caplog.at_level(logging.WARNING, "keras_classics"):
        assert labels_of(("a", "b"), ("0", "1")) is None
    assert caplog.messages == [
        "data and net name their classes differently: label 0 is a and 0. They are taken in the "
        "order of their labels."
    ]
    with pytest.raises(UserError, match=r"data has 2 classes. Received: net with 1,?000"):
        labels_of(("a", "b"))
    with pytest.raises(UserError, match=r"Received 2 others: cat, dog. Use a network"):
        labels_of(["n01440764", "cat", "dog"])
    with pytest.raises(UserError, match="data has 2 classes. Received: net with 3"):
        labels_of(("a", "b"), None, 3)
    assert labels_of(("a", "b"), None, 2) is None


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("lenet5", {}),
        pytest.param("resnet20", {"input_shape": (32, 32, 3)}, marks=pytest.mark.slow),
        ("vgg11", {"filters": (4, 4, 8, 8, 8), "hidden": (8, 8), "input_shape": (32, 32, 3)}),
    ],
)
def test_some_classes_are_the_condition(name, arguments):
    model = get_model(name, classes=10, **arguments)
    few = with_classes(model, [7, 2, 5])
    images = np.random.default_rng(0).normal(size=(6, *model.input_shape[1:])).astype("float32")
    chosen = model.predict(images, verbose=0)[:, [7, 2, 5]]
    expected = chosen / chosen.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(few.predict(images, verbose=0), expected, atol=2e-6)
    assert few.name == model.name


def test_networks_without_a_dense_end():
    with pytest.raises(UserError, match="ends in a dense layer can answer with some of its classe"):
        with_classes(get_model("lenet5_1998"), [1, 2])
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Softmax()(keras.layers.Dense(3)(inputs)))
    assert with_classes(model, [1]).output_shape == (None, 1)
