"""Gives what the tests share to the processes that run them."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    # A process that hands out the tests to others runs none, and is spared TensorFlow's imports.
    if not config.getoption("numprocesses", None):
        config.pluginmanager.import_plugin("tests.fixtures")
