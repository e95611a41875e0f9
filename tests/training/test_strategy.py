"""Strategies by name."""

import pytest
import tensorflow as tf

from keras_classics.errors import UserError
from keras_classics.training import make_strategy
from keras_classics.training.strategy import strategy_metadata
from tests.helpers.replicas import mirrored


def test_names():
    assert isinstance(make_strategy("one_device"), tf.distribute.OneDeviceStrategy)
    assert isinstance(make_strategy("auto"), tf.distribute.OneDeviceStrategy)
    assert make_strategy("auto", 2).num_replicas_in_sync == 2
    assert make_strategy("mirrored").num_replicas_in_sync == 1
    assert make_strategy("mirrored", 3).num_replicas_in_sync == 3


@pytest.mark.parametrize(
    ("strategy", "name", "devices"),
    [
        (tf.distribute.get_strategy, "one_device", ["CPU:0"]),
        (lambda: make_strategy("one_device"), "one_device", ["CPU:0"]),
        (lambda: mirrored(2), "mirrored", ["CPU:0", "CPU:1"]),
    ],
)
def test_what_a_run_says_of_its_devices(strategy, name, devices):
    assert strategy_metadata(strategy()) == {
        "strategy": name,
        "workers": 1,
        "replicas": len(devices),
        "devices": devices,
    }


def test_trainings_of_several_sizes_in_one_process():
    for size in (7, 3, 5):
        strategy = mirrored(2)

        @tf.function
        def summed(strategy=strategy, size=size):
            def on_replica():
                return tf.distribute.get_replica_context().all_reduce("SUM", tf.ones(size))

            return strategy.run(on_replica)

        assert summed().values[0].numpy().tolist() == [2] * size


def test_errors():
    with pytest.raises(UserError, match="Unknown strategy 'mirored'. Did you mean mirrored"):
        make_strategy("mirored")
    with pytest.raises(UserError, match="one_device has one replica. Received: num_replicas=2"):
        make_strategy("one_device", 2)
    with pytest.raises(UserError, match="fewer than 9 logical CPUs"):
        make_strategy("mirrored", 9)


@pytest.mark.parametrize(
    "config",
    [
        "{",
        "[]",
        '{"cluster": {"worker": ["a:1", "b:1"]}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "chief", "index": 0}}',
        '{"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}',
    ],
)
def test_a_tf_config_that_is_not_right(monkeypatch, config):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(UserError, match="TF_CONFIG must be JSON such as .* Received: "):
        make_strategy("multi_worker")


def test_several_workers_have_to_be_named(monkeypatch):
    for name in ("TF_CONFIG", "SLURM_STEP_NODELIST"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="needs the environment variable TF_CONFIG"):
        make_strategy("multi_worker")
    with pytest.raises(UserError, match="Leave out num_replicas"):
        make_strategy("multi_worker", 2)
