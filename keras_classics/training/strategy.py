"""Devices for training, on one machine or several, and communication between workers."""

import itertools
import json
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_classics.errors import UserError, short_reason, unknown_name

# Integers that workers exchange at once outside of training.
CHUNK = 2**24

# Maximum number of tasks of a Slurm job on one machine.
MAX_TASKS = 1024

# Far more keys than the groups of devices that one strategy makes.
_COLLECTIVE_KEYS = itertools.count(step=100_000)

STRATEGIES = ("auto", "multi_worker", "mirrored", "one_device")


def make_strategy(name: str = "auto", num_replicas: int | None = None) -> tf.distribute.Strategy:
    """Returns a strategy for training. Call it before any other use of TensorFlow.

    Args:
        name: `one_device`: the first GPU, or the CPU. `mirrored`: all GPUs of this machine, or
            logical CPUs if it has none. `multi_worker`: all GPUs, or the CPU, of each machine that
            TF_CONFIG names, or that Slurm gave to this job. `auto`: `multi_worker` if TF_CONFIG
            names more than one worker, else `mirrored` if there is more than one GPU or
            `num_replicas` is given, else `one_device`.
        num_replicas: Number of GPUs (or logical CPUs) for `mirrored`; None for all GPUs, or one
            CPU.

    Raises:
        UserError: If the name is unknown, or the replicas or workers are not available.
    """
    if name not in STRATEGIES:
        raise unknown_name("strategy", name, STRATEGIES)
    gpus = tf.config.list_physical_devices("GPU")
    if name == "auto":
        name = "mirrored" if len(gpus) > 1 or num_replicas else "one_device"
        if len(_tf_config().get("cluster", {}).get("worker", [])) > 1:
            name = "multi_worker"
    if name == "multi_worker":
        return _multi_worker(num_replicas)
    if name == "one_device":
        if num_replicas not in (None, 1):
            raise UserError(
                f"one_device has one replica. Received: num_replicas={num_replicas}. "
                "Use strategy mirrored."
            )
        return tf.distribute.OneDeviceStrategy("/GPU:0" if gpus else "/CPU:0")
    count = num_replicas or len(gpus) or 1
    if gpus:
        if count > len(gpus):
            raise UserError(f"This machine has {len(gpus)} GPUs. Received: num_replicas={count}.")
    else:
        _split_cpu(count)
    return _mirrored([f"/{'GPU' if gpus else 'CPU'}:{i}" for i in range(count)])


def strategy_metadata(strategy: tf.distribute.Strategy) -> dict[str, Any]:
    """Returns what `environment.json` says about a strategy.

    Returns:
        `strategy`: its name in `STRATEGIES`; `workers` and `replicas`: their numbers; `devices`:
        the devices of this worker, one for each of its replicas.
    """
    resolver = strategy.cluster_resolver
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        name = "multi_worker"
    elif isinstance(strategy, tf.distribute.MirroredStrategy):
        name = "mirrored"
    else:
        name = "one_device"
    return {
        "strategy": name,
        "workers": 1 if resolver is None else resolver.cluster_spec().num_tasks("worker"),
        "replicas": strategy.num_replicas_in_sync,
        "devices": [device.rpartition("device:")[2] for device in _devices(strategy)],
    }


def _devices(strategy: tf.distribute.Strategy) -> Sequence[str]:
    try:
        return strategy.extended.worker_devices
    except RuntimeError:
        # TensorFlow's default strategy does not know its device.
        kinds = (tf.config.list_logical_devices(kind) for kind in ("GPU", "CPU"))
        return [next(devices[0].name for devices in kinds if devices)]


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether this process is the chief, the one that writes files."""
    resolver = strategy.cluster_resolver
    return resolver is None or resolver.task_id in (None, 0)


def from_chief(strategy: tf.distribute.Strategy, content: bytes | None) -> bytes:
    """Returns the chief's bytes on every worker.

    Args:
        strategy: All its workers must call this at the same point.
        content: The chief's bytes; those of other workers are ignored.
    """
    if strategy.cluster_resolver is None:
        return content
    summed = _sum_of_first_replica(strategy)
    content = content if is_chief(strategy) else b""
    size = int(summed(np.array([len(content)], "int32"))[0])
    words = np.zeros(-(-size // 4), "int32")
    words.view("uint8")[: len(content)] = np.frombuffer(content, "uint8")
    # In chunks, so that a gigabyte of weights does not need several gigabytes more.
    chunks = [summed(words[i : i + CHUNK]) for i in range(0, len(words), CHUNK)]
    return b"".join(chunk.tobytes() for chunk in chunks)[:size]


def _sum_of_first_replica(strategy: tf.distribute.Strategy) -> Callable[[np.ndarray], np.ndarray]:
    """Returns a function that returns the first replica's integers on each worker."""

    def on_replica(words: tf.Tensor) -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        mine = tf.where(context.replica_id_in_sync_group == 0, words, 0)
        return context.all_reduce(tf.distribute.ReduceOp.SUM, mine)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)], autograph=False)
    def on_replicas(words):
        return strategy.experimental_local_results(strategy.run(on_replica, args=(words,)))[0]

    return lambda words: on_replicas(tf.constant(words)).numpy()


def _mirrored(devices: Sequence[str]) -> tf.distribute.Strategy:
    # TensorFlow numbers the sums of every mirrored strategy from the same key, and keeps their
    # shapes for as long as the process lives: a second training, of another size, would stop with
    # "Shape mismatch in the collective instance". So each strategy gets keys of its own.
    keys = {"_collective_key_base": next(_COLLECTIVE_KEYS)}
    return type("MirroredStrategy", (tf.distribute.MirroredStrategy,), keys)(devices)


def _tf_config() -> dict:
    try:
        config = json.loads(os.environ.get("TF_CONFIG") or "{}")
        workers = config.get("cluster", {}).get("worker", [])
        task = config.get("task", {})
        wrong = not isinstance(workers, list) or (
            workers and (task["type"] != "worker" or not 0 <= int(task["index"]) < len(workers))
        )
    except (ValueError, TypeError, KeyError, AttributeError):
        wrong = True
    if wrong:
        raise UserError(
            'TF_CONFIG must be JSON such as {"cluster": {"worker": ["host0:12345", '
            '"host1:12345"]}, "task": {"type": "worker", "index": 0}}, with an index for each '
            f"worker, from 0. Received: {os.environ['TF_CONFIG']!r}."
        )
    return config


def _multi_worker(num_replicas: int | None) -> tf.distribute.Strategy:
    if num_replicas is not None:
        raise UserError(
            "multi_worker uses all GPUs of each worker, or its CPU. Leave out num_replicas."
        )
    if _tf_config().get("cluster"):
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    elif "SLURM_STEP_NODELIST" in os.environ:
        # Slurm has decided which GPUs a task sees. The resolver counts them even if it does not
        # assign them, and cannot count none.
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            gpus_per_node=MAX_TASKS, gpus_per_task=1, auto_set_gpu=False
        )
    else:
        raise UserError(
            "multi_worker needs the environment variable TF_CONFIG on each machine, or a Slurm job "
            "step (srun). Received: neither."
        )
    # By default TensorFlow sums over gRPC between machines, also between GPUs.
    ways = tf.distribute.experimental.CommunicationImplementation
    way = ways.NCCL if tf.config.list_physical_devices("GPU") else ways.AUTO
    options = tf.distribute.experimental.CommunicationOptions(implementation=way)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(resolver, communication_options=options)
    except (tf.errors.OpError, RuntimeError) as error:
        raise UserError(
            f"The workers of {resolver.cluster_spec().as_dict()} could not connect, "
            f"task {resolver.task_id}: {short_reason(error)}"
        ) from error


def _split_cpu(count: int) -> None:
    """Creates logical CPUs; TensorFlow allows that only before it has used the CPU."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    except RuntimeError as error:
        if len(tf.config.list_logical_devices("CPU")) < count:
            raise UserError(
                f"TensorFlow has started already, with fewer than {count} logical CPUs. Create the "
                "strategy before any other use of TensorFlow."
            ) from error
