"""The table that a training program prints at its end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_classics.training.run_directory import RunDirectory


def closing_table(
    result: Mapping[str, Any], run_directory: RunDirectory, exports: Path | None
) -> str:
    """Returns the measured error beside the paper's, with images, seconds and files.

    Args:
        result: Content of the run's `result.json`.
        run_directory: The folder of the run.
        exports: Folder of the exported network, or None.
    """
    paper = result["paper"]
    published = f"{100 * paper['value']:.2f} on {paper['dataset']}" if paper else "-"
    rows = [
        ("", "paper", "measured"),
        ("test error, %", published, f"{100 * result['metrics']['test_error']:.2f}"),
        ("test accuracy, %", "", f"{100 * result['metrics']['test_accuracy']:.2f}"),
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
    places = [f"paper   {paper['source']}"] if paper else []
    places.append(f"files   {run_directory.path}/")
    if exports:
        places.append(f"export  {exports}/")
    return "\n".join(["", title, *lines, *places])
