"""The packaged weights have the accuracies that their records state."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

import keras_classics as kc
from keras_classics.data import Split, load
from keras_classics.errors import UserError
from keras_classics.weights import records

NAMES = ("lenet5/digits", "lenet5/fashion_mnist", "resnet20/fashion_mnist")

# 500 of Fashion-MNIST's 10,000 test images (Zalando, MIT licence), for machines without the whole
# set, and how many of them each network has right.
SAMPLE = Path(__file__).parents[1] / "golden" / "fashion_mnist_sample.npz"
RIGHT = {"lenet5/fashion_mnist": 452, "resnet20/fashion_mnist": 462}


def hits(name: str, split: Split) -> int:
    """Returns how many images a network with packaged weights classifies correctly."""
    model_name, weights = name.split("/")
    model = kc.get_model(model_name, weights=weights)
    preprocessing = kc.preprocessing(name)
    probabilities = [
        model.predict(preprocessing(split.images[start : start + 1000]), verbose=0)
        for start in range(0, len(split), 1000)
    ]
    return int((np.concatenate(probabilities).argmax(axis=1) == split.labels).sum())


def test_all_of_digits(digits):
    right = hits("lenet5/digits", digits.test)
    assert 100 * right / len(digits.test) == pytest.approx(kc.find_weights("lenet5/digits").top1)


@pytest.mark.parametrize("name", RIGHT)
def test_a_sample_of_fashion_mnist(name):
    with np.load(SAMPLE) as sample:
        split = Split(sample["images"], sample["labels"])
    assert hits(name, split) == pytest.approx(RIGHT[name], abs=1)
    assert len(split) == 500


@pytest.mark.slow
@pytest.mark.parametrize("name", RIGHT)
def test_all_of_fashion_mnist(name):
    if not tfds.builder("fashion_mnist").is_prepared():
        pytest.skip("Fashion-MNIST is not on this machine: make data")
    test = load("fashion_mnist").test
    record = kc.find_weights(name)
    # An image on the border between two classes may fall to either side on another machine.
    assert 100 * hits(name, test) / len(test) == pytest.approx(record.top1, abs=0.02)
    with np.load(SAMPLE) as sample:
        np.testing.assert_array_equal(sample["images"], test.limited(500).images)


@pytest.mark.parametrize("name", NAMES)
def test_records_of_our_own(name):
    record = kc.find_weights(name)
    assert name in kc.list_weights()
    assert len(record.labels) == 10
    assert "seed 0" in record.origin
    assert "single view, whole test split" in record.protocol
    assert record.fetch().stat().st_size < 1_500_000


def test_a_damaged_packaged_file(monkeypatch, tmp_path):
    monkeypatch.setattr(records, "OWN", tmp_path)
    (tmp_path / "lenet5_digits.weights.h5").write_bytes(b"")
    with pytest.raises(UserError, match="is missing or damaged. Reinstall keras-classics"):
        kc.lenet5(weights="digits")
