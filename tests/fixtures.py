"""What the tests share: real digits, small runs, programs in processes of their own."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator

import keras
import pytest
import tensorflow as tf
from matplotlib.figure import Figure

from keras_classics.data import ImageData, load
from tests.helpers.fork_server import ForkServer
from tests.helpers.programs import ROOT
from tests.helpers.replicas import REPLICAS

# Before TensorFlow starts: MirroredStrategy over logical CPUs is tested in this process.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * REPLICAS
)
# Starts it, before a test of fewer replicas could ask for fewer.
tf.config.list_logical_devices()


def pytest_collection_finish() -> None:
    """Spares collections of garbage the million objects that live to the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def digits() -> ImageData:
    return load("digits")


@pytest.fixture(scope="session")
def few_digits(digits) -> ImageData:
    return digits.limited(train=96, test=40)


@pytest.fixture(scope="session")
def programs() -> Iterator[ForkServer]:
    """Runs programs in the checkout, in processes that have TensorFlow imported already."""
    server = ForkServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def run_program(programs):
    """Runs a program to its end."""
    return programs.run


@pytest.fixture(scope="session")
def run_python():
    """Runs Python in the checkout, in a process that imports all anew; for tests of imports."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            # JAX compiles in half the time, to the same numbers within the tests' tolerances.
            env={**os.environ, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1", **environment},
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture(autouse=True)
def _same_random_numbers():
    """Gives each test the same initial weights, alone and after others."""
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def _no_plots(request, monkeypatch):
    """Spares small runs their plots, which take a third of their time, but in tests of these."""
    if not request.node.get_closest_marker("plots"):
        monkeypatch.setattr("keras_classics.training.loop.draw_plots", lambda *arguments: None)


@pytest.fixture
def drawn(monkeypatch) -> list[Figure]:
    """The figures that a test saves, the last one last."""
    figures, save = [], Figure.savefig

    def savefig(figure, *arguments, **options):
        figures.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return figures
