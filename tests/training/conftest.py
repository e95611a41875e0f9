"""Fixtures of the training tests."""

import pytest

from keras_classics.training import train
from tests.helpers.runs import MODERN


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The directory of a finished run, and its result."""
    run_dir = tmp_path_factory.mktemp("runs") / "run"
    return run_dir, train(MODERN, run_dir)
