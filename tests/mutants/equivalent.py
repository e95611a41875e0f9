"""Faults that change nothing a user can see, and are not planted."""

# (module, function, old, new): why no test can tell the difference.
EQUIVALENT: dict[tuple[str, str, str, str], str] = {
    ("keras_classics/evaluation/ensemble.py", "average", "1.0", "2.0"): "weights are normalised",
    ("keras_classics/evaluation/ensemble.py", "average", "1.0", "0.9"): "weights are normalised",
}
