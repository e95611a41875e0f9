"""Faults that change nothing a user can see, and are not planted."""

# (module, function, old, new): why no test can tell the difference.
EQUIVALENT: dict[tuple[str, str, str, str], str] = {}
