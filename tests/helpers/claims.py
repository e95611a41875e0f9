"""Made-up runs of claims, whose figures are worked out by hand."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from reproduce.claims.results import Results, joined


def run_of(
    variant: str,
    seed: int,
    error: float,
    epochs: Iterable[Mapping[str, Any]] = (),
    layers: Iterable[tuple] = (),
    **columns: Any,
) -> Results:
    """A run with half as much training error as test error.

    Args:
        variant: Its variant.
        seed: Its seed.
        error: Its test error.
        epochs: What is known of each epoch.
        layers: When, layer, quantity and value of what was looked at.
        columns: Of the run: what else is known, or known otherwise.
    """
    digest = hashlib.sha256(f"{variant} {seed}".encode()).hexdigest()
    common = {"variant": variant, "seed": seed, "run": digest[:12]}
    run = {
        "variant": variant,
        "seed": seed,
        "result_sha256": digest,
        "test_error": error,
        "train_accuracy": 1 - error / 2,
        **columns,
    }
    names = ("when", "layer", "quantity", "value")
    looked_at = [dict(zip(names, row, strict=True)) for row in layers]
    return Results(
        [_row(run)],
        [_row({"epoch": i, **common, **epoch}) for i, epoch in enumerate(epochs, 1)],
        [_row({**common, **row}) for row in looked_at],
    )


def accuracies(*errors: float) -> list[dict[str, Any]]:
    """Epochs of 100 steps, with the same training and test error each."""
    return [
        {"step": 100 * number, "train_accuracy": 1 - error, "test_accuracy": 1 - error}
        for number, error in enumerate(errors, 1)
    ]


def together(*several: Results) -> Results:
    """All runs of several."""
    return joined(several)


def rows_of(table: str, start: str) -> list[list[str]]:
    """The cells behind those that a row starts with, for each such row."""
    start = f"| {start} | "
    rows = [line for line in table.splitlines() if line.startswith(start)]
    return [row.removeprefix(start).removesuffix(" |").split(" | ") for row in rows]


def _row(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}
