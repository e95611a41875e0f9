"""What a finished run is warned about."""

import dataclasses
import re

import numpy as np
import pytest

from keras_classics.data import ImageData, Split
from keras_classics.training import train, warnings_about
from tests.helpers.runs import MODERN, RESULT

GOOD = {
    **RESULT,
    "steps": 500,
    "epochs": 9,
    "batch_size": 32,
    "train_images": 90,
    "images": 60,
    "class_names": ["circle", "square", "triangle"],
    "left_out": 0,
    "never_predicted": [],
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"left_out": 4}, []),
        (
            {"never_predicted": ["circle"]},
            ["1 of 3 classes is predicted for none of the 60 test images: circle. .*--epochs .now"],
        ),
        (
            {"never_predicted": [str(i) for i in range(900)], "class_names": ["a"] * 1000},
            ["900 of 1000 classes are predicted for none .* 0, 1, 2, 3, 4, .... Train longer"],
        ),
        ({"steps": 20}, ["Only 20 steps: .*Raise --epochs .now 9. or lower --batch_size .now 32"]),
        ({"left_out": 26}, ["leaves out 26 of 90 training images, .*--set=last_batch=carry"]),
        (
            {"left_out": 26, "steps": 20, "never_predicted": ["circle", "square"]},
            ["2 of 3 classes are predicted", "Only 20 steps", "leaves out 26"],
        ),
    ],
)
def test_each_fault_is_a_line_with_its_flag(changes, expected):
    lines = warnings_about({**GOOD, **changes})
    assert len(lines) == len(expected)
    for line, words in zip(lines, expected, strict=True):
        assert "\n" not in line
        assert re.search(words, line), line


def test_results_of_before_say_nothing_that_they_do_not_know():
    known = {k: v for k, v in GOOD.items() if k not in ("left_out", "never_predicted")}
    assert warnings_about(known) == []


def test_a_run_states_what_it_left_out_and_never_predicted(tmp_path):
    # All training images but one are of the first class, and the last class has no test image.
    labels = np.array([0] * 18 + [1], "int32")
    train_split = Split(np.zeros((19, 8, 8, 1), "uint8"), labels)
    test_split = Split(np.zeros((4, 8, 8, 1), "uint8"), np.array([0, 0, 1, 1], "int32"))
    data = ImageData("folder:x", train_split, test_split, ("many", "one", "none"))
    recipe = dataclasses.replace(
        MODERN, limit_train=None, limit_test=None, batch_size=12, epochs=1, dataset="folder:x"
    )
    result = train(recipe, tmp_path / "drop", data=data)
    assert result["left_out"] == 7
    assert result["never_predicted"] == ["one"]
