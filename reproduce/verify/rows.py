"""Chooses rows of results, runs them again and compares what comes out."""

import os
import random
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from keras_classics.errors import UserError
from reproduce.claims import CLAIMS
from reproduce.claims.claim import Claim
from reproduce.claims.results import COLUMNS
from reproduce.harness.result_table import INTRA_OP, finished_runs, result_row
from reproduce.harness.tables import ROOT, Row

# What a repetition must repeat.
COMPARED = ("test_error", "test_loss", "train_accuracy", "train_loss", "outcome_sha256")


def chosen_rows(count: int, seed: int, device: str) -> list[tuple[Claim, Row]]:
    """Returns rows of so many claims: of a device first, then with the shortest runs."""
    draw = random.Random(seed)
    rows = []
    for claim in CLAIMS.values():
        alone = [row for row in claim.results().runs if row["variant"] not in claim.starts_from]
        if alone:
            here = [row for row in alone if row["device"] == device]
            rows.append((claim, draw.choice(here or alone)))
    if count > len(rows):
        raise UserError(f"{len(rows)} claims have rows. Received: --rows={count}.")

    def order(chosen: tuple[Claim, Row]) -> tuple[bool, float]:
        row = chosen[1]
        return row["device"] != device, float(row["seconds"])

    return sorted(rows, key=order)[:count]


def repeated(row: Row, folder: Path) -> Row:
    """Runs a row's command anew, and returns the row of its run.

    Raises:
        UserError: The command failed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    settings, arguments = split_command(row["command"])
    command = [sys.executable, *arguments, f"--run_dir={folder.resolve()}"]
    environment = {**os.environ, INTRA_OP: "1", **settings}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    if done.returncode:
        raise UserError(f"{shlex.join(command)} ended with status {done.returncode}.")
    (run_dir,) = finished_runs(folder)
    return result_row(run_dir / "result.json", COLUMNS)


def split_command(command: str) -> tuple[dict[str, str], list[str]]:
    """Returns the environment variables of a command, and what follows its interpreter."""
    words = shlex.split(command)
    start = next(place for place, word in enumerate(words) if "=" not in word)
    return dict(word.split("=", 1) for word in words[:start]), words[start + 1 :]


def differences(row: Row, again: Row) -> list[str]:
    """Returns the names of the values that a repetition does not repeat; old rows lack the last."""
    return [name for name in COMPARED if row.get(name) and row[name] != again[name]]


def summary(different: Mapping[str, int], device: str) -> str:
    """Returns what repetitions that differ mean.

    Args:
        different: Number of rows that differ, by the device of the rows.
        device: The device of this machine.
    """
    lines = [f"here: {device}"]
    if elsewhere := sum(number for of, number in different.items() if of != device):
        lines.append(
            f"{elsewhere} differ and were made on another device, or one whose vector instructions "
            "the row does not name. It takes sums in another order: equal digits are not expected."
        )
    if same := different.get(device):
        lines.append(f"{same} differ and were made on such a device: they should be equal.")
    return "\n".join(lines)
