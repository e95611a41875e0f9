"""Replicas on the logical CPUs that `conftest.py` makes."""

import tensorflow as tf

REPLICAS = 3


def mirrored(replicas: int) -> tf.distribute.Strategy:
    return tf.distribute.MirroredStrategy([f"/CPU:{i}" for i in range(replicas)])
