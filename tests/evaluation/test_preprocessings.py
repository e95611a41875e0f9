"""The preprocessing of trained networks is found among eight by their answers."""

from pathlib import Path

import numpy as np
import pytest

import keras_classics as kc
from keras_classics.data import Split
from keras_classics.errors import UserError
from keras_classics.evaluation import preprocessings
from keras_classics.evaluation.preprocessings import (
    compare_preprocessings,
    eight_preprocessings,
    p_value,
)

SAMPLE = Path(__file__).parents[1] / "golden" / "fashion_mnist_sample.npz"


@pytest.fixture(
    params=[
        "lenet5/digits",
        "lenet5/fashion_mnist",
        pytest.param("resnet20/fashion_mnist", marks=pytest.mark.slow),
    ]
)
def trained(request, monkeypatch):
    """A network that comes with trained weights, the name of its data set, and its own layer."""
    name, _, dataset = request.param.partition("/")
    if dataset == "fashion_mnist":
        with np.load(SAMPLE) as sample:
            split = Split(sample["images"], sample["labels"])
        classes = tuple(map(str, range(10)))
        monkeypatch.setattr(preprocessings, "load_test", lambda *_: (split, classes))
    return kc.get_model(name, weights=dataset), dataset, kc.preprocessing(request.param)


def test_the_trained_networks_find_theirs(trained):
    model, dataset, own = trained
    best, *others = answers = compare_preprocessings(model, dataset, limit=200)
    assert len(answers) == 8
    found, expected = best.preprocessing.get_config(), own.get_config()
    assert {**found, "name": ""} == {**expected, "name": ""}
    assert all(best.accuracy >= other.accuracy for other in others)
    low, high = best.interval
    assert 0 < low < best.accuracy < high <= 1
    assert 0 <= p_value(answers) <= 1


def test_eight_for_photographs():
    found = eight_preprocessings(224, 3)
    assert len(found) == 8
    torch = kc.preprocessing("resnet50/imagenet_torchvision").get_config()
    assert any({**layer.get_config(), "name": torch["name"]} == torch for layer in found.values())
    with pytest.raises(UserError, match="have 3 channels"):
        eight_preprocessings(224, 1)


def test_other_classes_are_refused():
    with pytest.raises(UserError, match="digits has 10 classes"):
        compare_preprocessings(kc.lenet5(classes=3), "digits")
