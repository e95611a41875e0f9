"""The table that a training program prints at its end."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_classics.training.run_directory import RunDirectory


def closing_table(
    result: Mapping[str, Any],
    run_directory: RunDirectory,
    exports: Path | None,
    changed: Sequence[str] = (),
) -> str:
    """Returns the measured error, with images, seconds and files.

    The paper's figure stands beside it if the run has the data set and the recipe that it is of.

    Args:
        result: Content of the run's `result.json`.
        run_directory: The folder of the run.
        exports: Folder of the exported network, or None.
        changed: Fields in which the run differs from the published recipe.
    """
    paper = result["paper"]
    source = paper and paper["source"]
    if paper and paper["dataset"] != result["dataset"]:
        changed = sorted({"dataset", *changed})
    if paper and changed:
        paper, source = None, f"no figure for this run, which changes {', '.join(changed)}"
    published = f"{100 * paper['value']:.2f} on {paper['dataset']}" if paper else "-"
    rows = [
        ("", "paper", "measured"),
        ("test error, %", published, f"{100 * result['metrics']['test_error']:.2f}"),
        ("test accuracy, %", "", f"{100 * result['metrics']['test_accuracy']:.2f}"),
        *_several_labels(result["metrics"]),
        ("training images", "", f"{result['train_images']:,}"),
        ("test images", "", f"{result['images']:,}"),
        ("seconds", "", f"{result['seconds']:,.1f}"),
    ]
    width = max(len(row[1]) for row in rows)
    lines = [f"{name:<18}{value:>{width}}  {measured:>10}" for name, value, measured in rows]
    title = (
        f"{result['model']} on {result['dataset']}, recipe {result['recipe']}, "
        f"seed {result['seed']}, {result['epochs']} epochs"
    )
    places = [f"paper   {source}"] if source else []
    places.append(f"files   {run_directory.path}/")
    if exports:
        places.append(f"export  {exports}/")
    return "\n".join(["", title, *lines, *places])


def _several_labels(metrics: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """Returns the row of images with any number of labels."""
    precision = metrics.get("test_mean_average_precision")
    return [] if precision is None else [("test mAP, %", "", f"{100 * precision:.2f}")]
