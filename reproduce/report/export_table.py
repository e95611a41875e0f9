"""Accuracy of exported networks: rows from manifests, and the table of docs/export.md."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from keras_classics.errors import UserError
from reproduce.harness.result_table import RESULTS, ResultTable, cells
from reproduce.harness.tables import ENVIRONMENT, Row, markdown

COLUMNS = (
    "model",
    "weights",
    "dataset",
    "images",
    "test_images",
    "form",
    "quantize",
    "inputs",
    "bytes",
    "max_difference",
    "same_prediction",
    "model_accuracy",
    "accuracy",
    *ENVIRONMENT,
    "manifest_sha256",
)

# By the name of a file or folder in an export; model.keras is the network itself.
FORMS = {
    "saved_model": "SavedModel",
    "model.tflite": "TFLite, float32",
    "model_float16.tflite": "TFLite, float16",
    "model_dynamic.tflite": "TFLite, dynamic",
    "model_int8.tflite": "TFLite, int8",
    "model_int16x8.tflite": "TFLite, int16x8",
    "model.onnx": "ONNX, float32",
    "model_int8.onnx": "ONNX, int8",
}


def _identity(row: Row) -> tuple:
    form = list(FORMS).index(row["form"])
    return row["model"], row["dataset"], row["weights"], form, row["inputs"]


EXPORTS = ResultTable(RESULTS / "export.csv", COLUMNS, _identity)


def add_exports(manifests: Iterable[Path]) -> None:
    """Adds the rows of exports whose images had labels; new rows replace old ones."""
    EXPORTS.add(row for path in manifests for row in rows_of(path))


def rows_of(path: Path) -> list[Row]:
    """Returns a row for each exported form, given a `manifest.json`.

    Raises:
        UserError: The manifest does not name the data set, or the images had no labels.
    """
    content = path.read_bytes()
    manifest = json.loads(content)
    if "dataset" not in manifest.get("origin", {}) or not manifest["compared_on"]["labelled"]:
        raise UserError(
            "A row needs an export that was compared on a data set's labelled images. Received: "
            f"{path}, which names none. Export with 'keras-classics export --dataset=NAME'."
        )
    common = {
        "model": manifest["model"],
        **manifest["origin"],
        "images": manifest["compared_on"]["images"],
        **manifest["environment"],
        **manifest["versions"],
        "manifest_sha256": hashlib.sha256(content).hexdigest(),
    }
    rows = []
    for form, export in manifest["exports"].items():
        size = sum(file["bytes"] for file in export["files"].values())
        of_form = {"form": form, "bytes": size, "inputs": export["input"]["dtype"]}
        values = {**common, **export, **export["agreement"], **of_form}
        rows.append(cells(values, COLUMNS))
    return rows


def export_table(rows: Sequence[Row]) -> str:
    """Returns the table: one line per form, with the accuracy of Keras and of the form."""
    lines = []
    for row in rows:
        before, after = 100 * float(row["model_accuracy"]), 100 * float(row["accuracy"])
        numbers = [f"{int(row['bytes']) / 1e6:.2f}", f"{before:.2f}", f"{after:.2f}"]
        form = FORMS[row["form"]] + (", uint8 inputs" if row["inputs"] == "uint8" else "")
        lines.append(
            [f"`{row['model']}`", row["dataset"], form, *numbers]
            + [f"{after - before:+.2f}", _images(row)]
        )
    head = ["network", "data", "form", "MB", "Keras, %", "exported, %", "points", "images"]
    return markdown(head, lines, left=3)


def _images(row: Row) -> str:
    """The number of images, and where it is smaller, of how many in the test split."""
    images, test_images = int(row["images"]), int(row["test_images"] or row["images"])
    return f"{images:,}" if images == test_images else f"{images:,} of {test_images:,}"
