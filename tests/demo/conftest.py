"""Exports to write sites of, and a browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.browser import Browser
from tests.helpers.exports import export_of_weights


@pytest.fixture(scope="module")
def digits_export(tmp_path_factory) -> Path:
    return export_of_weights(tmp_path_factory.mktemp("digits"), "lenet5", "digits")


@pytest.fixture(scope="module")
def fashion_export(tmp_path_factory) -> Path:
    return export_of_weights(tmp_path_factory.mktemp("fashion"), "resnet20", "fashion_mnist")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    window = Browser()
    yield window
    window.close()
