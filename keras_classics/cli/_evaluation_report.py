"""What `evaluate` prints: errors and metrics, a line for each class, and comparisons."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_classics.evaluation import Evaluation, Predictions
from keras_classics.evaluation.metrics import average_precisions

# Number of classes that are printed; if there are more, those with the lowest recall.
PRINTED_CLASSES = 20
# The metrics that are printed beside the errors; `evaluation.json` and --json have all.
METRICS = {
    "mean_average_precision": "mAP",
    "exact_match": "exact match",
    "balanced_accuracy": "bal. accuracy",
    "f1_micro": "F1, micro",
    "f1_macro": "F1, macro",
    "f1_weighted": "F1, weighted",
    "roc_auc": "ROC-AUC",
}

Row = dict[str, Any]


def report(evaluation: Evaluation, predictions: Predictions, row: Row) -> str:
    """Returns the printed report: errors and metrics, and each class."""
    images = f"{row['images']:,}"
    if row["test_images"] > row["images"]:
        images += f" of {row['test_images']:,}"
    lines = [
        "",
        f"{predictions.model} on {images} images of {predictions.dataset}: {predictions.protocol}",
    ]
    if "answers" in row:
        lines.append(f"answers         {row['answers']} classes, those of the data set")
    for top in ("top1", "top5"):
        if f"{top}_error" in row:
            error, low, high = (100 * row[f"{top}_{part}"] for part in ("error", "low", "high"))
            lines.append(
                f"{top[:3]}-{top[3]} error, %  {error:6.2f}   (95 %: {low:.2f} to {high:.2f})"
            )
    for name, words in METRICS.items():
        if name in row:
            lines.append(f"{words:<14}  {100 * row[name]:6.2f}")
    lines.append(f"seconds         {row['seconds']:6,.1f}")
    return "\n".join([*lines, *_table(class_rows(evaluation, predictions.class_names))])


def _table(classes: list[Row]) -> list[str]:
    """Returns the lines of a table of classes."""
    if not classes:
        return []
    lines = []
    if len(classes) > PRINTED_CLASSES:
        classes = sorted(classes, key=lambda of: of["recall"])[:PRINTED_CLASSES]
        lines += ["", f"The {PRINTED_CLASSES} classes with the lowest recall:"]
    width = max(5, *(len(of["class"]) for of in classes))
    multilabel = "average_precision" in classes[0]
    last = "average precision, %" if multilabel else "most often predicted instead"
    head = f"{'class':<{width}}  images  precision, %  recall, %   F1, %  {last}"
    lines += ["", head]
    for of in classes:
        precision, recall, f1 = (100 * of[name] for name in ("precision", "recall", "f1"))
        if multilabel:
            end = f"{100 * of['average_precision']:>20.1f}"
        else:
            end = f"{of['taken_for']} ({of['times']})" if of["times"] else "-"
        lines.append(
            f"{of['class']:<{width}}  {of['images']:>6,}  {precision:>12.1f}  {recall:>9.1f}  "
            f"{f1:>6.1f}  {end}"
        )
    return lines


def class_rows(evaluation: Evaluation, names: Sequence[str]) -> list[Row]:
    """Returns the metrics of each class with images.

    Of images with one label also the most frequent wrong prediction; of those with several, the
    average precision.
    """
    metrics = evaluation.class_metrics
    rows: list[Row] = []
    for label in np.flatnonzero(metrics.labelled).tolist():
        row = {"class": names[label], "images": int(metrics.labelled[label])}
        row |= {
            name: float(getattr(metrics, name)[label]) for name in ("precision", "recall", "f1")
        }
        rows.append(row)
    if evaluation.multilabel:
        precisions = average_precisions(evaluation.labels, evaluation.probabilities)
        known = [precision for precision in precisions if precision is not None]
        return [row | {"average_precision": p} for row, p in zip(rows, known, strict=True)]
    confusion = evaluation.confusion
    np.fill_diagonal(confusion, 0)
    for row, wrong in zip(rows, confusion[metrics.labelled > 0], strict=True):
        row |= {
            "taken_for": names[wrong.argmax()] if wrong.any() else "",
            "times": int(wrong.max()),
        }
    return rows


def comparison_report(row: Row) -> str:
    """The printed comparison: the two errors, and what the test says of their difference."""
    only_a, only_b, p_value = (
        row[name] for name in ("only_first_right", "only_second_right", "p_value")
    )
    lines = [
        f"{letter}  {100 * of['top1_error']:6.2f} %  {of['model']}: {of['protocol']}  "
        f"({of['folder']})"
        for letter, of in zip("AB", row["compared"], strict=True)
    ]
    verdict = "no difference is shown" if p_value >= 0.05 else "the difference is real"
    verdict += f": {'A' if only_a > only_b else 'B'} is better" if p_value < 0.05 else ""
    return "\n".join(
        [
            f"top-1 error on {row['images']:,} images of {row['dataset']}",
            *lines,
            f"only A is right {only_a:,} times, only B {only_b:,} times",
            f"McNemar's exact test: p = {p_value:.2g}, {verdict} (at 0.05)",
        ]
    )
