"""Gives what the tests share to the processes that run them."""

import os

import pytest


def pytest_configure(config: pytest.Config) -> None:
    # As programs that train do, and before TensorFlow is imported.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    # A process that hands out the tests to others runs none, and is spared TensorFlow's imports.
    if not config.getoption("numprocesses", None):
        config.pluginmanager.import_plugin("tests.fixtures")
