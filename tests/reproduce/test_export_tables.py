"""Rows of exports, and the table of them."""

import dataclasses
import hashlib
import json

import pytest

from keras_classics.errors import UserError
from reproduce.report import export_table as export_tables
from reproduce.report.export_table import EXPORTS, add_exports, export_table, rows_of

FORMS = ("saved_model", "model.tflite", "model_int8.tflite", "model.onnx")


def manifest(path, int8: float, labelled: bool = True, inputs: str = "float32") -> None:
    """A manifest as far as rows are taken from it."""
    exports = {
        form: {
            "input": {"dtype": "float32" if form == "saved_model" else inputs},
            "quantize": "int8" if "int8" in form else "none",
            "files": {"a": {"bytes": 1_000_000}, "b": {"bytes": 500_000}},
            "agreement": {
                "images": 1000,
                "max_difference": 0.0,
                "same_prediction": 1.0,
                "model_accuracy": 0.75,
                "accuracy": int8 if "int8" in form else 0.75,
            },
        }
        for form in FORMS
    }
    content = {
        "model": "net",
        "origin": {"weights": "own", "dataset": "digits", "test_images": 1500},
        "compared_on": {"images": 1000, "labelled": labelled},
        "environment": {"commit": "c", "device": "d", "python": "3", "command": "export"},
        "versions": {"tensorflow": "2", "keras": "3"},
        "exports": exports,
    }
    path.write_text(json.dumps(content))


def test_rows_are_added_and_take_the_place_of_old_ones(tmp_path, monkeypatch):
    table = dataclasses.replace(EXPORTS, path=tmp_path / "export.csv")
    monkeypatch.setattr(export_tables, "EXPORTS", table)
    path = tmp_path / "manifest.json"
    for int8 in (0.5, 0.74):
        manifest(path, int8)
        add_exports([path])
    rows = table.read()
    assert [row["form"] for row in rows] == list(FORMS)
    assert {row["manifest_sha256"] for row in rows} == {
        hashlib.sha256(path.read_bytes()).hexdigest()
    }
    lines = export_table(rows).splitlines()
    cells = ["`net`", "digits", "TFLite, int8", "1.50", "75.00", "74.00", "-1.00", "1,000 of 1,500"]
    assert lines[4] == f"| {' | '.join(cells)} |"


def test_files_that_take_uint8_have_rows_of_their_own(tmp_path, monkeypatch):
    table = dataclasses.replace(EXPORTS, path=tmp_path / "export.csv")
    monkeypatch.setattr(export_tables, "EXPORTS", table)
    path = tmp_path / "manifest.json"
    for inputs in ("float32", "uint8"):
        manifest(path, 0.74, inputs=inputs)
        add_exports([path])
    forms = [line.split(" | ")[2] for line in export_table(table.read()).splitlines()[2:]]
    assert forms[:3] == ["SavedModel", "TFLite, float32", "TFLite, float32, uint8 inputs"]
    assert len(forms) == 7


def test_an_export_without_labels_gives_no_row(tmp_path):
    manifest(tmp_path / "manifest.json", 0.5, labelled=False)
    with pytest.raises(UserError, match="compared on a data set's labelled images"):
        rows_of(tmp_path / "manifest.json")


def test_eight_bits_cost_at_most_half_a_point():
    rows = EXPORTS.read()
    assert {row["model"] for row in rows} == {"lenet5", "resnet20"}
    for row in rows:
        assert int(row["images"]) == 10_000
        assert float(row["model_accuracy"]) - float(row["accuracy"]) <= 0.005
        if row["quantize"] == "none":
            assert row["accuracy"] == row["model_accuracy"]
