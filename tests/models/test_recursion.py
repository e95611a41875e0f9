"""The recursion limit goes up where a deep network needs it, and never down."""

import sys

import pytest

from keras_classics.models.recursion import allow_layers


@pytest.fixture(autouse=True)
def limit():
    before = sys.getrecursionlimit()
    yield
    sys.setrecursionlimit(before)


@pytest.mark.parametrize(
    ("before", "layers", "after"),
    # 500 calls are left to the program.
    [(1000, 500, 1000), (1000, 501, 1001), (2000, 4000, 4500), (5000, 10, 5000)],
)
def test_limit(before, layers, after):
    sys.setrecursionlimit(before)
    allow_layers(layers)
    assert sys.getrecursionlimit() == after


def test_deepest_network():
    sys.setrecursionlimit(1000)
    allow_layers()
    assert sys.getrecursionlimit() == 10_000
