"""Rows that are run again."""

from types import SimpleNamespace

import pytest

from keras_classics.errors import UserError
from reproduce.claims import CLAIMS
from reproduce.claims.results import Results
from reproduce.harness.result_table import command_with_settings
from reproduce.verify import rows
from reproduce.verify.rows import chosen_rows, differences, split_command, summary


def test_each_row_is_of_another_claim_the_shortest_first():
    chosen = chosen_rows(6, seed=0, device="none")
    assert len({claim.name for claim, _ in chosen}) == 6
    seconds = [float(row["seconds"]) for _, row in chosen]
    assert seconds == sorted(seconds)
    assert chosen == chosen_rows(6, seed=0, device="none")
    assert [row for _, row in chosen] != [row for _, row in chosen_rows(6, seed=1, device="none")]
    for claim, row in chosen:
        assert row["variant"] not in claim.starts_from
    with pytest.raises(UserError, match=rf"Received: --rows={len(CLAIMS) + 1}\."):
        chosen_rows(len(CLAIMS) + 1, seed=0, device="none")


def test_the_settings_of_a_command():
    command = "python -m reproduce.ensemble --seed=1"
    known = {"command": command, "threads": {"intra_op": 1, "inter_op": 2}}
    shown = command_with_settings(known)
    assert shown == f"TF_NUM_INTRAOP_THREADS=1 {command}"
    arguments = ["-m", "reproduce.ensemble", "--seed=1"]
    assert split_command(shown) == ({"TF_NUM_INTRAOP_THREADS": "1"}, arguments)
    assert split_command(f"/venv/bin/{command}") == ({}, arguments)
    # oneDNN is what the programs take; only its absence is a setting.
    assert command_with_settings(known | {"onednn": "1"}) == shown
    without = command_with_settings(known | {"onednn": "0"})
    settings = {"TF_NUM_INTRAOP_THREADS": "1", "TF_ENABLE_ONEDNN_OPTS": "0"}
    assert split_command(without) == (settings, arguments)
    # Runs of before threads were recorded.
    assert command_with_settings({"command": command}) == command


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


def test_rows_of_this_device_come_first(monkeypatch):
    def claim(*of):
        found = [{"variant": "a", "device": device, "seconds": s} for device, s in of]
        return SimpleNamespace(starts_from={}, results=lambda: Results(found))

    claims = {"one": claim(("there", "1")), "two": claim(("there", "2"), ("here", "9"))}
    monkeypatch.setattr(rows, "CLAIMS", claims)
    for seed in range(5):
        chosen = [row["seconds"] for _, row in chosen_rows(2, seed, device="here")]
        assert chosen == ["9", "1"]


def test_what_differing_rows_mean():
    assert summary({"here": 0, "there": 0}, "here") == "here: here"
    other = summary({"there": 2}, "here")
    assert "2 differ and were made on another device" in other
    assert "equal digits are not expected" in other
    assert "1 differ and were made on such a device: they should be equal" in summary(
        {"here": 1}, "here"
    )
