"""Replicas on the logical CPUs that `tests/fixtures.py` makes."""

import tensorflow as tf

from keras_classics.training import make_strategy

REPLICAS = 3


def mirrored(replicas: int) -> tf.distribute.Strategy:
    return make_strategy("mirrored", replicas)
