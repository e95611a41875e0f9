"""Runs rows of the claims again, and compares what comes out to the last digit.

    python -m reproduce.verify --rows=6
    python -m reproduce.verify --rows=6 --seed=1

Each row is of another claim, those with the shortest runs first; the seed chooses among a claim's
rows. Its command runs in this checkout, with the number of threads that the row names, or one. The
metrics must be equal, and where the row has a hash of the outcome, the final weights too. Status 1
says that a row did not repeat. Other instruction sets (AVX2, AVX-512) and versions round
differently, and a run that a small difference decides, such as whether a VGG leaves the plateau,
may end elsewhere.
"""

import os
import random
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from absl import flags

from keras_classics.cli._paths import define_path
from keras_classics.cli._program import run
from keras_classics.environment import current_environment
from keras_classics.errors import UserError
from reproduce.claims import CLAIMS
from reproduce.claims.claim import Claim
from reproduce.claims.results import COLUMNS
from reproduce.harness.result_table import INTRA_OP, finished_runs, result_row
from reproduce.harness.tables import ROOT, Row, markdown

ROWS = flags.DEFINE_integer("rows", 1, "Rows to run again, each of another claim.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 0, "Chooses among the rows of a claim.")
FOLDER = define_path("folder", "runs/verify", "Folder of the runs; each starts anew.")

# What a repetition must repeat.
COMPARED = ("test_error", "test_loss", "train_accuracy", "train_loss", "outcome_sha256")


def main() -> None:
    """Runs the rows again, and prints a table."""
    lines, differ = [], False
    for claim, row in chosen_rows(ROWS.value, SEED.value):
        print(f"{claim.name}: {row['command']}", flush=True)
        again = repeated(row, Path(FOLDER.value) / claim.name)
        different = differences(row, again)
        differ |= bool(different)
        outcome = again["outcome_sha256"][:12]
        names = [claim.name, row["variant"], row["seed"], row["commit"][:7], row["device"]]
        lines.append([*names, again["test_error"], outcome, ", ".join(different) or "-"])
    head = ["claim", "variant", "seed", "commit of the row", "its device"]
    head += ["test error", "outcome", "differs in"]
    print(f"\n{markdown(head, lines, left=2)}\n\nhere: {current_environment()['device']}")
    if differ:
        sys.exit(1)


def chosen_rows(count: int, seed: int) -> list[tuple[Claim, Row]]:
    """Returns rows of so many claims, those with the shortest runs first."""
    draw = random.Random(seed)
    rows = []
    for claim in CLAIMS.values():
        alone = [row for row in claim.results().runs if row["variant"] not in claim.starts_from]
        if alone:
            rows.append((claim, draw.choice(alone)))
    if count > len(rows):
        raise UserError(f"{len(rows)} claims have rows. Received: --rows={count}.")
    return sorted(rows, key=lambda chosen: float(chosen[1]["seconds"]))[:count]


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


if __name__ == "__main__":
    run(main)
