"""A comparison to which seeds are added, killed and interrupted in the middle of real trainings."""

import json
import signal

import pytest

# Trains small networks until a claim is decided: one arm with a rate, the other almost without.
# "kill" ends it by SIGKILL after the sixth training, before its layers are measured; "interrupt" by
# SIGINT within the first training.
ADDING = """
import dataclasses, os, signal, sys
from keras_classics.cli import _program, _training
from keras_classics.training import recipes
from reproduce.claims import CLAIMS, comparison
from reproduce.claims.evidence import Means
from reproduce.claims.verdicts import Hypothesis

folder, moment, hours = sys.argv[1:]
described = CLAIMS["lenet5_networks"]
tiny = dataclasses.replace(
    recipes.LENET5_MODERN, name="tiny", dataset="digits", epochs=8, batch_size=12, limit_train=240,
    limit_test=200,
)
claim = dataclasses.replace(
    described,
    name="tiny",
    recipes={"tiny": tiny},
    variants={
        "stuck": lambda recipe: recipe.with_fields({"schedule.rate": 1e-6}),
        "trained": lambda recipe: recipe,
    },
    seeds=2,
    table=lambda results: f"{len(results.runs)} runs",
    hypotheses=[Hypothesis("stuck makes more errors", "stuck", "trained", Means())],
    rates={},
    rate_of=lambda results, arm: "part of the statement",
)
measure, show = comparison._measure, _training.ProgressLine.show
measured = []

def killed(*arguments):
    measured.append(arguments)
    if moment == "kill" and len(measured) == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    measure(*arguments)

def interrupted(*arguments, **options):
    if moment == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
    show(*arguments, **options)

comparison._measure, _training.ProgressLine.show = killed, interrupted
words = ["tiny", "--until=decided", f"--max_hours={hours}", f"--run_dir={folder}"]
_program.run(lambda: comparison.run_comparison(claim), words)
"""


def outcomes(folder) -> dict[str, str]:
    """The hash of metrics and weights of each finished run."""
    found = sorted(folder.glob("*/result.json"))
    return {path.parent.name: json.loads(path.read_text())["outcome_sha256"] for path in found}


def verdict(done) -> str:
    """The verdict, difference and p, without the hours that follow."""
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("verdict "))
    return line.rpartition(", ")[0]


@pytest.mark.slow
def test_interruptions_change_neither_the_verdict_nor_the_runs(run_program, tmp_path):
    def add(folder, moment="", hours=1):
        return run_program("-c", ADDING, str(tmp_path / folder), moment, str(hours))

    decided = verdict(add("whole"))
    assert decided.startswith("verdict shown: stuck makes more errors; +")
    whole = outcomes(tmp_path / "whole")
    assert add("cut", "kill").returncode == -signal.SIGKILL
    assert len(outcomes(tmp_path / "cut")) == 6 < len(whole)
    assert add("cut", "interrupt").returncode == 128 + signal.SIGINT
    resumed = add("cut")
    assert verdict(resumed) == decided
    assert "stuck, seed 2" not in resumed.stdout
    assert outcomes(tmp_path / "cut") == whole
    # Decided, it trains no more.
    again = add("cut")
    assert verdict(again) == decided
    assert ", seed" not in again.stdout
    # The hours end it after the seed with which they are over.
    assert verdict(add("short", hours=1e-6)).startswith("verdict undecided at this budget: ")
    assert len(outcomes(tmp_path / "short")) == 2
