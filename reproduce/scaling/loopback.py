"""Times of all-reduces, alone and in training, with workers that are processes of one machine.

`python -m reproduce.scaling --measure` starts them, on Linux. Each worker has one thread and one
core, which workers share if there are fewer cores than workers. A cluster measures, in turns:

- an all-reduce of a number of bytes, without training;
- a training step of each network by the project's own loop, in which workers sum their gradients;
- the same step of independent workers, all at the same time. This is the time for computing when
  the cores are shared; the rest of the time is the all-reduce.
"""

import dataclasses
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_classics import files
from keras_classics.data import load
from keras_classics.environment import current_environment
from keras_classics.errors import UserError
from keras_classics.training import Momentum, Recipe, make_strategy
from keras_classics.training.schedules import Constant
from keras_classics.training.trainer import Trainer
from reproduce.scaling.model import reduced_bytes

# Turns of each measurement, of which the median counts.
TURNS = 5

# Bytes of the all-reduces without training.
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000)
# An all-reduce is repeated until about this many bytes are summed, or this many times.
TURN_BYTES, TURN_TIMES = 20_000_000, 50

# Steps of a turn.
STEPS = 3

# Seconds until a cluster is stopped.
PATIENCE = 420


@dataclasses.dataclass(frozen=True)
class Load:
    """A training to measure.

    Attributes:
        network: Name of the network.
        batch: Batch size of each worker.
    """

    network: str
    batch: int


# A network with its parameters in convolutions, and one with most of them in dense layers.
LOADS = (Load("resnet20", 32), Load("vgg9", 16))

# A worker's program.
WORKER = """
from keras_classics.cli._program import run
from reproduce.scaling.loopback import main
run(main)
"""

Turn = Callable[[], object]


def main(folder: str) -> None:
    """Runs one worker of the cluster in TF_CONFIG, and writes its measurements."""
    index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[index % len(cores)]})
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(2)
    strategy = make_strategy("multi_worker")
    rows = [] if strategy.num_replicas_in_sync == 1 else _all_reduces(strategy)
    for load_ in LOADS:
        rows += _trainings(load_, strategy)
    files.write_json(Path(folder) / f"worker{index}.json", rows)


def measure(counts: Sequence[int]) -> list[dict[str, Any]]:
    """Measures clusters with these numbers of workers, one after the other.

    Returns:
        A row for each measurement: `what` (`all_reduce`, `together` or `apart`), `workers`,
        `network`, `batch` (of each worker), `bytes` and `seconds` of one all-reduce or step, and
        the environment. `load` is the load of the machine before.
    """
    environment = current_environment()
    environment |= environment.pop("versions") | {"turns": TURNS, "seed": 0}
    environment["load"] = f"{os.getloadavg()[0]:.2f}"
    rows = []
    for count in counts:
        for same in zip(*_cluster(count), strict=True):
            # The slowest worker counts, because all others wait for it.
            slowest = max(same, key=lambda row: row["seconds"])
            rows.append({**environment, "workers": count, **slowest})
            print(f"{count} workers", *slowest.values(), flush=True)
    return rows


def _cluster(count: int) -> list[list[dict[str, Any]]]:
    """Runs a cluster and returns the rows of each of its workers."""
    addresses = [f"localhost:{port}" for port in _free_ports(count)]
    with tempfile.TemporaryDirectory() as folder:
        workers = []
        try:
            for index in range(count):
                task = {"type": "worker", "index": index}
                config = json.dumps({"cluster": {"worker": addresses}, "task": task})
                workers.append(_start(config, Path(folder), index))
            _wait(workers, Path(folder))
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
        files = [Path(folder) / f"worker{index}.json" for index in range(count)]
        return [json.loads(file.read_text()) for file in files]


def _start(config: str, folder: Path, index: int) -> subprocess.Popen:
    command = [sys.executable, "-c", WORKER, folder]
    with open(folder / f"worker{index}.log", "wb") as log:
        return subprocess.Popen(
            command,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "TF_CONFIG": config, "CUDA_VISIBLE_DEVICES": "-1"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def _wait(workers: list[subprocess.Popen], folder: Path) -> None:
    """Waits for all workers. If one fails, the others would wait for it for ever."""
    end = time.monotonic() + PATIENCE
    while True:
        statuses = [worker.poll() for worker in workers]
        failed = [index for index, status in enumerate(statuses) if status]
        if failed or time.monotonic() > end:
            log = (folder / f"worker{(failed or [0])[0]}.log").read_text(errors="replace")
            why = "failed" if failed else f"are not done after {PATIENCE} seconds"
            raise UserError(f"The workers {why}. The end of the log of one: {log[-2000:]}")
        if all(status == 0 for status in statuses):
            return
        time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _all_reduces(strategy: tf.distribute.Strategy) -> list[dict[str, Any]]:
    """Rows of all-reduces without training."""

    def on_replica(values: tf.Tensor) -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        # A copy of its own: a tensor that all replicas share cannot be summed over them.
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(values))

    @tf.function(reduce_retracing=True)
    def reduce(values: tf.Tensor, times: tf.Tensor) -> tf.Tensor:
        for _ in tf.range(times):
            summed = strategy.run(on_replica, args=(values,))
            values = strategy.experimental_local_results(summed)[0]
        return values

    rows = []
    for size in SIZES:
        values = tf.zeros(size // 4)
        times = max(1, min(TURN_TIMES, TURN_BYTES // size))
        turn = lambda values=values, times=times: reduce(values, tf.constant(times))  # noqa: E731
        (seconds,) = _turns([turn], strategy)
        rows.append(_row("all_reduce", None, size, seconds / times))
    return rows


def _trainings(load_: Load, strategy: tf.distribute.Strategy) -> list[dict[str, Any]]:
    """Rows of training a network, with independent workers and with a cluster."""
    sides = {
        "apart": _trainer(load_, 1, tf.distribute.get_strategy()),
        "together": _trainer(load_, strategy.num_replicas_in_sync, strategy),
    }
    seconds = _turns([_training(trainer) for trainer in sides.values()], strategy)
    reduced = reduced_bytes(sides["together"].model)
    return [
        _row(what, load_, reduced, taken / STEPS)
        for what, taken in zip(sides, seconds, strict=True)
    ]


def _trainer(load_: Load, replicas: int, strategy: tf.distribute.Strategy) -> Trainer:
    recipe = Recipe(
        name="loopback",
        model=load_.network,
        dataset="digits",
        batch_size=load_.batch * replicas,
        optimizer=Momentum(),
        schedule=Constant(1e-4),
        epochs=10**6,
        preprocessing_arguments={"channels": 3},
    )
    data = load(recipe.dataset).limited(STEPS * recipe.batch_size, 1)
    return Trainer(recipe, data, recipe.make_preprocessing(), strategy)


def _training(trainer: Trainer) -> Turn:
    """A turn is an epoch, which is one block of steps."""
    blocks = trainer.blocks()

    def turn() -> None:
        trainer.train_block(blocks)
        trainer.progress.block = 0

    return turn


def _turns(sides: Sequence[Turn], strategy: tf.distribute.Strategy) -> list[float]:
    """Runs the sides alternately, all workers at the same time; returns the median seconds."""
    seconds: list[list[float]] = [[] for _ in sides]
    for number in range(TURNS + 1):
        for taken, turn in zip(seconds, sides, strict=True):
            _meet(strategy)
            start = time.perf_counter()
            turn()
            # The first turn warms up.
            if number:
                taken.append(time.perf_counter() - start)
    return [statistics.median(taken) for taken in seconds]


def _meet(strategy: tf.distribute.Strategy) -> None:
    """Waits for all workers."""
    if strategy.num_replicas_in_sync > 1:
        strategy.reduce(tf.distribute.ReduceOp.SUM, tf.constant(1.0), axis=None)


def _row(what: str, load_: Load | None, size: int, seconds: float) -> dict[str, Any]:
    of_load = dataclasses.asdict(load_) if load_ else {"network": "", "batch": ""}
    return {"what": what, **of_load, "bytes": size, "seconds": seconds}
