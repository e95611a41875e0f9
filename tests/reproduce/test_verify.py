"""Rows that are run again."""

import pytest

from keras_classics.errors import UserError
from reproduce.claims import CLAIMS
from reproduce.harness.result_table import command_with_threads
from reproduce.verify.rows import chosen_rows, differences, split_command


def test_each_row_is_of_another_claim_the_shortest_first():
    rows = chosen_rows(6, seed=0)
    assert len({claim.name for claim, _ in rows}) == 6
    seconds = [float(row["seconds"]) for _, row in rows]
    assert seconds == sorted(seconds)
    assert rows == chosen_rows(6, seed=0)
    assert [row for _, row in rows] != [row for _, row in chosen_rows(6, seed=1)]
    for claim, row in rows:
        assert row["variant"] not in claim.starts_from
    with pytest.raises(UserError, match=rf"Received: --rows={len(CLAIMS) + 1}\."):
        chosen_rows(len(CLAIMS) + 1, seed=0)


def test_the_threads_of_a_command():
    command = "python -m reproduce.ensemble --seed=1"
    known = {"command": command, "threads": {"intra_op": 1, "inter_op": 2}}
    shown = command_with_threads(known)
    assert shown == f"TF_NUM_INTRAOP_THREADS=1 {command}"
    arguments = ["-m", "reproduce.ensemble", "--seed=1"]
    assert split_command(shown) == ({"TF_NUM_INTRAOP_THREADS": "1"}, arguments)
    assert split_command(f"/venv/bin/{command}") == ({}, arguments)
    # Runs of before threads were recorded.
    assert command_with_threads({"command": command}) == command


def test_what_a_repetition_differs_in():
    row = {
        "test_error": "0.1",
        "test_loss": "1.5",
        "train_accuracy": "0.9",
        "train_loss": "1.25",
        "outcome_sha256": "",
    }
    again = {**row, "outcome_sha256": "ab"}
    assert differences(row, again) == []
    assert differences({**row, "outcome_sha256": "cd"}, again) == ["outcome_sha256"]
    assert differences(row, {**again, "test_loss": "1.5000001"}) == ["test_loss"]
