"""What commands print with --json: one JSON text, for programs."""

import json
from typing import Any

from absl import flags

JSON = flags.DEFINE_bool(
    "json", False, "Print JSON to standard output, and nothing else. Errors stay on standard error."
)

FLAG_GROUPS = {"Output": (JSON,)}


def print_json(content: Any) -> None:
    """Prints a result as JSON. Characters beyond ASCII are escaped."""
    print(json.dumps(content, indent=2))
