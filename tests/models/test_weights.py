"""Weights of a file: whole or not at all."""

import numpy as np
import pytest

import keras_classics as kc
from keras_classics.errors import UserError
from keras_classics.weights import load_weights


def assert_refused(path) -> None:
    """The file does not load, and leaves the model as it was."""
    model = kc.lenet5()
    before = model.get_weights()
    with pytest.raises(UserError, match="do not fit lenet5"):
        load_weights(model, path)
    for was, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


def test_a_path_that_is_no_weights_file(tmp_path):
    with pytest.raises(UserError, match=r"a \.weights\.h5 file. Received: 'imagenet'"):
        kc.lenet5(weights="imagenet")
    with pytest.raises(UserError, match="does not exist"):
        kc.lenet5(weights=str(tmp_path / "none.weights.h5"))


@pytest.mark.parametrize("kept", [0, 100, 3000, 100_000])
def test_a_file_cut_short_leaves_the_model_as_it_was(tmp_path, kept):
    path = tmp_path / "a.weights.h5"
    kc.lenet5().save_weights(path)
    path.write_bytes(path.read_bytes()[:kept])
    assert_refused(path)


def test_weights_of_another_network_leave_the_model_as_it_was(tmp_path):
    path = tmp_path / "a.weights.h5"
    kc.lenet5(classes=7).save_weights(path)
    assert_refused(path)
