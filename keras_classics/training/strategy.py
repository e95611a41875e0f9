"""Which devices train, and how they share a batch."""

import tensorflow as tf

from keras_classics.errors import UserError, unknown_name

STRATEGIES = ("auto", "mirrored", "one_device")


def make_strategy(name: str = "auto", num_replicas: int | None = None) -> tf.distribute.Strategy:
    """Makes the strategy that a program trains with.

    Args:
        name: `one_device`: the first GPU, or the CPU. `mirrored`: all GPUs of this machine, or
            logical CPUs where it has none. `auto`: `mirrored` where there is more than one GPU or
            `num_replicas` is given, `one_device` elsewhere.
        num_replicas: How many GPUs or logical CPUs `mirrored` takes; None for all GPUs, or one CPU.

    Raises:
        UserError: The name is unknown, or the replicas cannot be had.
    """
    if name not in STRATEGIES:
        raise unknown_name("strategy", name, STRATEGIES)
    gpus = tf.config.list_physical_devices("GPU")
    if name == "auto":
        name = "mirrored" if len(gpus) > 1 or num_replicas else "one_device"
    if name == "one_device":
        if num_replicas not in (None, 1):
            raise UserError(
                f"one_device has one replica. Received: num_replicas={num_replicas}. "
                "Take strategy mirrored."
            )
        return tf.distribute.OneDeviceStrategy("/GPU:0" if gpus else "/CPU:0")
    count = num_replicas or len(gpus) or 1
    if gpus:
        if count > len(gpus):
            raise UserError(f"This machine has {len(gpus)} GPUs. Received: num_replicas={count}.")
        return tf.distribute.MirroredStrategy([f"/GPU:{i}" for i in range(count)])
    _split_cpu(count)
    return tf.distribute.MirroredStrategy([f"/CPU:{i}" for i in range(count)])


def _split_cpu(count: int) -> None:
    """Makes logical CPUs; TensorFlow allows that only before it has used the CPU."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    except RuntimeError as error:
        if len(tf.config.list_logical_devices("CPU")) < count:
            raise UserError(
                f"TensorFlow runs already, with fewer than {count} logical CPUs. Make the strategy "
                "first of all."
            ) from error
