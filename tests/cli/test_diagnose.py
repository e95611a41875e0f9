"""`keras-classics diagnose`: a run, a training before it begins, and what is refused."""

import json

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
