"""`keras-classics diagnose`: a run, a training before it begins, and what is refused."""

import json
import os

import pytest

from tests.helpers.programs import assert_one_line

DIAGNOSE = ("-m", "keras_classics.cli", "diagnose")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "Name what to train: --model=NETWORK, --recipe=FAMILY/NAME, or both"),
        (("no_run",), "no_run holds no run: there is no"),
        (("no_run", "--model=lenet5"), "Received: no_run and --model. Leave out one of the two."),
    ],
)
def test_says_what_is_wrong(run_program, words, message):
    assert_one_line(run_program(*DIAGNOSE, *words), 2, message)


PRIORITY = """
import os, runpy, sys
sys.argv = ["keras-classics", "diagnose", sys.argv[1]]
try:
    runpy.run_module("keras_classics.cli", run_name="__main__")
finally:
    print(os.nice(0))
"""


@pytest.mark.parametrize(
    ("files", "priority"),
    [(["recipe.json"], min(os.nice(0) + 19, 19)), (["recipe.json", "result.json"], os.nice(0))],
)
def test_gives_way_to_a_run_that_may_go_on(run_program, tmp_path, files, priority):
    for name in files:
        (tmp_path / name).write_text("no recipe")
    done = run_program("-c", PRIORITY, str(tmp_path))
    assert done.returncode == 2, done.stderr
    assert done.stdout == f"{priority}\n"


def test_a_training_before_it_begins(run_program, tmp_path):
    flags = ("--recipe=lenet5/modern", "--dataset=digits", "--limit_train=96", "--limit_test=40")
    wrong = ("--set=schedule.rate=1e-9", "--try", "--json", f"--out={tmp_path}")
    done = run_program(*DIAGNOSE, *flags, *wrong)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["findings"]
    assert [finding["check"] for finding in found] == ["rate_too_small"]
    content = json.loads((tmp_path / "diagnosis.json").read_text())
    (trial,) = content["trials"]
    assert trial["after_loss"][-1] < 0.5 * trial["after_loss"][0]
    assert "The mend, tried" in (tmp_path / "index.html").read_text()
