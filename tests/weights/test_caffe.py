"""Caffe's files: outputs equal to OpenCV's importer, and what must not load."""

import json

import keras
import numpy as np
import pytest

import keras_classics as kc
from keras_classics.weights import load_weights
from tests.helpers import caffe_files, forked
from tests.helpers.stored_outputs import assert_near

GOLDENS = json.loads(caffe_files.PATH.read_text())

# The others, of 100 to 550 MB, take their time; ResNet-50 is as large as it was published.
QUICK = ("resnet50", "small alexnet", "small caffenet", "narrow vgg16")


def scores(model: keras.Model) -> np.ndarray:
    """A network's scores for the image of Caffe's network."""
    image = caffe_files.image(model.input_shape[1]).transpose(0, 2, 3, 1)
    return model.predict(image, verbose=0)[0]


@pytest.mark.parametrize(
    "case", [c if c in QUICK else pytest.param(c, marks=pytest.mark.slow) for c in GOLDENS]
)
def test_outputs_equal_those_of_opencv(case, tmp_path):
    name, arguments, layers, side = caffe_files.CASES[case]
    # The first generation has no BatchNorm; the published CaffeNet is of the second.
    generations = {"resnet50": (False,), "small alexnet": (True,), "small caffenet": (False,)}
    for first in generations.get(case, (False, True)):
        path = caffe_files.write(tmp_path / "a.caffemodel", layers, first)
        model = kc.get_model(
            name,
            weights=path,
            classifier_activation=None,
            kernel_initializer="zeros",
            input_shape=(side, side, 3),
            **arguments,
        )
        assert_near(scores(model), GOLDENS[case])


@pytest.mark.slow
@pytest.mark.parametrize("form", ["packed", "unpacked"])
def test_vgg16_takes_little_more_memory_than_its_file(form, tmp_path):
    _, _, layers, _ = caffe_files.CASES["vgg16"]
    path = caffe_files.write(tmp_path / "a.caffemodel", layers, first=True, form=form)
    model = kc.vgg16(kernel_initializer="zeros")
    size = sum(variable.numpy().nbytes for variable in model.weights)

    def work():
        load_weights(model, path)
        yield bool((model.get_layer("predictions").kernel.numpy() != 0).any())

    outcome = forked.run(work, timeout=600)
    assert not outcome.ended
    ((loaded, growth),) = outcome.yielded
    print(f"{form}: {growth / 1e6:,.0f} MB beyond the model, {growth / size:.2f} of its size")
    assert loaded
    assert growth < 1.2 * size
