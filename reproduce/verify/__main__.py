"""Runs rows of the claims again, and compares what comes out to the last digit.

    python -m reproduce.verify --rows=6
    python -m reproduce.verify --rows=6 --seed=1

Each row is of another claim: those of this machine's device first, then those with the shortest
runs. The seed chooses among a claim's rows. Its command runs in this checkout, with the number of
threads that the row names, or one. The metrics must be equal, and where the row has a hash of the
outcome, the final weights too. Status 1 says that a row did not repeat. Other instruction sets
(AVX2, AVX-512) and versions round differently, and a run that a small difference decides, such as
whether a VGG leaves the plateau, may end elsewhere; the output says where this is to be expected.
"""

import sys
from collections import Counter
from pathlib import Path

from absl import flags

from keras_classics.cli._paths import define_path
from keras_classics.cli._program import run
from keras_classics.environment import current_environment
from reproduce.harness.tables import markdown
from reproduce.verify.rows import chosen_rows, differences, repeated, summary

ROWS = flags.DEFINE_integer("rows", 1, "Rows to run again, each of another claim.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 0, "Chooses among the rows of a claim.")
FOLDER = define_path("folder", "runs/verify", "Folder of the runs; each starts anew.")


def main() -> None:
    """Runs the rows again, and prints a table."""
    lines, differ, hashed = [], Counter(), 0
    here = current_environment()["device"]
    for claim, row in chosen_rows(ROWS.value, SEED.value, here):
        print(f"{claim.name}: {row['command']}", flush=True)
        again = repeated(row, Path(FOLDER.value) / claim.name)
        different = differences(row, again)
        differ[row["device"]] += bool(different)
        outcomes = [of.get("outcome_sha256") or "-" for of in (row, again)]
        hashed += outcomes[0] == outcomes[1]
        names = [claim.name, row["variant"], row["seed"], row["commit"][:7], row["device"]]
        shown = [outcome[:12] for outcome in outcomes]
        lines.append([*names, again["test_error"], *shown, ", ".join(different) or "-"])
    head = ["claim", "variant", "seed", "commit of the row", "its device"]
    head += ["test error", "its outcome", "outcome here", "differs in"]
    repeat = (
        f"{len(lines) - differ.total()} of {len(lines)} rows repeat, {hashed} with equal hashes"
    )
    print(f"\n{markdown(head, lines, left=2)}\n\n{repeat}\n{summary(differ, here)}")
    if differ.total():
        sys.exit(1)


if __name__ == "__main__":
    run(main)
