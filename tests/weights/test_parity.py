"""Networks here give the outputs of other libraries' networks with the same tensors."""

import json

import pytest

from tests.helpers import parity
from tests.helpers.stored_outputs import assert_near

GOLDENS = json.loads(parity.PATH.read_text())

# Dense layers of 120 million weights and a hundred layers take their time, and the small ones of a
# family go the same ways.
QUICK = (
    "torchvision/alexnet",
    "torchvision/resnet50",
    "timm/resnet18.tv_in1k",
    "pytorchcv/resnet20_cifar10",
    "keras/VGG16/notop",
    "keras/ResNet50",
    "keras/ResNet50V2/notop",
)


@pytest.mark.parametrize(
    "case",
    [c if c in QUICK else pytest.param(c, marks=pytest.mark.slow) for c in parity.CASES],
)
def test_outputs_equal_those_of_the_other_library(case):
    assert_near(parity.ours(case), GOLDENS[case])


def test_all_outputs_are_stored_and_few():
    assert set(GOLDENS) == set(parity.CASES)
    assert parity.PATH.stat().st_size < 9_000


def test_outputs_differ_between_versions():
    """The same tensors with another position of the stride give other outputs."""
    v1 = GOLDENS["keras/ResNet50"]["outputs"]
    assert v1 != GOLDENS["torchvision/resnet50"]["outputs"]
    assert len({case["scale"] for case in GOLDENS.values()}) >= len(GOLDENS) - 2
