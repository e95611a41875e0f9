"""Strategies by name."""

import pytest
import tensorflow as tf

from keras_classics.errors import UserError
from keras_classics.training import make_strategy


def test_names():
    assert isinstance(make_strategy("one_device"), tf.distribute.OneDeviceStrategy)
    assert isinstance(make_strategy("auto"), tf.distribute.OneDeviceStrategy)
    assert make_strategy("auto", 2).num_replicas_in_sync == 2
    assert make_strategy("mirrored").num_replicas_in_sync == 1
    assert make_strategy("mirrored", 3).num_replicas_in_sync == 3


def test_errors():
    with pytest.raises(UserError, match="Unknown strategy 'mirored'. Did you mean mirrored"):
        make_strategy("mirored")
    with pytest.raises(UserError, match="one_device has one replica. Received: num_replicas=2"):
        make_strategy("one_device", 2)
    with pytest.raises(UserError, match="fewer than 9 logical CPUs"):
        make_strategy("mirrored", 9)
