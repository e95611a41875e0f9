"""The same training on one device, on logical CPUs and on workers of this machine."""

import signal
from pathlib import Path

import numpy as np
import pytest

from keras_classics.data import plan
from keras_classics.training import make_strategy
from tests.helpers.distributed import PLAIN, STEPS, steps
from tests.helpers.runs import assert_same_bits
from tests.helpers.workers import worker_configs


@pytest.fixture
def statuses(programs):
    """Runs a kind of training in several processes at once; returns how they ended."""

    def run(kind: str, out: Path, *environments: dict[str, str]) -> list[int]:
        command = "-m", "tests.helpers.distributed", kind, str(out)
        ended = programs.run_together(command, environments)
        for done in ended:
            print(done.stdout[-3000:], done.stderr[-3000:])
        return [done.returncode for done in ended]

    return run


def workers(count: int, **environment: str) -> list[dict[str, str]]:
    """The environment of each worker."""
    configs = worker_configs(count)
    return [{"STRATEGY": "multi_worker", "TF_CONFIG": config, **environment} for config in configs]


@pytest.fixture(scope="module")
def on_one_device():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "BLOCK_STEPS", 1)
        return steps(PLAIN, make_strategy("one_device"))


@pytest.mark.parametrize(
    ("strategy", "count"),
    [
        ("multi_worker", 2),
        pytest.param("mirrored", 2, marks=pytest.mark.slow),
        pytest.param("mirrored", 4, marks=pytest.mark.slow),
        pytest.param("multi_worker", 4, marks=pytest.mark.slow),
    ],
)
def test_replicas_train_as_one_device_does(tmp_path, statuses, on_one_device, strategy, count):
    if strategy == "mirrored":
        processes = [{"STRATEGY": strategy, "REPLICAS": str(count)}]
    else:
        processes = workers(count)
    assert set(statuses("steps", tmp_path, *processes)) == {0}
    found = [dict(np.load(tmp_path / f"{i}.npz")) for i in range(len(processes))]
    # Each global batch is that of one device, in parts.
    batches = np.concatenate([worker["labels"] for worker in found], axis=1)
    assert batches.shape == (STEPS, count, PLAIN.batch_size // count)
    np.testing.assert_array_equal(
        batches.reshape(STEPS, -1), on_one_device["labels"].reshape(STEPS, -1)
    )
    names = [name for name in on_one_device if name.startswith("variable_")]
    assert len(names) > 20
    for worker in found:
        np.testing.assert_allclose(worker["losses"], on_one_device["losses"], rtol=1e-5)
        np.testing.assert_allclose(worker["test_loss"], on_one_device["test_loss"], rtol=1e-5)
        for name in names:
            for copy in worker[name]:
                np.testing.assert_array_equal(copy, found[0][name][0], err_msg=name)
            np.testing.assert_allclose(worker[name][0], on_one_device[name][0], atol=1e-5)


@pytest.mark.slow
def test_workers_of_a_slurm_job(tmp_path, statuses, on_one_device):
    # Slurm itself is not here: the variables that srun sets are.
    job = {
        "STRATEGY": "multi_worker",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_TASKS_PER_NODE": "2",
    }
    tasks = [{**job, "SLURM_PROCID": str(task)} for task in range(2)]
    assert statuses("steps", tmp_path, *tasks) == [0, 0]
    losses = np.load(tmp_path / "1.npz")["losses"]
    np.testing.assert_allclose(losses, on_one_device["losses"], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_moving_statistics_are_the_mean_over_replicas_and_equal_on_all(tmp_path, statuses, count):
    process = {"STRATEGY": "mirrored", "REPLICAS": str(count), "RECIPE": "normalized"}
    assert statuses("steps", tmp_path, process) == [0]
    got = dict(np.load(tmp_path / "0.npz"))
    for name in got:
        if name.startswith("variable_"):
            for copy in got[name]:
                np.testing.assert_array_equal(copy, got[name][0], err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("dies", ["1:7", "0:11"])
def test_a_run_of_two_workers_one_of_which_is_killed_goes_on_to_the_same_bits(
    tmp_path, statuses, dies
):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert statuses("run", whole, *workers(2, RECIPE="normalized")) == [0, 0]
    codes = statuses("run", cut, *workers(2, RECIPE="normalized", DIES=dies))
    killed = int(dies[0])
    assert codes[killed] == -signal.SIGKILL
    assert codes[1 - killed] == 75
    assert not (cut / "result.json").exists()
    assert statuses("run", cut, *workers(2, RECIPE="normalized")) == [0, 0]
    assert_same_bits(whole, cut)
